"""Conversations in SQLite: on the disk, by which indexes, and moved in from before."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from antiphon_memory.conversations import Session, Turn
from antiphon_memory.sqlite import arrivals
from antiphon_memory.sqlite.conversations import SELECT_RECENT, SqliteConversations
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook

pytestmark = pytest.mark.integration

HELLO = Turn("s", "user", "hello", interrupted=False, ts=1.0, site_id="hall")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "conversations.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteConversations]:
    store = SqliteConversations(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        yield store


async def say(store: SqliteConversations, text: str, ts: float, *, conversation: str = "s") -> None:
    turn = Turn(conversation, "user", text, interrupted=False, ts=ts, site_id="hall")
    name = f"{conversation}-{hash(text)}"
    await store.append(name, turn, ended_before=ts - 10.0, begun_before=0.0)


async def sessions(store: SqliteConversations, conversation: str | None = None) -> list[Session]:
    return await store.sessions(conversation=conversation, skip=0, limit=100)


async def test_a_repeated_message_is_stored_once_also_after_a_restart(path: Path) -> None:
    for _ in range(2):
        store = SqliteConversations(path, NoteBook())
        async with store.open():
            await store.append("id", HELLO, ended_before=0.0, begun_before=0.0)
            recent = await store.recent("s", since=0.0, limit=9)
            assert recent is not None
            assert recent.turns == [HELLO]


def on_disk(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in sorted(path.parent.iterdir()))


async def test_what_is_deleted_is_nowhere_on_the_disk(
    store: SqliteConversations, path: Path
) -> None:
    await say(store, "the chartreuse xylophone " * 400, 1.0)
    await say(store, "what is kept", 1.0, conversation="else")
    for number in range(50):
        await say(store, f"chartreuse {number} kept", 2.0 + number / 10)
    (session,) = await sessions(store, "s")
    await store.summarise(session.id, "about a xylophone", covered=3)
    assert b"xylophone" in on_disk(path)
    assert b"chartreus" in on_disk(path)
    assert await store.delete("d", [session.id, "nobody's"]) == [session.id]
    left = on_disk(path)
    assert b"xylophon" not in left  # the stem is what the index holds
    assert b"chartreus" not in left
    assert b"what is kept" in left
    assert await store.search(["kept"], conversation="s", skip=0, limit=9) == []
    assert len(await store.search(["kept"], conversation=None, skip=0, limit=9)) == 1


async def test_a_repeated_delete_says_what_the_first_did(path: Path) -> None:
    ids: list[str] = []
    for _ in range(2):
        store = SqliteConversations(path, NoteBook())
        async with store.open():
            if not ids:
                await say(store, "a", 1.0)
                ids = [session.id for session in await sessions(store)]
            assert await store.delete("d", ids) == ids
            assert await store.delete("e", ids) == []
            assert await sessions(store) == []


async def test_what_is_pruned_is_nowhere_on_the_disk(
    store: SqliteConversations, path: Path
) -> None:
    await say(store, "an aubergine", 1.0)
    await say(store, "kept", 100.0)
    await store.prune(before=50.0, replies_before=0.0)
    assert b"aubergin" not in on_disk(path)
    assert b"kept" in on_disk(path)


async def test_words_are_found_in_other_forms(store: SqliteConversations) -> None:
    await say(store, "bicycles in the Café", 1.0)
    for word in ("bicycle", "CAFE", "café"):
        assert len(await store.search([word], conversation=None, skip=0, limit=9)) == 1


async def test_reading_on_every_turn_goes_by_indexes(
    store: SqliteConversations, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as db:
        plan = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {SELECT_RECENT}", (0, 0, 0))]
    assert [step for step in plan if "SCAN sessions" in step or "SCAN h" in step] == []
    assert any("USING INDEX sessions_by_conversation" in step for step in plan)
    assert any("SEARCH h USING INDEX" in step and "number>" in step for step in plan)


# Moving in

OLD_HISTORY = """
CREATE TABLE history (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, session_id TEXT NOT NULL,
    role TEXT NOT NULL, text TEXT NOT NULL, interrupted INTEGER NOT NULL, ts REAL NOT NULL
);
CREATE INDEX history_by_session ON history (session_id, row);
"""


def fill(path: Path) -> None:
    """Put the conversations of an older version into a file."""
    with closing(sqlite3.connect(path)) as db, db:
        for number in range(6):
            ts = number * 60.0 + (10_000 if number > 3 else 0)
            values = (f"i{number}", "hall", "user", f"marzipan {number}", number == 3, ts)
            db.execute(
                "INSERT INTO history (id, session_id, role, text, interrupted, ts)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
        db.execute(
            "INSERT INTO history (id, session_id, role, text, interrupted, ts)"
            " VALUES ('x', 'attic', 'assistant', 'boo', 0, 100.0)"
        )


@pytest.fixture
async def old(tmp_path: Path) -> Path:
    """Return a memory file that still has conversations in it."""
    path = tmp_path / "memory.sqlite"
    async with SqliteStore(path, NoteBook()).open():
        pass
    with closing(sqlite3.connect(path)) as db:
        db.executescript(OLD_HISTORY)
    fill(path)
    return path


async def assert_moved(store: SqliteConversations) -> None:
    found = [(one.conversation, one.count, one.begin, one.end) for one in await sessions(store)]
    assert found == [
        ("hall", 2, 10_240.0, 10_300.0),
        ("hall", 4, 0.0, 180.0),
        ("attic", 1, 100.0, 100.0),
    ]
    turns = await store.turns((await sessions(store))[1].id, skip=0, limit=9)
    assert [turn.text for turn in turns] == [f"marzipan {number}" for number in range(4)]
    assert [turn.interrupted for turn in turns] == [False, False, False, True]
    assert len(await store.search(["marzipan"], conversation="hall", skip=0, limit=9)) == 6


async def test_conversations_in_the_memory_file_move_once(old: Path) -> None:
    path, notes = old.with_name("conversations.sqlite"), NoteBook()
    for _ in range(2):
        store = SqliteConversations(path, notes, old_path=old)
        async with SqliteStore(old, notes).open(), store.open():
            await assert_moved(store)
    assert not notes
    for part in old.parent.glob("memory.sqlite*"):
        assert b"marzipan" not in part.read_bytes()


async def test_a_move_that_was_cut_short_is_finished_without_doubles(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, notes = old.with_name("conversations.sqlite"), NoteBook()
    store = SqliteConversations(path, notes, old_path=old)

    class KilledError(Exception):
        pass

    async def killed() -> None:
        raise KilledError

    with monkeypatch.context() as patch:  # after it was stored here, before it is deleted there
        patch.setattr(store._file, "checkpoint", killed)
        with pytest.raises(KilledError):
            async with store.open():
                pass
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT count(*) FROM history").fetchone() == (7,)
    async with store.open():
        await assert_moved(store)
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT count(*) FROM history").fetchone() == (0,)


async def test_a_move_that_fails_is_noted_and_leaves_all_in_place(old: Path) -> None:
    path, notes = old.with_name("conversations.sqlite"), NoteBook()
    with closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("ALTER TABLE history RENAME COLUMN ts TO time")
        db.commit()
    store = SqliteConversations(path, notes, old_path=old)
    async with store.open():
        assert await sessions(store) == []
        await say(store, "still working", 1.0)
    assert "restart memory" in notes["old_conversations"]


async def test_conversations_without_sessions_in_their_own_file_are_cut_into_some(
    path: Path,
) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            OLD_HISTORY
            + "CREATE TABLE seen (message_id TEXT PRIMARY KEY, reply TEXT NOT NULL, ts REAL);"
            + "PRAGMA user_version = 1;"
        )
    fill(path)
    for _ in range(2):
        store = SqliteConversations(path, NoteBook())
        async with store.open():
            await assert_moved(store)


def test_sessions_of_nothing_are_none_and_long_ones_are_cut() -> None:
    assert arrivals.sessions_of([]) == []
    hours = [arrivals.Arrival(str(n), "hall", "user", "x", 0, n * 1700.0) for n in range(30)]
    assert [len(session) for session in arrivals.sessions_of(hours)] == [26, 4]
