"""`antiphon history` against memory's real handlers, on a store in memory."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import structlog
from antiphon import history
from antiphon.history_commands import history_app
from antiphon_contracts import (
    HISTORY_DELETE,
    HISTORY_LIST,
    HISTORY_SEARCH,
    HISTORY_SHOW,
    ConfigError,
    EngineError,
    RemoteError,
)
from antiphon_memory.conversations import Session, Turn
from antiphon_memory.history import History, Retention
from antiphon_memory.testing import ConversationsInMemory
from antiphon_runtime import Bus, RuntimeSettings, serve
from antiphon_runtime.testing import House
from typer.testing import CliRunner

pytestmark = pytest.mark.unit

HERE = "mqtt://h"
NOON = 1_767_265_200.0


class Home:
    """A house with a history, and a short way to speak in it."""

    def __init__(self) -> None:
        self.store = ConversationsInMemory()
        self.said = 0

    async def say(
        self, text: str, ts: float, *, of: str = "hall", interrupted: bool = False
    ) -> None:
        self.said += 1
        turn = Turn(
            of,
            "assistant" if interrupted else "user",
            text,
            interrupted=interrupted,
            ts=NOON + ts,
            site_id="hall",
        )
        await self.store.append(
            f"m{self.said}", turn, ended_before=NOON + ts - 60.0, begun_before=0.0
        )

    async def sessions(self) -> list[Session]:
        return await self.store.sessions(conversation=None, skip=0, limit=1000)


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    home = Home()
    handlers = History(home.store, Retention(60.0, 86_400.0))
    async with asyncio.timeout(10), House() as house:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(history, "client_bus", bus)
        await house.serve(
            serve(HISTORY_LIST, handlers.on_list),
            serve(HISTORY_SHOW, handlers.on_show),
            serve(HISTORY_SEARCH, handlers.on_search),
            serve(HISTORY_DELETE, handlers.on_delete),
        )
        yield home
    structlog.reset_defaults()


async def list_all(site: str | None = None, *, json: bool = False, skip: int = 0) -> None:
    await history.show_list(site, skip=skip, limit=20, json=json, broker=HERE)


async def test_sessions_are_listed_and_no_word_steers_the_terminal(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    await list_all()
    assert capsys.readouterr().out == "no sessions\n"
    await home.say("hi \x1b[31m[red]\n", 0.0)
    await home.say("bye", 50.0)
    for number in range(20):
        await home.say(f"anna {number}", 100.0 * (number + 1), of="anna")
    await list_all()
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 26
    assert max(map(len, out.splitlines())) <= 80
    assert "anna 19" in out
    assert "there are more: --skip 20" in out
    await list_all("hall")
    out = capsys.readouterr().out
    assert "hi [31m[red]" in out
    assert "\x1b" not in out
    assert " 50 s " in out
    await list_all("anna", json=True, skip=19)
    page = orjson.loads(capsys.readouterr().out)
    assert [one["first_words"] for one in page["sessions"]] == ["anna 0"]
    assert page["more"] is False


async def test_a_session_is_shown_whole_the_last_without_a_name(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(250):
        await home.say(f"word {number}", float(number))
    await home.say("It is", 250.0, interrupted=True)
    await home.say("mine", 1000.0, of="anna")
    anna, hall = await home.sessions()
    await home.store.summarise(hall.id, "They counted.", covered=4)
    await history.show(None, "hall", json=False, broker=HERE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"session {hall.id} of hall, 20")
    assert lines[1] == "in short, up to line 4: They counted."
    assert lines[2].endswith("  you: word 0")
    assert lines[-1].endswith("  antiphon: It is (interrupted)")
    assert len(lines) == 253
    await history.show(None, None, json=True, broker=HERE)
    shown = orjson.loads(capsys.readouterr().out)
    assert shown["session"]["id"] == anna.id
    assert shown["session"]["site"] == "hall"
    assert [message["text"] for message in shown["messages"]] == ["mine"]
    with pytest.raises(EngineError, match="no such session"):
        await history.show("nobody's", None, json=False, broker=HERE)


async def test_search_shows_where_and_when(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    await home.say("the canary is in the attic", 0.0)
    await home.say("a canary", 100.0)
    await history.search("ATTIC canary", None, skip=0, limit=9, json=False, broker=HERE)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith((await home.sessions())[1].id)
    assert line.endswith("hall you: the canary is in the attic")
    await history.search("canary", "hall", skip=0, limit=1, json=False, broker=HERE)
    assert capsys.readouterr().out.endswith("there are more: --skip 1\n")
    await history.search("canary", None, skip=0, limit=9, json=True, broker=HERE)
    found = orjson.loads(capsys.readouterr().out)
    assert [match["text"] for match in found["matches"]] == [
        "a canary",
        "the canary is in the attic",
    ]
    await history.search("zebra", None, skip=0, limit=9, json=False, broker=HERE)
    assert capsys.readouterr().out == "nothing found\n"


async def test_everything_is_exported_the_oldest_first(home: Home) -> None:
    for number in range(130):
        await home.say(f"t{number}", 100.0 * number)
    await home.say("mine", 0.0, of="anna")
    lines = await history.export([], "hall", "jsonl", broker=HERE)
    exported = [orjson.loads(line) for line in lines]
    assert [line["text"] for line in exported] == [f"t{number}" for number in range(130)]
    sessions = await home.sessions()
    assert exported[0] == {
        "session": sessions[-1].id if sessions[-1].conversation == "hall" else sessions[-2].id,
        "conversation": "hall",
        "site": "hall",
        "number": 0,
        "role": "user",
        "text": "t0",
        "ts": NOON,
        "interrupted": False,
    }
    assert len(await history.export([], None, "jsonl", broker=HERE)) == 131
    text = await history.export([sessions[0].id], None, "text", broker=HERE)
    assert text[1].endswith("you: t129")
    with pytest.raises(EngineError, match="no such session"):
        await history.export(["nobody's"], None, "text", broker=HERE)


def test_an_export_is_for_its_owner_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.write_private(path, ["ä", "b"])
    assert path.read_text(encoding="utf-8") == "ä\nb\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match=r"history\.jsonl cannot be written: File exists"):
        history.write_private(path, [])


async def test_sessions_are_deleted_and_what_was_not_there_is_named(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        await home.say(f"t{number}", 100.0 * number)
    await home.say("mine", 0.0, of="anna")
    newest = (await home.sessions())[0].id
    with pytest.raises(EngineError, match="there is no session nobody's"):
        await history.delete([newest, "nobody's"], None, json=False, broker=HERE)
    assert capsys.readouterr().out == "deleted: 1\n"
    assert await history.count("hall", broker=HERE) == 2
    await history.delete([], "hall", json=True, broker=HERE)
    assert orjson.loads(capsys.readouterr().out) == {"sessions": 2, "missing": []}
    await history.delete([], None, json=False, broker=HERE)
    assert await home.sessions() == []


async def test_a_store_that_fails_is_a_sentence(home: Home) -> None:
    home.store.failing = True
    with pytest.raises(RemoteError, match="failed on purpose"):
        await list_all()


class Orders:
    """Notes what the command line would do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.deleted: list[tuple[tuple[str, ...], str | None]] = []

        async def delete(names: list[str], site: str | None, **_more: object) -> None:
            self.deleted.append((tuple(names), site))

        async def count_all(_site: str | None, **_more: object) -> int:
            return count

        monkeypatch.setattr(history, "delete", delete)
        monkeypatch.setattr(history, "count", count_all)


def run(*arguments: str, words: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(history_app, ["delete", *arguments], input=words)
    structlog.reset_defaults()
    return result.exit_code, result.output


def test_delete_asks_first_and_no_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = Orders(monkeypatch, 7)
    for words in ("n\n", "\n", ""):
        code, said = run("--site", "hall", words=words)
        assert code == 1
        assert "Delete 7 sessions of hall for good? [y/N]" in said
    assert orders.deleted == []
    assert run("a", "a", words="y\n")[0] == 0
    assert run("--all", "--yes")[0] == 0
    assert orders.deleted == [(("a",), None), ((), None)]
    assert "Delete 1 session for good?" in run("a")[1]


def test_nothing_to_delete_needs_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = Orders(monkeypatch, 0)
    assert run("--site", "hall") == (0, "")
    assert orders.deleted == [((), "hall")]
