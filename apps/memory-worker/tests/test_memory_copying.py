"""Copying memories between real stores."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory import copying
from antiphon_memory.copying import Copied, Row, copy
from antiphon_memory.places import place_named, shown
from antiphon_memory.service import EVERYWHERE, Memory, MemoryStore, Outcome
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook, WordEmbedder
from numpy.typing import NDArray
from storage_servers import MilvusLiteServer, PostgresServer, debian_postgres, running

pytestmark = pytest.mark.integration

DIMENSION = 64
EMBEDDER = WordEmbedder(dimension=DIMENSION)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 7)


@pytest.fixture(scope="module", params=["postgresql", "milvus"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer | MilvusLiteServer]:
    made: PostgresServer | MilvusLiteServer
    if request.param == "milvus":
        made = MilvusLiteServer(tmp_path_factory.mktemp("milvus"))
    else:
        made = PostgresServer(debian_postgres())
    with running(made):
        yield made


def memory(number: int, text: str = "", *, scope: str = "household") -> Memory:
    return Memory(f"id-{number:03}", text or f"Fact {number} größe", "user", scope, number / 7)


async def fill(store: MemoryStore, numbers: Sequence[int]) -> None:
    await store.adopt_model("words", DIMENSION)
    for number in numbers:
        kept = memory(number, scope="anna" if number % 3 else "household")
        vector = None if number % 5 == 0 else EMBEDDER.embed([kept.text])[0]
        await store.remember(f"told-{number}", kept, vector)


def in_file(path: Path) -> SqliteStore:
    return SqliteStore(path, NoteBook())


async def everything(store: MemoryStore) -> list[tuple[Memory, list[float] | None]]:
    rows = await store.rows(after="", limit=1000, where=EVERYWHERE, superseded=True)
    vectors = await store.vectors_of([one.id for one in rows])
    return [(one, vectors[one.id].tolist() if one.id in vectors else None) for one in rows]


async def test_all_goes_to_a_server_and_back(
    tmp_path: Path, server: PostgresServer | MilvusLiteServer
) -> None:
    settings, notes = MemorySettings(), NoteBook()
    url = server.fresh_url()
    names = [f"sqlite:{tmp_path / 'a.sqlite'}", url, f"sqlite:{tmp_path / 'b.sqlite'}"]
    first, there, back = (place_named(name, settings, tmp_path, notes) for name in names)
    steps: list[tuple[str, int]] = []
    async with asyncio.timeout(60), first.open() as one, there.open() as two, back.open() as three:
        await fill(one, range(39))
        await one.remember("told-39", memory(39), EMBEDDER.embed(["x"])[0], replaces=["id-006"])
        done = await copy(
            one, two, name="a", merge=False, on_progress=lambda *step: steps.append(step)
        )
        assert done == Copied(memories=40, written=40, with_vectors=True)
        assert await copy(two, three, name="b", merge=False) == done
        assert await everything(one) == await everything(two) == await everything(three)
        assert await three.model() == ("words", DIMENSION)
        near = await two.similar(EMBEDDER.embed(["größe"])[0], limit=99, where=EVERYWHERE)
        assert len(near) == 31
    assert ("copied", 40) in steps
    assert ("verified", 40) in steps


async def test_a_target_with_memories_is_refused_and_left_alone(tmp_path: Path) -> None:
    one, two = in_file(tmp_path / "a"), in_file(tmp_path / "b")
    async with asyncio.timeout(60), one.open(), two.open():
        await fill(one, range(3))
        await fill(two, range(10, 12))
        before = await everything(two)
        with pytest.raises(ConfigError, match="--merge"):
            await copy(one, two, name="a", merge=False)
        assert await everything(two) == before
        with pytest.raises(ConfigError, match="--merge"):  # the refused one was not begun
            await copy(one, two, name="a", merge=False)


async def test_merging_adds_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    one, two = in_file(tmp_path / "a"), in_file(tmp_path / "b")
    async with asyncio.timeout(60), one.open(), two.open():
        await fill(one, range(20))
        await fill(two, range(30, 33))
        mine = Memory("mine", "FACT 3 GRÖSSE", "user", "household", 99.0)
        await two.remember("mine", mine, None)
        before = await everything(two)
        done = await copy(one, two, name="a", merge=True)
        assert done == Copied(memories=20, written=19, with_vectors=True)
        after = await everything(two)
        assert [row for row in after if row in before] == before
        assert len(after) == 23
        assert (await copy(one, two, name="a", merge=True)).written == 0


async def test_merging_into_another_model_leaves_the_vectors_behind(tmp_path: Path) -> None:
    one, two = in_file(tmp_path / "a"), in_file(tmp_path / "b")
    async with asyncio.timeout(60), one.open(), two.open():
        await fill(one, range(4))
        await two.adopt_model("other", 8)
        await two.remember("x", Memory("x", "x", "user", "s", 1.0), np.ones(8, dtype=np.float32))
        assert not (await copy(one, two, name="a", merge=True)).with_vectors
        assert await two.model() == ("other", 8)
        assert await two.count_unembedded() == 4


class Stumbling(SqliteStore):
    """Fails after some writes, or stores other times."""

    left = 10**6
    lies = False

    def _stumble(self) -> None:
        self.left -= 1
        if self.left < 0:
            msg = "the disk is full; free some space"
            raise EngineError(msg)

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        self._stumble()
        if self.lies:
            memories = [replace(one, ts=one.ts + 1e-9) for one in memories]
        return await super().restore(message_id, memories)

    async def set_vectors(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._stumble()
        await super().set_vectors(ids, vectors)


@pytest.mark.parametrize(("steps", "copied"), [(4, 14), (5, 21)])
async def test_a_copy_that_was_stopped_goes_on(tmp_path: Path, steps: int, copied: int) -> None:
    one, two = in_file(tmp_path / "a"), Stumbling(tmp_path / "b", NoteBook())
    async with asyncio.timeout(60), one.open():
        await fill(one, range(40))
        async with two.open():
            two.left = steps
            with pytest.raises(EngineError, match="free some space"):
                await copy(one, two, name="a", merge=False)
            two.left = 10**6
            with pytest.raises(ConfigError, match="--merge"):
                await copy(one, two, name="another", merge=False)
        async with two.open():
            done = await copy(one, two, name="a", merge=False)
            assert done.memories == 40
            assert done.written == 40 - copied
            assert await everything(one) == await everything(two)
            with pytest.raises(ConfigError, match="--merge"):  # it is finished
                await copy(one, two, name="a", merge=False)


async def test_a_copy_that_differs_is_told(tmp_path: Path) -> None:
    one, two = in_file(tmp_path / "a"), Stumbling(tmp_path / "b", NoteBook())
    two.lies = True
    async with asyncio.timeout(60), one.open(), two.open():
        await fill(one, range(8))
        with pytest.raises(EngineError, match="differs from them; stop"):
            await copy(one, two, name="a", merge=False)


async def test_a_file_that_another_program_has_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    place = place_named(f"sqlite:{path}", MemorySettings(), tmp_path, NoteBook())
    async with asyncio.timeout(60), place.open() as store:
        await fill(store, range(2))
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM memories").fetchall()
        with pytest.raises(ConfigError, match="stop it first"):
            async with place.open():
                pass
    async with asyncio.timeout(60), place.open(must_exist=True) as store:
        assert len(await everything(store)) == 2


async def test_a_missing_source_is_not_made(tmp_path: Path) -> None:
    place = place_named(f"sqlite:{tmp_path / 'none'}", MemorySettings(), tmp_path, NoteBook())
    with pytest.raises(ConfigError, match="There is no file"):
        async with place.open(must_exist=True):
            pass
    assert not (tmp_path / "none").exists()


def test_the_settings_say_where_a_store_by_name_is(tmp_path: Path) -> None:
    plain = place_named("sqlite", MemorySettings(), tmp_path, NoteBook())
    assert plain.path == tmp_path / "memory.sqlite"
    chosen = MemorySettings.model_validate({"path": tmp_path / "x"})
    assert place_named("sqlite", chosen, tmp_path, NoteBook()).path == tmp_path / "x"
    assert place_named("postgresql", MemorySettings(), tmp_path, NoteBook()).path is None


def test_an_unknown_place_is_answered_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="milvus, postgresql, sqlite"):
        place_named("oracle", MemorySettings(), tmp_path, NoteBook())


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("postgresql://anna:geheim@host:5432/antiphon", "postgresql://host:5432/antiphon"),
        ("sqlite:/a/b", "sqlite:/a/b"),
        ("sqlite", "sqlite"),
    ],
)
def test_a_place_is_shown_without_its_password(place: str, name: str) -> None:
    assert shown(place) == name


def test_contents_know_every_part_of_a_row() -> None:
    whole = Row(Memory("i", "t", "s", "c", 1.0), np.ones(2, dtype=np.float32))
    others = [
        Row(Memory("it", "", "s", "c", 1.0), whole.vector),
        Row(Memory("i", "t", "sc", "", 1.0), whole.vector),
        Row(Memory("i", "t", "s", "c", 1.5), whole.vector),
        Row(whole.memory, None),
        Row(whole.memory, np.zeros(2, dtype=np.float32)),
    ]
    contents = [copying.Contents() + row for row in (whole, *others)]
    assert len({one.checksum for one in contents}) == 6
    assert contents[0] + others[0] == contents[1] + whole
