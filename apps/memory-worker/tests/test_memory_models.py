from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_contracts import (
    MEMORY_FORGET,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    EngineError,
    MemoryForget,
    MemoryQuery,
    MemoryRemember,
    RequestTopic,
)
from antiphon_memory.engine import OnnxEmbedder, onnx, sentence_transformers
from antiphon_memory.ranking import Floors
from antiphon_memory.settings import MemorySettings
from antiphon_memory.wiring import build
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.testing import House

pytestmark = pytest.mark.e2e

ASKED = [
    ("my bicycle is red", "what colour is my bicycle"),
    ("the wifi password is swordfish", "how do I get on the wireless network"),
    ("Anna's birthday is on the third of May", "when was Anna born"),
    ("I am allergic to peanuts", "what foods must I avoid"),
    ("the spare key is under the flower pot", "where did we hide the extra key"),
    ("our dentist is called Doctor Miller", "who looks after our teeth"),
    ("the bins are collected on Tuesday", "when does the rubbish truck come"),
    ("my favourite tea is Earl Grey", "what do I like to drink"),
    ("Tom's school starts at eight", "what time do lessons begin for Tom"),
    ("we parked the car on level four", "where is my car"),
    ("the cat is called Mittens", "what is the name of our pet"),
    ("my mother lives in Lisbon", "which city is my mum in"),
    ("the heating code is 4711", "what is the code for the boiler"),
    ("my shoe size is 42", "what size shoes do I wear"),
    ("the plumber's number is 555 0199", "who do I call about the leaking pipe"),
    ("I work at the hospital as a nurse", "what is my job"),
    ("the meeting with Carla is on Friday at ten", "when do I see Carla"),
    ("the lawn mower is in the garden shed", "where is the mower"),
    ("grandma takes two pills every morning", "when does grandma take her medicine"),
    ("the dog must not eat chocolate", "what is bad for the dog"),
    ("my passport expires in March 2027", "how long is my passport valid"),
    ("my sister's husband is called Paul", "who is my brother-in-law"),
    ("the guest room window does not close", "what is broken in the guest room"),
    ("I prefer my coffee without sugar", "how do I take my coffee"),
    ("the piano teacher comes on Wednesdays", "when is the music lesson"),
    ("the tent is in the attic", "where is the camping gear"),
    ("my blood type is O negative", "what is my blood group"),
    ("our anniversary is the ninth of June", "when did we get married"),
    ("the bread recipe needs 500 grams of flour", "how much flour for the bread"),
    ("Max likes dinosaurs", "what should I give Max for his birthday"),
    ("the internet provider is called Fibernet", "who do we pay for internet"),
    ("we watch films on Saturday evening", "when is movie night"),
]

UNRELATED = [
    "who wrote Hamlet",
    "what is the capital of France",
    "how far away is the moon",
    "tell me a joke",
    "what is seventeen times four",
    "who was the first president",
    "how do volcanoes form",
    "what is the boiling point of water",
    "translate good morning into Spanish",
    "who painted the Mona Lisa",
    "how does photosynthesis work",
    "set a timer for ten minutes",
    "what is the weather tomorrow",
    "turn on the kitchen light",
    "play some jazz",
    "why is the sky blue",
    "how many planets are there",
    "what does DNA stand for",
    "how tall is mount Everest",
    "who is the king of England",
]


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    embedder = onnx(MemorySettings(), ModelStore(default_root()))
    embedder.load()
    return embedder


def test_embeddings_are_unit_vectors_whatever_stands_beside_them(embedder: OnnxEmbedder) -> None:
    texts = ["my bicycle is red", "", "word " * 5000, "größe 東京 🚲"] * 10
    together = embedder.embed(texts)
    assert together.shape == (40, embedder.dimension) == (40, 384)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    alone = np.concatenate([embedder.embed([text]) for text in texts[:4]])
    # Quantised activations shift a little with what else is in the batch.
    assert float((alone * together[:4]).sum(axis=1).min()) > 0.99
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 5, 8, 9, 33])
def test_a_batch_gives_each_text_its_own_vector(
    embedder: OnnxEmbedder, threads: int, count: int
) -> None:
    texts = [text for pair in ASKED for text in pair][:count]
    texts[1] = "a long one " * 40
    several = onnx(MemorySettings(threads=threads), ModelStore(default_root()))
    several.load()
    together = several.embed(texts, "query")
    several.close()
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert together.shape == alone.shape
    assert float((alone * together).sum(axis=1).min()) > 0.999


def test_a_failure_beside_is_no_half_answer(embedder: OnnxEmbedder) -> None:
    several = onnx(MemorySettings(threads=3), ModelStore(default_root()))
    with pytest.raises(EngineError, match="not loaded"):
        several.embed(["one"])
    several.load()
    tokenizer, failed = several._tokenizer, threading.Event()

    class FailsOnce:
        def encode_batch(self, texts: list[str]) -> Any:
            if not failed.is_set():
                failed.set()
                msg = "broken"
                raise ValueError(msg)
            return tokenizer.encode_batch(texts)

    several._tokenizer = FailsOnce()
    with pytest.raises(ValueError, match="broken"):
        several.embed([f"text {number}" for number in range(30)], "query")
    assert several.embed(["one", "two"]).shape == (2, 384)
    several.close()


def test_the_default_floors_part_questions_about_a_fact_from_others(
    embedder: OnnxEmbedder,
) -> None:
    facts = embedder.embed([fact for fact, _ in ASKED])
    related = (facts * embedder.embed([question for _, question in ASKED])).sum(axis=1)
    noise = facts @ embedder.embed(UNRELATED).T
    floors = Floors()
    assert float(related.min()) > floors.relevance
    assert float(noise.max()) < floors.relevance


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    requests: list[RequestTopic[Any, Any]] = [MEMORY_QUERY, MEMORY_REMEMBER, MEMORY_FORGET]
    runtime = RuntimeSettings(data_dir=tmp_path)
    async with House(requests=requests) as house:
        await house.move_in("memory", MemorySettings(engine="onnx"), build, runtime=runtime)
        yield house


async def ask(house: House, text: str) -> list[str]:
    answer = await house.bus.request(MEMORY_QUERY, MemoryQuery(text=text), timeout_s=10)
    return [result.text for result in answer.results]


async def test_the_bicycle_is_found_among_many_and_only_when_asked_for(house: House) -> None:
    for fact, _ in ASKED[:21]:
        request = MemoryRemember(text=fact)
        done = await house.bus.request(MEMORY_REMEMBER, request, timeout_s=10)
        assert done.error is None
    assert (await ask(house, "what colour is my bicycle"))[0] == "my bicycle is red"
    firsts = [(await ask(house, question))[0] == fact for fact, question in ASKED[:21]]
    assert sum(firsts) >= 20
    for question in UNRELATED:
        assert await ask(house, question) == [], question


async def test_forget_takes_what_was_meant(house: House) -> None:
    for fact, _ in ASKED:
        await house.bus.request(MEMORY_REMEMBER, MemoryRemember(text=fact), timeout_s=10)
    for query, expected in [
        ("the colour of my bicycle", ("my bicycle is red",)),
        ("the wifi password", ("the wifi password is swordfish",)),
        ("my passport", ("my passport expires in March 2027",)),
        ("the shopping list", ()),
        ("my sister's birthday", ()),
        ("everything", ()),
    ]:
        done = await house.bus.request(MEMORY_FORGET, MemoryForget(query=query), timeout_s=10)
        assert done.texts == expected, query


@pytest.mark.st
def test_both_engines_give_the_same_vectors(embedder: OnnxEmbedder) -> None:
    torch = sentence_transformers(MemorySettings(), ModelStore(default_root()))
    torch.load()
    texts = [text for pair in ASKED for text in pair]
    theirs = torch.embed(texts)
    ours = np.concatenate([embedder.embed([text]) for text in texts])
    assert theirs.shape == ours.shape
    assert torch.dimension == embedder.dimension
    assert theirs.dtype == np.float32
    assert float((ours * theirs).sum(axis=1).min()) >= 0.999
    assert torch.embed([]).shape == (0, 384)
