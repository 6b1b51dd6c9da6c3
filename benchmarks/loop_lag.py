"""How late an event loop runs while a model computes in the same process.

A 5 ms ticker in a process whose ModelThread runs a worker's real engine, against the same ticker
idle, and against the same work done by another process: interleaved blocks of one run, for
recognition, speech, embedding and language model.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any

import children
from antiphon_audio import Pcm, Vad, decode, resample, wav
from antiphon_llm.engine import open_brains
from antiphon_llm.service.model import ChatMessage, Prompt
from antiphon_llm.settings import LlmSettings
from antiphon_memory.engine import onnx
from antiphon_memory.settings import MemorySettings
from antiphon_models import ModelStore, default_root
from antiphon_runtime import ModelThread, RuntimeSettings, load_settings
from antiphon_stt import Hints, SttSettings
from antiphon_stt.engine import faster_whisper
from antiphon_tts.engine import piper
from antiphon_tts.settings import TtsSettings
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, percentile, pooled, rotated, spread

TICK_S = 0.005
BLOCKS, BLOCK_S = 5, 2.5
QUICK_BLOCKS, QUICK_BLOCK_S = 1, 0.3
SENTENCE = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm sun."
MANY_SENTENCES = [f"{SENTENCE} This is note number {number}." for number in range(32)]

Step = Callable[[], Any]
"""Starts one piece of work and returns its awaitable."""


def models() -> ModelStore:
    """Return where the weights are."""
    return ModelStore(default_root(load_settings(RuntimeSettings).models_dir))


# The work: what each worker's ModelThread does, again and again


@asynccontextmanager
async def recognition() -> AsyncIterator[Step]:
    """Whisper, with decoding and the voice-activity gate, on a sentence spoken by Piper."""
    engine, gate = faster_whisper(SttSettings(), models()), Vad()
    recording = await asyncio.to_thread(spoken, SENTENCE)

    def hear() -> None:
        pcm = decode(recording)
        gate.spans(pcm)
        engine.transcribe(pcm, Hints())

    with ModelThread("stt") as thread:
        await thread.call(engine.load)
        yield partial(thread.call, hear)


def spoken(text: str) -> bytes:
    """Return `text` spoken by Piper, as a WAV of 16 kHz; blocks."""
    engine = piper(TtsSettings(), models())
    engine.load()
    sentences = list(engine.synthesize(text, voice=None, speed=1.0))
    engine.close()
    parts = [resample(sentence, 16_000).to_float32() for sentence in sentences]
    return wav.wrap(Pcm.from_float32(concatenated(parts), 16_000))


def concatenated(parts: list[Any]) -> Any:
    """Return arrays joined."""
    import numpy as np

    return np.concatenate(parts)


@asynccontextmanager
async def speech() -> AsyncIterator[Step]:
    """Piper on a sentence, piece by piece."""
    engine = piper(TtsSettings(), models())
    with ModelThread("tts") as thread:
        await thread.call(engine.load)

        async def speak() -> None:
            pieces = thread.stream(engine.synthesize, SENTENCE, voice=None, speed=1.0)
            async for _ in pieces:
                pass

        yield speak


@asynccontextmanager
async def embedding() -> AsyncIterator[Step]:
    """MiniLM on 32 sentences."""
    engine = onnx(MemorySettings(), models())
    with ModelThread("embedder") as thread:
        await thread.call(engine.load)
        yield partial(thread.call, engine.embed, MANY_SENTENCES)


@asynccontextmanager
async def language() -> AsyncIterator[Step]:
    """llama.cpp within the process, streaming to the loop as the LLM worker has it."""
    async with open_brains(LlmSettings(provider="embedded"), models()) as [brain]:
        prompt = Prompt(
            (*brain.profile.prefix(), ChatMessage("user", "Tell me a long story about a fox.")),
            max_tokens=120,
        )

        async def think() -> None:
            async with aclosing(brain.model.stream(prompt)) as deltas:
                async for _ in deltas:
                    pass

        yield think


ENGINES: dict[str, Callable[[], AbstractAsyncContextManager[Step]]] = {
    "stt": recognition,
    "tts": speech,
    "memory": embedding,
    "llm": language,
}


# The processes


async def ticks(duration_s: float) -> list[float]:
    """Return how late each tick of a 5 ms ticker came, in ms."""
    late = []
    end = time.perf_counter() + duration_s
    while time.perf_counter() < end:
        begun = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append(1000 * (time.perf_counter() - begun - TICK_S))
    return late


async def while_working(step: Step, meanwhile: Awaitable[list[float]]) -> tuple[list[float], int]:
    """Return what `meanwhile` gives while the engine works, and how much work was done.

    The last piece is finished before this returns: the next block is not to feel it.
    """
    done, enough = 0, asyncio.Event()

    async def work() -> None:
        nonlocal done
        while not enough.is_set():
            await step()
            done += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(work(), name="work")
        result = await meanwhile
        enough.set()
    return result, done


async def nothing(duration_s: float) -> list[float]:
    """Leave the loop to itself."""
    await asyncio.sleep(duration_s)
    return []


async def watched(name: str) -> None:
    """In a child: tick alone, or tick while the engine works, or work and do not tick."""
    orders = children.orders()
    await anext(orders)
    async with ENGINES[name]() as step:
        await step()
        children.answer(ready=name)
        async for order in orders:
            duration_s, done = order["duration_s"], 0
            if order["do"] == "idle":
                late = await ticks(duration_s)
            elif order["do"] == "tick and work":
                late, done = await while_working(step, ticks(duration_s))
            else:
                late, done = await while_working(step, nothing(duration_s))
            children.answer(late_ms=late, done=done)


# The comparison


async def compare(name: str, blocks: int, block_s: float) -> tuple[dict[str, Any], list[Figure]]:
    """Return one engine's lags and figures."""
    say(f"loop_lag: {name}")
    lags: dict[str, list[list[float]]] = {"idle": [], "within": [], "elsewhere": []}
    pieces = 0

    async with (
        children.child("loop_lag.py", name, config={}) as here,
        children.child("loop_lag.py", name, config={}) as there,
    ):
        for number in range(blocks):
            for situation in rotated(list(lags), number):
                do = "tick and work" if situation == "within" else "idle"
                async with asyncio.TaskGroup() as group:
                    order = {"do": do, "duration_s": block_s}
                    ticking = group.create_task(here.ask(order), name="here")
                    if situation == "elsewhere":
                        other = {"do": "work", "duration_s": block_s}
                        group.create_task(there.ask(other), name="there")
                lags[situation].append(ticking.result()["late_ms"])
                pieces += ticking.result()["done"]

    p99 = {
        situation: statistics.median(percentile(block, 0.99) for block in found)
        for situation, found in lags.items()
    }
    spreads = {situation: spread(pooled(found)) for situation, found in lags.items()}
    details = {situation: found.as_json() for situation, found in spreads.items()}
    counts = {"ticks": {situation: len(pooled(found)) for situation, found in lags.items()}}
    return {**details, **counts, "pieces_of_work": pieces}, [
        Figure(f"{name}: p50 to idle", block_ratio(lags["within"], lags["idle"]), RATIO, 3.0),
        Figure(
            f"{name}: p99 over the same work elsewhere",
            p99["within"] - p99["elsewhere"],
            "ms",
            10.0,
        ),
    ]


async def measure(options: Options) -> Report:
    """Return the lags of the workers' loops."""
    report = Report("loop_lag", options.quick)
    blocks, block_s = (QUICK_BLOCKS, QUICK_BLOCK_S) if options.quick else (BLOCKS, BLOCK_S)
    for name in options.parts:
        details, figures = await compare(name, blocks, block_s)
        report.details[name] = details
        report.figures += figures
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    if len(sys.argv) > 1 and sys.argv[1] in ENGINES:
        asyncio.run(watched(sys.argv[1]))
    else:
        main("loop_lag", measure, list(ENGINES))
