"""The engines that ask a server, by their real clients, against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_contracts import (
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    ConfigError,
    EngineError,
    MemoryQuery,
    MemoryRemember,
    RequestTopic,
)
from antiphon_memory.embedder import Embedder, Kind, TextRefused, Vectors
from antiphon_memory.engine import openai, voyage
from antiphon_memory.settings import MemorySettings
from antiphon_memory.wiring import build
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Remote, RuntimeSettings, Worker
from antiphon_runtime.testing import House
from pydantic import SecretStr

pytestmark = pytest.mark.integration

TIME_S = 30
ENGINES = ("openai", "voyage")


def vector_of(text: str, dimension: int) -> list[float]:
    """Not of length 1; texts that share words are near each other."""
    vector = [0.1] * dimension
    for word in text.casefold().split():
        vector[sum(map(ord, word)) % dimension] += 3.0
    return vector


@dataclass
class Server:
    """A server with /v1/embeddings; `change` makes of a right answer what it shall be."""

    dimension: int = 32
    status: int = 200
    change: Callable[[dict[str, Any]], object] = field(default=lambda answer: answer)
    raw: bytes | None = None
    stalls: bool = False
    longest: int = 1_000_000
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {
                name.casefold(): value
                for name, _, value in (line.partition(": ") for line in lines[1:])
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.paths.append(lines[0].rpartition(" ")[0])
            self.keys.append(headers.get("authorization", ""))
            if self.stalls:
                await reader.read()  # until the other end hangs up
                return
            status, answer = self.answer(body)
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
                f"content-length: {len(answer)}\r\nconnection: close\r\n\r\n".encode()
            )
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def answer(self, body: bytes) -> tuple[int, bytes]:
        if not body:
            return self.status, b"{}"
        asked = json.loads(body)
        self.asked.append(asked)
        if self.status != 200:
            error = {"error": {"message": "the secret words"}, "detail": "the secret words"}
            return self.status, json.dumps(error).encode()
        if self.raw is not None:
            return 200, self.raw
        texts = asked["input"]
        if max(map(len, texts)) > self.longest:
            return 400, b'{"error": {"message": "too long: the secret words"}, "detail": "x"}'
        dimension = asked.get("dimensions") or asked.get("output_dimension") or self.dimension
        items = [
            {"object": "embedding", "index": index, "embedding": vector_of(text, dimension)}
            for index, text in enumerate(texts)
        ]
        whole = {
            "object": "list",
            "data": items,
            "model": asked["model"],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        return 200, json.dumps(self.change(whole)).encode()


@asynccontextmanager
async def serving(server: Server, port: int = 0) -> AsyncIterator[str]:
    """Serve; yields the base URL."""
    listener = await asyncio.start_server(server.on_connection, "127.0.0.1", port)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"


def settings_for(base_url: str, *, timeout_s: float = 5, **more: Any) -> MemorySettings:
    return MemorySettings(
        openai_base_url=base_url,
        openai_api_key=SecretStr("sesame"),
        openai_timeout_s=timeout_s,
        voyage_base_url=base_url,
        voyage_api_key=SecretStr("sesame"),
        voyage_timeout_s=timeout_s,
        **more,
    )


class Asked:
    """An engine, called as the memory worker calls it: what blocks, in a thread."""

    def __init__(self, name: str, settings: MemorySettings) -> None:
        models = ModelStore(default_root())
        self.engine: Embedder = (
            openai(settings, models) if name == "openai" else voyage(settings, models)
        )

    async def load(self) -> None:
        await self._call(self.engine.load)

    async def embed(self, *texts: str, kind: Kind = "document") -> Vectors:
        vectors: Vectors = await self._call(self.engine.embed, texts, kind)
        return vectors

    async def close(self) -> None:
        await self._call(self.engine.close)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        if asyncio.iscoroutinefunction(function):
            return await function(*args)
        return await asyncio.to_thread(function, *args)


@asynccontextmanager
async def loaded(name: str, base_url: str, **more: Any) -> AsyncIterator[Asked]:
    asked = Asked(name, settings_for(base_url, **more))
    async with asyncio.timeout(TIME_S):
        await asked.load()
        try:
            yield asked
        finally:
            await asked.close()


def unit(text: str, dimension: int = 32) -> Vectors:
    vector = np.array(vector_of(text, dimension), dtype=np.float32)
    normal: Vectors = vector / np.linalg.norm(vector)
    return normal


@pytest.mark.parametrize("name", ENGINES)
async def test_vectors_come_back_in_order_with_length_one(name: str) -> None:
    server = Server(change=lambda answer: answer | {"data": answer["data"][::-1]})
    if name == "voyage":
        server.change = lambda answer: answer
    async with serving(server) as url, loaded(name, url) as engine:
        assert engine.engine.dimension == 32
        vectors = await engine.embed("one", "two", "three")
        assert (await engine.embed()).shape == (0, 32)
    expected = np.stack([unit(text) for text in ("one", "two", "three")])
    assert vectors == pytest.approx(expected, abs=1e-6)
    assert vectors.dtype == np.float32
    assert server.paths == ["POST /v1/embeddings"] * 2
    assert server.keys == ["Bearer sesame"] * 2


async def test_an_openai_server_gets_prefixes_and_is_not_asked_for_base64() -> None:
    server = Server()
    async with (
        serving(server) as url,
        loaded("openai", url, openai_model="intfloat/e5-small-v2", openai_dimensions=8) as engine,
    ):
        assert engine.engine.dimension == 8
        await engine.embed("where is it", kind="query")
        await engine.embed("it is here", kind="document")
    assert [asked["input"] for asked in server.asked[1:]] == [
        ["query: where is it"],
        ["passage: it is here"],
    ]
    assert {asked["encoding_format"] for asked in server.asked} == {"float"}
    assert {asked["dimensions"] for asked in server.asked} == {8}
    assert {asked["model"] for asked in server.asked} == {"intfloat/e5-small-v2"}


async def test_voyage_is_told_the_kind_in_its_own_way() -> None:
    server = Server()
    async with serving(server) as url, loaded("voyage", url, voyage_dimensions=16) as engine:
        assert engine.engine.dimension == 16
        await engine.embed("where is it", kind="query")
        await engine.embed("it is here", kind="document")
    assert [(asked["input"], asked["input_type"]) for asked in server.asked[1:]] == [
        (["where is it"], "query"),
        (["it is here"], "document"),
    ]
    assert {asked["output_dimension"] for asked in server.asked} == {16}
    assert {asked["truncation"] for asked in server.asked} == {True}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("status", "is_retryable", "words"),
    [
        (400, False, "refused a text"),
        (401, False, "_API_KEY"),
        (429, True, "too much to do"),
        (500, True, "trouble"),
        (503, True, "trouble"),
    ],
)
async def test_what_the_server_refuses_is_an_engine_error(
    name: str, status: int, words: str, *, is_retryable: bool
) -> None:
    server = Server()
    async with serving(server) as url, loaded(name, url) as engine:
        server.status = status
        with pytest.raises(EngineError, match=words) as raised:
            await engine.embed("a", "b")
    assert raised.value.retryable is is_retryable
    assert isinstance(raised.value, TextRefused) is (status == 400)
    assert "secret" not in str(raised.value)
    assert "sesame" not in str(raised.value)
    assert len(server.asked) == 2, "the client itself tries nothing again"


async def test_a_model_that_the_openai_server_does_not_know_is_told_so() -> None:
    async with serving(Server(status=404)) as url:
        with pytest.raises(EngineError, match="ANTIPHON_MEMORY_OPENAI_MODEL"):
            async with loaded("openai", url):
                pass


def without(field_name: str) -> Callable[[dict[str, Any]], object]:
    return lambda answer: {name: value for name, value in answer.items() if name != field_name}


def first_vector(vector: object) -> Callable[[dict[str, Any]], object]:
    def change(answer: dict[str, Any]) -> object:
        answer["data"][0]["embedding"] = vector
        return answer

    return change


def shortened(answer: dict[str, Any]) -> object:
    return answer | {"data": answer["data"][:-1]}


NONSENSE: list[Callable[[dict[str, Any]], object]] = [
    without("data"),
    shortened,
    lambda answer: answer | {"data": []},
    lambda answer: answer | {"data": None},
    lambda answer: answer | {"data": [*answer["data"], answer["data"][0]]},
    lambda _: [],
    lambda _: None,
    lambda _: "vectors",
    first_vector([1.0] * 31),
    first_vector([]),
    first_vector([0.0] * 32),
    first_vector([float("nan")] * 32),
    first_vector([1e308] * 32),
    first_vector("x"),
    first_vector(["x"] * 32),
    first_vector(None),
]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("change", NONSENSE)
async def test_an_answer_that_is_none_is_an_engine_error(
    name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    server = Server()
    async with serving(server) as url, loaded(name, url) as engine:
        server.change = change
        with pytest.raises(EngineError) as raised:
            await engine.embed("hidden one", "hidden two")
        assert "hidden" not in str(raised.value)
        server.change = lambda answer: answer
        assert (await engine.embed("right")).shape == (1, 32)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b"\xff\xfe", b"0" * 10_000])
async def test_what_is_not_even_json_is_an_engine_error(name: str, raw: bytes) -> None:
    server = Server()
    async with serving(server) as url, loaded(name, url) as engine:
        server.raw = raw
        with pytest.raises(EngineError):
            await engine.embed("one")


@pytest.mark.parametrize("name", ENGINES)
async def test_a_server_that_stalls_is_left_in_time(name: str) -> None:
    server = Server()
    async with serving(server) as url, loaded(name, url, timeout_s=0.2) as engine:
        server.stalls = True
        async with asyncio.timeout(3):
            with pytest.raises(EngineError, match=r"longer than 0\.2 s") as raised:
                await engine.embed("one")
        assert raised.value.retryable
        server.stalls = False
        assert (await engine.embed("one")).shape == (1, 32)


@pytest.mark.parametrize("name", ENGINES)
async def test_no_server_at_all_is_an_engine_error(name: str) -> None:
    async with serving(Server()) as url:
        pass
    with pytest.raises(EngineError, match="cannot be reached") as raised:
        async with loaded(name, url):
            pass
    assert raised.value.retryable


@pytest.mark.parametrize("name", ENGINES)
async def test_an_engine_that_was_not_loaded_says_so(name: str) -> None:
    engine = Asked(name, settings_for("http://x"))
    with pytest.raises(EngineError, match="not loaded"):
        await engine.embed("one")
    await engine.close()


async def test_voyage_without_a_key_says_which_is_missing() -> None:
    engine = Asked("voyage", MemorySettings())
    with pytest.raises(ConfigError, match="ANTIPHON_MEMORY_VOYAGE_API_KEY"):
        await engine.load()


async def test_a_text_that_is_too_long_for_the_server_counts_by_its_beginning() -> None:
    server = Server(longest=2_000)
    text = "word " * 800
    async with serving(server) as url, loaded("openai", url) as engine:
        (vector,) = await engine.embed(text)
        with pytest.raises(TextRefused):
            await engine.embed(text, "short")
        server.longest = 3
        with pytest.raises(TextRefused):
            await engine.embed("short")
    assert vector == pytest.approx(unit(text[:1_000]), abs=1e-6)


@pytest.mark.parametrize("name", ENGINES)
async def test_a_probe_takes_a_sign_of_life(name: str) -> None:
    server = Server()
    async with serving(server) as url, loaded(name, url) as engine:
        assert isinstance(engine.engine, Remote)
        await engine.engine.probe()
        server.status = 503
        with pytest.raises(EngineError) as raised:
            await engine.engine.probe()
        assert raised.value.retryable


# The whole worker


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIME_S):
        for _ in range(1000):
            if await check():
                return
            await asyncio.sleep(0.02)
    pytest.fail("it never came")


@dataclass
class Home:
    """A memory worker that embeds by a server."""

    house: House
    worker: Worker[MemorySettings]

    async def remember(self, text: str) -> None:
        request = MemoryRemember(text=text)
        done = await self.house.bus.request(MEMORY_REMEMBER, request, timeout_s=10)
        assert done.error is None

    async def scores(self, text: str) -> list[float]:
        answer = await self.house.bus.request(MEMORY_QUERY, MemoryQuery(text=text), timeout_s=10)
        return [result.score for result in answer.results]

    async def is_ready(self) -> bool:
        return self.worker.health.state == "ready"

    async def goes_by_meaning(self) -> bool:
        """Whether the one memory has a vector and questions have one, too."""
        return await self.scores("what colour is my bicycle") > [0.0]


@asynccontextmanager
async def living(tmp_path: Path, url: str, name: str) -> AsyncIterator[Home]:
    workers: list[Worker[MemorySettings]] = []

    def seen(worker: Worker[MemorySettings]) -> Any:
        workers.append(worker)
        return build(worker)

    requests: list[RequestTopic[Any, Any]] = [MEMORY_QUERY, MEMORY_REMEMBER]
    runtime = RuntimeSettings(data_dir=tmp_path, server_retry_s=1)
    async with House(requests=requests) as house:
        settings = settings_for(url, timeout_s=1, engine=name, relevance_floor=0.01)
        await house.move_in("memory", settings, seen, runtime=runtime)
        yield Home(house, workers[0])


@pytest.mark.parametrize("name", ENGINES)
async def test_a_server_that_dies_is_noted_and_found_again(tmp_path: Path, name: str) -> None:
    server = Server()
    async with serving(server) as url, living(tmp_path, url, name) as home:
        await home.remember("my bicycle is red")
        assert await home.goes_by_meaning()
        assert await home.is_ready()
        assert "32 dimensions" in home.worker.health.engine
        server.status = 503
        for number in range(4):
            # By words: the answer is there, though without a cosine.
            assert await home.scores(f"bicycle number {number}") == [0.0]
        assert not await home.is_ready()
        server.status = 200
        await eventually(home.is_ready)
        assert await home.scores("bicycle again") > [0.0]


async def test_a_server_that_comes_late_is_adopted_without_a_restart(tmp_path: Path) -> None:
    async with serving(Server()) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
    async with living(tmp_path, url, "openai") as home:
        await home.remember("my bicycle is red")
        assert await home.scores("what colour is my bicycle") == [0.0]
        assert not await home.is_ready()
        async with serving(Server(), port):
            await eventually(home.goes_by_meaning)
            await eventually(home.is_ready)
