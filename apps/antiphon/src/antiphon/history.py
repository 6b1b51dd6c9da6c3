"""Past conversations: `antiphon history list`, `show`, `search`, `export` and `delete`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
from antiphon_contracts import (
    HISTORY_DELETE,
    HISTORY_LIST,
    HISTORY_SEARCH,
    HISTORY_SHOW,
    ConfigError,
    EngineError,
    HistoryDelete,
    HistoryDeleted,
    HistoryFound,
    HistoryList,
    HistoryMessage,
    HistoryPage,
    HistorySearch,
    HistorySession,
    HistorySessions,
    HistoryShow,
    Payload,
    RequestTopic,
)
from antiphon_runtime import Bus
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon import screens
from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
PAGE = 100

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (
    HISTORY_LIST,
    HISTORY_SHOW,
    HISTORY_SEARCH,
    HISTORY_DELETE,
)

Format = Literal["jsonl", "text"]

P = TypeVar("P", bound=Payload)
R = TypeVar("R", HistorySessions, HistoryPage, HistoryFound, HistoryDeleted)


@asynccontextmanager
async def _open(broker: str | None) -> AsyncIterator[Bus]:
    bus = client_bus(find_broker(broker))
    bus.install(requests=REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        yield bus


async def _ask(bus: Bus, topic: RequestTopic[P, R], payload: P) -> R:
    """Return memory's answer.

    Raises:
        EngineError: memory says that it cannot.
        BusError: memory does not answer.
    """
    answer = await bus.request(topic, payload, timeout_s=ANSWER_TIMEOUT_S)
    if answer.error is not None:
        raise EngineError(answer.error)
    return answer


async def show_list(
    site: str | None, *, skip: int, limit: int, json: bool, broker: str | None
) -> None:
    """Print sessions, the last to end first.

    Raises:
        EngineError: memory cannot read them.
        BusError: there is no broker or no memory.
    """
    async with _open(broker) as bus:
        query = HistoryList(conversation=site, skip=skip, limit=limit)
        found = await _ask(bus, HISTORY_LIST, query)
    if json:
        print_json(found.model_dump(exclude={"error"}))
        return
    console = Console()
    if not found.sessions:
        print_line(console, "no sessions")
        return
    console.print(_table(found.sessions))
    if found.more:
        print_line(console, f"there are more: --skip {skip + len(found.sessions)}")


def _table(sessions: Iterable[HistorySession]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("session", no_wrap=True, min_width=12)
    table.add_column("of", no_wrap=True, min_width=7, max_width=12)
    table.add_column("begin", no_wrap=True, min_width=16)
    table.add_column("length", no_wrap=True, min_width=6)
    table.add_column("lines", justify="right", no_wrap=True, min_width=5)
    table.add_column("first words", no_wrap=True, overflow="ellipsis")
    for one in sessions:
        table.add_row(
            one.id,
            Text(_plain(one.conversation)),
            _time(one.begin),
            screens.duration(max(0.0, one.end - one.begin)),
            str(one.count),
            Text(_plain(one.first_words)),
        )
    return table


async def show(session: str | None, site: str | None, *, json: bool, broker: str | None) -> None:
    """Print what was said in one session; None is the last to end.

    Raises:
        EngineError: there is no such session.
        BusError: there is no broker or no memory.
    """
    async with _open(broker) as bus:
        found, messages = await _whole(bus, HistoryShow(session=session, conversation=site))
    if json:
        dump = [message.model_dump() for message in messages]
        print_json({"session": found.model_dump(), "messages": dump})
        return
    console = Console()
    for line in _as_text(found, messages):
        print_line(console, line)


async def _whole(bus: Bus, query: HistoryShow) -> tuple[HistorySession, list[HistoryMessage]]:
    messages: list[HistoryMessage] = []
    while True:
        page = await _ask(bus, HISTORY_SHOW, query)
        if page.session is None:
            msg = "There is no such session."
            raise EngineError(msg)
        messages += page.messages
        if not page.more or not page.messages:
            return page.session, messages
        query = HistoryShow(session=page.session.id, skip=len(messages))


def _as_text(session: HistorySession, messages: Iterable[HistoryMessage]) -> list[str]:
    where = f" at {session.site}" if session.site not in {"", session.conversation} else ""
    lines = [
        _plain(f"session {session.id} of {session.conversation}{where}, {_time(session.begin)}")
    ]
    if session.summary:
        lines.append(_plain(f"in short, up to line {session.covered}: {session.summary}"))
    for message in messages:
        who = "you" if message.role == "user" else "antiphon"
        cut = " (interrupted)" if message.interrupted else ""
        at = f"{datetime.fromtimestamp(message.ts).astimezone():%H:%M:%S}"
        lines.append(f"{at}  {who}: {_plain(message.text)}{cut}")
    return lines


async def search(
    text: str, site: str | None, *, skip: int, limit: int, json: bool, broker: str | None
) -> None:
    """Print messages with all the words of a text, newest first.

    Raises:
        EngineError: there is no word to search for.
        BusError: there is no broker or no memory.
    """
    async with _open(broker) as bus:
        query = HistorySearch(text=text, conversation=site, skip=skip, limit=limit)
        found = await _ask(bus, HISTORY_SEARCH, query)
    if json:
        print_json(found.model_dump(exclude={"error"}))
        return
    console = Console()
    if not found.matches:
        print_line(console, "nothing found")
    for match in found.matches:
        who = "you" if match.role == "user" else "antiphon"
        place = f"{match.session}  {_time(match.ts)}  {match.conversation}"
        print_line(console, _plain(f"{place}  {who}: {match.text}"))
    if found.more:
        print_line(console, f"there are more: --skip {skip + len(found.matches)}")


async def export(
    sessions: Sequence[str], site: str | None, style: Format, *, broker: str | None
) -> list[str]:
    """Return what was said in sessions, line by line, the oldest first; of all without a name.

    Raises:
        EngineError: there is no such session.
        BusError: there is no broker or no memory.
    """
    lines: list[str] = []
    async with _open(broker) as bus:
        names = list(sessions) or [one.id for one in await _all(bus, site)][::-1]
        for name in dict.fromkeys(names):
            session, messages = await _whole(bus, HistoryShow(session=name))
            if style == "text":
                lines += [*_as_text(session, messages), ""]
            else:
                lines += map(_as_json, [session] * len(messages), range(len(messages)), messages)
    return lines


def _as_json(session: HistorySession, number: int, message: HistoryMessage) -> str:
    line = {
        "session": session.id,
        "conversation": session.conversation,
        "site": session.site,
        "number": number,
        **message.model_dump(),
    }
    return orjson.dumps(line).decode()


def write_private(path: Path, lines: Iterable[str]) -> None:
    """Write a file that is not there yet, for its owner only.

    Raises:
        ConfigError: it is there, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  (a descriptor)
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(msg) from error


async def _all(bus: Bus, site: str | None) -> list[HistorySession]:
    """Return all sessions, the last to end first."""
    found: dict[str, HistorySession] = {}
    skip = 0
    while True:
        page = await _ask(bus, HISTORY_LIST, HistoryList(conversation=site, skip=skip, limit=PAGE))
        found |= {one.id: one for one in page.sessions}
        skip += len(page.sessions)
        if not page.more or not page.sessions:
            return list(found.values())


async def count(site: str | None, *, broker: str | None) -> int:
    """Return how many sessions there are, of a site or all.

    Raises:
        EngineError: memory cannot read them.
        BusError: there is no broker or no memory.
    """
    async with _open(broker) as bus:
        return len(await _all(bus, site))


async def delete(
    sessions: Sequence[str], site: str | None, *, json: bool, broker: str | None
) -> None:
    """Delete sessions, or all of a site, or all without either.

    Raises:
        EngineError: one was not there, or memory cannot delete.
        BusError: there is no broker or no memory.
    """
    order = HistoryDelete(
        sessions=tuple(sessions), conversation=site, everything=not sessions and site is None
    )
    async with _open(broker) as bus:
        done = await _ask(bus, HISTORY_DELETE, order)
    if json:
        print_json(done.model_dump(exclude={"error"}))
    else:
        print_line(Console(), f"deleted: {done.sessions}")
    if done.missing:
        raise EngineError(f"there is no session {', '.join(done.missing)}")


def _time(ts: float) -> str:
    return f"{datetime.fromtimestamp(ts).astimezone():%Y-%m-%d %H:%M}"


def _plain(text: str) -> str:
    """Return a text on one line, without what would steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
