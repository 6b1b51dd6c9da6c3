"""Where timers are kept: the file and its stand-in alike, and what only a file suffers."""

import sqlite3
from contextlib import closing
from datetime import date
from datetime import time as time_of_day
from pathlib import Path

import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_timer import sqlite
from antiphon_timer.entry import Entry, Instant
from antiphon_timer.ledger import Event, TimerStore, Write
from antiphon_timer.sqlite import SqliteTimers
from antiphon_timer.testing import MemoryTimers

pytestmark = pytest.mark.unit

PASTA = Entry(
    id="t1",
    kind="timer",
    site_id="kitchen",
    name="pasta",
    due=Instant(wall=100.5, boot=7.25, boot_id="b"),
    length_s=60,
)
ALARM = Entry(
    id="t2",
    kind="alarm",
    site_id="bedroom",
    due=Instant(wall=2e9),
    at=time_of_day(7, 30),
    on=date(2026, 12, 24),
    zone="Europe/Paris",
)


class Noted(dict[str, str]):
    """What was noted."""

    def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
        self[name] = sentence

    def clear_note(self, name: str) -> None:
        self.pop(name, None)


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def aside_of(path: Path) -> list[bytes]:
    return [aside.read_bytes() for aside in path.parent.glob("*.corrupt-*")]


@pytest.fixture
def notes() -> Noted:
    return Noted()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "timers.sqlite"


@pytest.fixture(params=["file", "stand-in"])
async def store(request: pytest.FixtureRequest, path: Path, notes: Noted) -> TimerStore:
    return SqliteTimers(path, notes) if request.param == "file" else MemoryTimers()


async def test_what_is_written_is_there_after_a_restart(store: TimerStore) -> None:
    events = [Event("e1", "kitchen", b"one"), Event("e2", "bedroom", b"two")]
    async with store.open():
        assert await store.timers() == []
        await store.write(Write(kept=[PASTA, ALARM], events=events, answered=("m1", "{}")))
    async with store.open():
        assert sorted(await store.timers(), key=lambda entry: entry.id) == [PASTA, ALARM]
        assert await store.events() == events
        assert await store.answer_to("m1") == "{}"
        assert await store.answer_to("m2") is None
        changed = PASTA.turned(state="ringing")
        await store.write(Write(kept=[changed], gone=[ALARM.id]))
        await store.forget_events(["e1", "unknown"])
    async with store.open():
        assert await store.timers() == [changed]
        assert await store.events() == events[1:]


async def test_an_event_that_is_written_twice_is_kept_once(store: TimerStore) -> None:
    async with store.open():
        for _ in range(2):
            await store.write(Write(events=[Event("e1", "kitchen", b"one")]))
        assert len(await store.events()) == 1


async def test_all_is_written_or_nothing(path: Path, notes: Noted) -> None:
    store = SqliteTimers(path, notes)
    async with store.open():
        await store.write(Write(answered=("m1", "{}")))
        with pytest.raises(EngineError):
            await store.write(Write(kept=[PASTA], answered=("m1", "{}")))
        assert await store.timers() == []


async def test_answers_are_counted(
    path: Path, notes: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "KEPT_ANSWERS", 3)
    store = SqliteTimers(path, notes)
    async with store.open():
        for number in range(5):
            await store.write(Write(answered=(f"m{number}", "{}")))
        known = [await store.answer_to(f"m{number}") is not None for number in range(5)]
    assert known == [False, False, True, True, True]


async def test_the_file_is_private_and_safe_from_a_power_cut(path: Path, notes: Noted) -> None:
    store = SqliteTimers(path, notes)
    async with store.open():
        assert modes(path, path.parent) == [0o600, 0o700]
        [[mode]] = await store._read("PRAGMA journal_mode")
        [[synchronous]] = await store._read("PRAGMA synchronous")
        assert (mode, synchronous) == ("wal", 2)


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 400, b"SQLite format 3\0" + b"\7" * 9000]
)
async def test_a_damaged_file_is_put_aside(path: Path, notes: Noted, damage: bytes) -> None:
    write(path, damage)
    store = SqliteTimers(path, notes)
    async with store.open():
        await store.write(Write(kept=[PASTA]))
    assert aside_of(path) == [damage]
    assert "began anew" in notes["damaged"]


async def test_one_timer_that_cannot_be_read_does_not_matter(path: Path, notes: Noted) -> None:
    store = SqliteTimers(path, notes)
    async with store.open():
        await store.write(Write(kept=[PASTA, ALARM]))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE timers SET entry = '{}' WHERE id = 't1'")
    async with store.open():
        assert await store.timers() == [ALARM]
    assert notes.keys() == {"unreadable"}


async def test_a_newer_file_is_left_alone(path: Path, notes: Noted) -> None:
    store = SqliteTimers(path, notes)
    async with store.open():
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer Antiphon"):
        async with store.open():
            pass
    assert aside_of(path) == []


async def test_a_path_that_is_none(tmp_path: Path, notes: Noted) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="check its path"):
        async with SqliteTimers(tmp_path / "file" / "timers.sqlite", notes).open():
            pass


async def test_a_closed_store_says_so(path: Path, notes: Noted) -> None:
    with pytest.raises(EngineError, match="closed"):
        await SqliteTimers(path, notes).timers()
