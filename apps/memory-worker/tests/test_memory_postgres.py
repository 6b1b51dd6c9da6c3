from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import ConfigError
from antiphon_memory import postgres as postgres_store
from antiphon_memory.postgres import matrix
from antiphon_memory.postgres.memories import PostgresMemories
from antiphon_memory.service import EVERYWHERE, Memory
from antiphon_memory.settings import MemorySettings
from antiphon_memory.testing import NoteBook, WordEmbedder
from antiphon_runtime.broker.address import free_port
from numpy.typing import NDArray
from pydantic import SecretStr
from storage_servers import PostgresServer, debian_postgres, running, wheel_postgres

pytestmark = pytest.mark.integration

DIMENSION = 64
EMBEDDER = WordEmbedder(dimension=DIMENSION)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running(PostgresServer(debian_postgres())) as server:
        yield server


@pytest.fixture(scope="module")
def with_pgvector() -> Iterator[PostgresServer]:
    with running(PostgresServer(wheel_postgres())) as server:
        yield server


def built(url: str, notes: NoteBook | None = None, **more: str) -> PostgresMemories:
    settings = MemorySettings.model_validate({"postgres_url": SecretStr(url), **more})
    notes = NoteBook() if notes is None else notes
    return postgres_store.memory_store(settings, Path("/nowhere"), notes)


def vector(text: str) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = EMBEDDER.embed([text])[0]
    return unit


async def put(store: PostgresMemories, name: str, text: str) -> None:
    kept = Memory(name, text, "user", "household", 1.0)
    await store.remember(f"m-{name}", kept, vector(text))


async def nearest(store: PostgresMemories, text: str, limit: int = 1) -> list[str]:
    found = await store.similar(vector(text), limit=limit, where=EVERYWHERE)
    return [one.memory.id for one in found]


async def words_found(store: PostgresMemories, word: str) -> list[str]:
    found = await store.matching([word], limit=9, where=EVERYWHERE, vector=None)
    return [one.memory.id for one in found]


async def test_a_missing_pgvector_is_noted(server: PostgresServer) -> None:
    notes = NoteBook()
    async with asyncio.timeout(30), built(server.fresh_url(), notes).open():
        assert "PostgreSQL has no pgvector" in notes["pgvector"]


async def test_pgvector_is_used_where_it_is(with_pgvector: PostgresServer) -> None:
    notes = NoteBook()
    url = with_pgvector.fresh_url()
    async with asyncio.timeout(30), built(url, notes).open():
        assert not notes
    kind = (
        "SELECT format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = 'antiphon.memories'::regclass AND attname = 'embedding'"
    )
    assert with_pgvector.run(url.rpartition("/")[2], kind) == "vector"


async def test_a_user_who_may_not_add_pgvector_goes_without_until_the_master_does(
    with_pgvector: PostgresServer,
) -> None:
    with_pgvector.run("postgres", "CREATE ROLE anna LOGIN")
    with_pgvector.run("postgres", "CREATE DATABASE hers OWNER anna")
    url = with_pgvector.url("hers", user="anna")
    notes = NoteBook()
    store = built(url, notes)
    async with asyncio.timeout(30), store.open():
        assert notes
        await store.adopt_model("words", DIMENSION)
        await put(store, "a", "my bicycle is red")
        assert await nearest(store, "bicycle") == ["a"]
    with_pgvector.run("hers", "CREATE EXTENSION vector")
    notes.clear()
    store = built(url, notes)
    async with asyncio.timeout(30), store.open():
        assert not notes
        await store.adopt_model("words", DIMENSION)
        assert [one.id for one in await store.unembedded(5)] == ["a"]
        await store.set_vectors(["a"], vector("my bicycle is red")[None])
        assert await nearest(store, "bicycle") == ["a"]


async def test_two_processes_see_each_others_memories(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "ROWS_AT_ONCE", 3)
    url = server.fresh_url()
    one, other = built(url), built(url)
    async with asyncio.timeout(30), one.open(), other.open():
        await one.adopt_model("words", DIMENSION)
        await other.adopt_model("words", DIMENSION)
        for number in range(8):
            await put(one, f"a{number}", f"the tent of house {number} is green")
        await put(other, "b", "my bicycle is red")
        assert await nearest(one, "bicycle") == ["b"]
        assert len(await nearest(other, "green tent", limit=20)) == 9
        await other.forget("f", [f"a{number}" for number in range(7)])
        assert set(await nearest(one, "green tent", limit=2)) == {"a7", "b"}
        await other.adopt_model("another", 8)
        assert await nearest(one, "bicycle") == []


async def test_the_matrix_grows_and_leaves_out_vectors_of_another_length() -> None:
    vectors = np.eye(matrix.FIRST_CAPACITY + 40, dtype=np.float32)
    here = matrix.Matrix(len(vectors))
    here.put([(0, "s", b"short")])
    for start in range(0, len(vectors), 70):
        rows = [
            (n, "s", matrix.to_bytes(vectors[n]))
            for n in range(start, start + 70)[:70]
            if n < len(vectors)
        ]
        here.put(rows)
    assert all(here.search(one, 1, ()) == [(n, 1.0)] for n, one in enumerate(vectors))


async def test_words_are_stemmed_by_the_language(server: PostgresServer) -> None:
    url = server.fresh_url()
    store = built(url)
    async with asyncio.timeout(30), store.open():
        await put(store, "a", "the bicycles are in the shed")
        assert await words_found(store, "bicycle") == ["a"]
    store = built(url, postgres_language="simple")
    async with asyncio.timeout(30), store.open():
        assert await words_found(store, "bicycle") == []
        assert await words_found(store, "bicycles") == ["a"]
        assert await words_found(store, "the") == ["a"]


async def test_an_unknown_language_is_told(server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="set postgres_language to simple"):
        async with built(server.fresh_url(), postgres_language="klin'gon").open():
            pass


async def test_stores_opened_at_once_make_the_tables_once(server: PostgresServer) -> None:
    url = server.fresh_url()

    async def begin(name: str) -> None:
        store = built(url)
        async with asyncio.timeout(30), store.open():
            await put(store, name, f"fact {name}")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(begin(name))
    assert server.run(url.rpartition("/")[2], "SELECT count(*) FROM antiphon.memories") == "3"


async def test_newer_tables_are_left_alone(server: PostgresServer) -> None:
    url = server.fresh_url()
    async with asyncio.timeout(30), built(url).open():
        pass
    name = url.rpartition("/")[2]
    server.run(name, "UPDATE antiphon.meta SET value = '99' WHERE key = 'version'")
    with pytest.raises(ConfigError, match="newer Antiphon"):
        async with built(url).open():
            pass


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://antiphon:geheim@127.0.0.1:{port}/nothing", "createdb antiphon"),
        ("postgresql://nobody:geheim@127.0.0.1:{port}/postgres", "set user and password"),
        ("postgresql://antiphon:geheim@127.0.0.1:{free}/postgres", "cannot be reached; start it"),
        ("geheim", "postgresql://user@host"),
        ("mysql://geheim@127.0.0.1/x", "postgresql://user@host"),
    ],
)
async def test_what_is_wrong_is_told_without_the_password(
    server: PostgresServer, url: str, sentence: str
) -> None:
    store = built(url.format(port=server.port, free=free_port()))
    with pytest.raises(ConfigError, match=sentence) as raised:
        async with asyncio.timeout(30), store.open():
            pass
    assert "geheim" not in str(raised.value)
