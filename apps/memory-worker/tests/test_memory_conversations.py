"""Conversations in SQLite: sessions, reading, searching, deleting for good, and moving in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from antiphon_memory.conversations import Session, Turn, first_words_of
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


async def say(
    store: SqliteConversations,
    text: str,
    ts: float,
    *,
    conversation: str = "s",
    idle_s: float = 10.0,
    longest_s: float = 1000.0,
    interrupted: bool = False,
) -> None:
    turn = Turn(conversation, "user", text, interrupted=interrupted, ts=ts, site_id="hall")
    await store.append(
        f"{conversation}-{hash(text)}", turn, ended_before=ts - idle_s, begun_before=ts - longest_s
    )


async def texts(store: SqliteConversations, conversation: str = "s", **more: float) -> list[str]:
    recent = await store.recent(conversation, since=more.get("since", 0.0), limit=400)
    return [] if recent is None else [turn.text for turn in recent.turns]


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


async def test_the_newest_come_first_of_their_own_conversation(store: SqliteConversations) -> None:
    for number in range(5):
        await say(store, f"t{number}", float(number), interrupted=number == 4)
    await say(store, "x", 9.0, conversation="else")
    recent = await store.recent("s", since=0.0, limit=2)
    assert recent is not None
    assert [(turn.text, turn.interrupted) for turn in recent.turns] == [("t4", True), ("t3", False)]
    assert await texts(store, "else") == ["x"]
    assert await store.recent("nobody", since=0.0, limit=2) is None


async def test_a_silence_ends_a_session_and_so_does_a_very_long_one(
    store: SqliteConversations,
) -> None:
    await say(store, "first words\nof all", 0.0)
    await say(store, "b", 10.0)
    await say(store, "c", 20.1)
    for number in range(10):
        await say(store, f"d{number}", 30.0 + number, longest_s=15.0)
    newest, middle, oldest = await sessions(store)
    assert (oldest.count, oldest.begin, oldest.end, oldest.first_words) == (
        2,
        0.0,
        10.0,
        "first words of all",
    )
    assert (oldest.conversation, oldest.site_id) == ("s", "hall")
    assert (middle.begin, middle.end) == (20.1, 35.0)
    assert (newest.begin, newest.count) == (36.0, 4)
    assert await texts(store) == ["d9", "d8", "d7", "d6"]
    assert await texts(store, since=39.1) == []
    assert len({session.id for session in await sessions(store)}) == 3


async def test_a_clock_that_is_set_back_takes_no_session_apart(store: SqliteConversations) -> None:
    await say(store, "a", 100.0)
    await say(store, "b", 90.0)
    (session,) = await sessions(store)
    assert (session.count, session.end) == (2, 100.0)
    assert await texts(store) == ["b", "a"]


async def test_sessions_and_turns_come_by_pages(store: SqliteConversations) -> None:
    for number in range(5):
        await say(store, f"t{number}", number * 100.0, conversation="ab"[number % 2])
    ends = [session.end for session in await sessions(store)]
    assert ends == [400.0, 300.0, 200.0, 100.0, 0.0]
    page = await store.sessions(conversation="a", skip=1, limit=1)
    assert [session.first_words for session in page] == ["t2"]
    for number in range(5):
        await say(store, f"u{number}", 401.0 + number, conversation="a")
    (newest,) = await store.sessions(conversation=None, skip=0, limit=1)
    assert newest.count == 6
    turns = await store.turns(newest.id, skip=2, limit=3)
    assert [turn.text for turn in turns] == ["u1", "u2", "u3"]
    assert turns[0] == Turn("a", "user", "u1", interrupted=False, ts=402.0, site_id="hall")
    assert await store.session(newest.id) == newest
    assert await store.session("nobody's") is None
    assert await store.turns("nobody's", skip=0, limit=3) == []


async def test_words_are_found_newest_first_all_of_them_in_any_form(
    store: SqliteConversations,
) -> None:
    await say(store, "the red bicycle", 1.0)
    await say(store, "bicycles are often red", 2.0, conversation="else")
    await say(store, "a blue bicycle", 3.0)
    found = await store.search(["red", "bicycle"], conversation=None, skip=0, limit=9)
    assert [one.turn.text for one in found] == ["bicycles are often red", "the red bicycle"]
    assert found[0].session_id == (await sessions(store, "else"))[0].id
    only = await store.search(["bicycle"], conversation="s", skip=1, limit=9)
    assert [one.turn.text for one in only] == ["the red bicycle"]
    for strange in ('"', "NEAR", "a OR b", "*", "_"):
        assert await store.search([strange, "zebra"], conversation=None, skip=0, limit=9) == []


async def test_a_summary_stands_for_the_oldest_and_never_goes_back(
    store: SqliteConversations,
) -> None:
    for number in range(6):
        await say(store, f"t{number}", float(number))
    (session,) = await sessions(store)
    assert not await store.summarise("nobody's", "x", covered=1)
    assert not await store.summarise(session.id, "too many", covered=7)
    assert await store.summarise(session.id, "they counted", covered=4)
    assert not await store.summarise(session.id, "again", covered=4)
    recent = await store.recent("s", since=0.0, limit=9)
    assert recent is not None
    assert (recent.session.summary, recent.session.covered) == ("they counted", 4)
    assert [turn.text for turn in recent.turns] == ["t5", "t4"]
    assert await store.summarise(session.id, "all", covered=6)
    recent = await store.recent("s", since=0.0, limit=9)
    assert recent is not None
    assert recent.turns == []


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


async def test_old_sessions_are_pruned_whole(store: SqliteConversations, path: Path) -> None:
    await say(store, "an aubergine", 1.0)
    await say(store, "b", 5.0)
    await say(store, "c", 100.0)
    await store.prune(before=5.0, replies_before=0.0)
    assert [session.count for session in await sessions(store)] == [1, 2]
    await store.prune(before=5.1, replies_before=0.0)
    assert [session.first_words for session in await sessions(store)] == ["c"]
    assert b"aubergin" not in on_disk(path)


async def test_reading_on_every_turn_goes_by_indexes(
    store: SqliteConversations, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as db:
        plan = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {SELECT_RECENT}", (0, 0, 0))]
    assert [step for step in plan if "SCAN sessions" in step or "SCAN h" in step] == []
    assert any("USING INDEX sessions_by_conversation" in step for step in plan)
    assert any("SEARCH h USING INDEX" in step and "number>" in step for step in plan)


@pytest.mark.parametrize(
    ("text", "words"),
    [(" a\n b ", "a b"), ("word " * 30, f"{'word ' * 14}word…"), ("x" * 90, "x" * 79 + "…")],
)
def test_first_words_stand_on_one_line(text: str, words: str) -> None:
    assert first_words_of(text) == words
    assert len(words) <= 80


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
        patch.setattr(store._file, "settle", killed)
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
