"""The engine that asks a reranking server, by its real client, against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import (
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    EngineError,
    MemoryQuery,
    MemoryRemember,
)
from antiphon_memory.engine import RerankServer, reranking_server, text_embeddings_inference
from antiphon_memory.settings import MemorySettings
from antiphon_memory.wiring import build
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Remote, RuntimeSettings, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.openai_server import (
    Body,
    Drop,
    Failure,
    Hang,
    OpenAiServer,
    Recorded,
    Reply,
)
from pydantic import SecretStr

pytestmark = pytest.mark.integration

TIME_S = 30
FORMS = ("server", "tei")
MAKERS = {"server": reranking_server, "tei": text_embeddings_inference}


class Scripted:
    """A reranking server: the longer a text is, the better; `reply` is answered in its place."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.change: Callable[[list[dict[str, Any]]], object] | None = None

    def __call__(self, request: Recorded) -> Reply:
        if self.reply is not None:
            return self.reply
        asked = request.json
        is_tei = "texts" in asked
        texts = asked["texts" if is_tei else "documents"]
        name = "score" if is_tei else "relevance_score"
        scored = [{"index": index, name: float(len(text))} for index, text in enumerate(texts)]
        scored.sort(key=lambda one: -one[name])
        whole: object = scored if is_tei else {"id": "x", "results": scored, "usage": {}}
        return Body(json.dumps(self.change(scored) if self.change else whole).encode())


@asynccontextmanager
async def loaded(
    form: str, script: Scripted, **more: Any
) -> AsyncIterator[tuple[RerankServer, OpenAiServer]]:
    async with asyncio.timeout(TIME_S), OpenAiServer(script) as server:
        settings = MemorySettings(
            reranker_base_url=server.base_url, reranker_api_key=SecretStr("sesame"), **more
        )
        engine = MAKERS[form](settings, ModelStore(default_root()))
        await engine.load()
        try:
            yield engine, server
        finally:
            await engine.close()


async def test_a_server_gets_documents_and_its_order_is_put_right() -> None:
    async with loaded("server", Scripted(), reranker_model="bge") as (engine, server):
        assert await engine.scores("who?", ["a", "ccc", "bb"]) == [1.0, 3.0, 2.0]
    request = server.requests[-1]
    assert (request.method, request.path) == ("POST", "/v1/rerank")
    assert request.json == {"query": "who?", "documents": ["a", "ccc", "bb"], "model": "bge"}
    assert request.headers["authorization"] == "Bearer sesame"


async def test_text_embeddings_inference_gets_texts() -> None:
    async with loaded("tei", Scripted()) as (engine, server):
        assert await engine.scores("who?", ["a", "ccc", "bb"]) == [1.0, 3.0, 2.0]
    assert server.requests[-1].json == {
        "query": "who?",
        "texts": ["a", "ccc", "bb"],
        "truncate": True,
    }


async def test_an_answer_in_the_manner_of_voyage_will_do() -> None:
    script = Scripted()
    async with loaded("server", script) as (engine, _):
        script.change = lambda scored: {"object": "list", "data": scored}
        assert await engine.scores("who?", ["a", "ccc", "bb"]) == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("reply", "is_retryable", "words"),
    [
        (Failure(400, "the secret words"), False, "refused a text"),
        (Failure(401, "the secret words"), False, "ANTIPHON_MEMORY_RERANKER_API_KEY"),
        (Failure(404, "the secret words"), False, "ANTIPHON_MEMORY_RERANKER_BASE_URL"),
        (Failure(418, "the secret words"), False, "HTTP 418"),
        (Failure(429, "the secret words"), True, "too much to do"),
        (Failure(501, "the secret words"), False, "--reranking"),
        (Failure(503, "the secret words"), True, "trouble"),
        (Drop(), True, "cannot be reached"),
    ],
)
async def test_what_the_server_refuses_is_an_engine_error(
    form: str, reply: Reply, words: str, *, is_retryable: bool
) -> None:
    script = Scripted()
    async with loaded(form, script) as (engine, server):
        script.reply = reply
        with pytest.raises(EngineError, match=words) as raised:
            await engine.scores("secret question", ["secret a", "secret b"])
    assert raised.value.retryable is is_retryable
    assert "secret" not in str(raised.value)
    assert "sesame" not in str(raised.value)
    assert len(server.requests) == 2, "the client itself tries nothing again"


NONSENSE: list[Callable[[list[dict[str, Any]]], object]] = [
    lambda _: None,
    lambda _: [],
    lambda _: {},
    lambda _: "scores",
    lambda scored: {"results": scored[:1]},
    lambda scored: {"results": [scored[0], scored[0]]},
    lambda scored: {"results": [*scored, scored[0]]},
    lambda scored: {"results": [one | {"index": one["index"] + 1} for one in scored]},
    lambda scored: {"results": [{"index": one["index"]} for one in scored]},
    lambda scored: [{"index": one["index"], "score": "good"} for one in scored],
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", NONSENSE)
async def test_an_answer_that_is_none_is_an_engine_error(
    form: str, change: Callable[[list[dict[str, Any]]], object]
) -> None:
    script = Scripted()
    async with loaded(form, script) as (engine, _):
        script.change = change
        with pytest.raises(EngineError) as raised:
            await engine.scores("hidden", ["hidden one", "hidden two!"])
        assert "hidden" not in str(raised.value)
        script.change = None
        assert await engine.scores("right", ["a", "bb"]) == [1.0, 2.0]


@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b"\xff\xfe", b"0" * 10_000])
async def test_what_is_not_even_json_is_an_engine_error(raw: bytes) -> None:
    script = Scripted()
    async with loaded("server", script) as (engine, _):
        script.reply = Body(raw)
        with pytest.raises(EngineError):
            await engine.scores("who?", ["a", "b"])


async def test_a_server_that_stalls_is_left_in_time() -> None:
    script = Scripted()
    async with loaded("server", script, reranker_timeout_s=0.2) as (engine, _):
        script.reply = Hang()
        with pytest.raises(EngineError, match=r"longer than 0\.2 s") as raised:
            await engine.scores("who?", ["a", "b"])
        assert raised.value.retryable


async def test_no_server_and_one_that_was_not_loaded_are_engine_errors() -> None:
    async with OpenAiServer() as server:
        url = server.base_url
    engine = reranking_server(MemorySettings(reranker_base_url=url), ModelStore(default_root()))
    with pytest.raises(EngineError, match="not loaded"):
        await engine.scores("who?", ["a"])
    async with asyncio.timeout(TIME_S):
        with pytest.raises(EngineError, match="cannot be reached") as raised:
            await engine.load()
        assert raised.value.retryable
        await engine.close()


async def test_a_probe_takes_a_sign_of_life() -> None:
    async with loaded("server", Scripted()) as (engine, _):
        assert isinstance(engine, Remote)
        assert engine.server.startswith("The reranking server at http://127.0.0.1")
        await engine.probe()


# The whole worker


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIME_S):
        for _ in range(1000):
            if await check():
                return
            await asyncio.sleep(0.02)
    pytest.fail("it never came")


@pytest.mark.parametrize("form", FORMS)
async def test_the_worker_answers_in_the_servers_order_and_without_it_in_its_own(
    tmp_path: Path, form: str
) -> None:
    script = Scripted()
    workers: list[Worker[MemorySettings]] = []

    def seen(worker: Worker[MemorySettings]) -> Any:
        workers.append(worker)
        return build(worker)

    runtime = RuntimeSettings(data_dir=tmp_path, models_dir=tmp_path / "none", server_retry_s=1)
    async with (
        OpenAiServer(script) as server,
        House(requests=[MEMORY_QUERY, MEMORY_REMEMBER]) as house,
    ):
        settings = MemorySettings(
            engine="onnx",
            reranker=form,
            reranker_base_url=server.base_url,
            reranker_timeout_s=0.5,
        )
        await house.move_in("memory", settings, seen, runtime=runtime)
        texts = ["my bicycle", "my bicycle is red and stands in the shed behind the house"]
        for text in texts:
            await house.bus.request(MEMORY_REMEMBER, MemoryRemember(text=text), timeout_s=10)

        async def answers() -> list[str]:
            asked = MemoryQuery(text="where is the bicycle")
            answer = await house.bus.request(MEMORY_QUERY, asked, timeout_s=10)
            return [result.text for result in answer.results]

        async def is_reranked() -> bool:
            return await answers() == texts[::-1]

        health = workers[0].health
        await eventually(is_reranked)
        script.reply = Failure(503)
        assert await answers() == texts
        assert any("not reranked" in note for note in health.snapshot().notes)
        script.reply = Hang()
        assert await answers() == texts
        script.reply = None
        await eventually(is_reranked)
        assert not any("not reranked" in note for note in health.snapshot().notes)
