"""Calls that must not be made twice, across restarts and on a full disk."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from antiphon_contracts import TOOLS_CALL, TOOLS_LOG, Message, ToolCall, ToolLogQuery
from antiphon_contracts.errors import ConfigError, EngineError
from antiphon_tools import Registry, ToolContext, tool
from antiphon_tools.engine import compile_schema
from antiphon_tools.journal import KEPT_S, CallJournal
from antiphon_tools.service import Executor
from antiphon_tools.testing import open_guard
from pydantic import JsonValue

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "calls.log"


async def opened(path: Path, now: float = 1_000_000.0) -> CallJournal:
    journal = CallJournal(path, lambda: now)
    await journal.open()
    return journal


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def text(path: Path) -> str:
    return path.read_text()


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def test_a_call_begins_once_also_after_a_restart(path: Path) -> None:
    journal = await opened(path)
    assert await journal.begin("a")
    assert not await journal.begin("a")
    assert await journal.begin("b")
    journal = await opened(path)
    assert not await journal.begin("a")
    assert await journal.begin("c\n1000000.000 d")
    journal = await opened(path)
    assert await journal.begin("d")
    assert mode(path) == 0o600


async def test_a_day_later_it_is_forgotten(path: Path) -> None:
    assert await (await opened(path)).begin("old")
    later = await opened(path, 1_000_000.0 + KEPT_S + 1)
    assert text(path) == ""
    assert await later.begin("old")


async def test_half_a_line_and_rubbish_are_passed_over(path: Path) -> None:
    assert await (await opened(path)).begin("a")
    add(path, b"\n\xff\xfe\n1000000.0")
    journal = await opened(path)
    assert not await journal.begin("a")
    add(path, b"\n1000000.0")
    assert await journal.begin("b")
    assert not await (await opened(path)).begin("b")


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """No file may grow over this size, which fails as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, was)


@pytest.mark.parametrize("free_bytes", [0, 10])
async def test_what_cannot_be_noted_is_not_done(path: Path, free_bytes: int) -> None:
    journal = await opened(path)
    with full_disk(free_bytes), pytest.raises(EngineError, match="I cannot note what I do"):
        await journal.begin("a")
    assert await journal.begin("a")


async def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path
    with pytest.raises(ConfigError, match=str(path)):
        await opened(path)


async def test_only_what_is_not_idempotent_is_noted(path: Path) -> None:
    done: list[str] = []

    @tool("look", "Looks.", {}, idempotent=True)
    async def look(_arguments: object, _context: ToolContext) -> JsonValue:
        done.append("look")
        return True

    @tool("ring", "Rings.", {})
    async def ring(_arguments: object, _context: ToolContext) -> JsonValue:
        done.append("ring")
        return True

    registry = Registry(compile_schema, ())
    registry.offer("test", [look, ring])

    def no_context(_call: object) -> ToolContext:
        return ToolContext("default", None, None, None)  # type: ignore[arg-type]  # not looked at

    results = []
    for _life in range(2):
        executor = Executor(registry, no_context, open_guard(await opened(path)))
        for name in ("look", "ring"):
            message = Message(ToolCall(name=name), type=TOOLS_CALL.type, id=f"call-{name}")
            results.append(await executor.on_call(message))
    assert done == ["look", "ring", "look"]
    assert [result.error_code for result in results] == [None, None, None, "unknown_outcome"]
    assert results[-1].error == (
        "I was interrupted while doing it; it may or may not have been done."
    )


async def test_what_cannot_be_noted_is_not_done_and_that_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    @tool("ring", "Rings.", {})
    async def ring(_arguments: object, _context: ToolContext) -> JsonValue:
        done.append("ring")
        return True

    registry = Registry(compile_schema, ())
    registry.offer("test", [ring])
    journal = await opened(path)

    def full(_line: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal, "_append", full)
    guard = open_guard(journal)
    executor = Executor(registry, lambda _call: ToolContext("default", None, None, None), guard)  # type: ignore[arg-type]  # not looked at
    message = Message(ToolCall(name="ring"), type=TOOLS_CALL.type, id="call-1")
    result = await executor.on_call(message)
    assert (result.error_code, done) == ("failed", [])
    assert result.error == "I cannot note what I do (No space left on device), so I did not do it."
    log = await guard.calls.on_query(Message(ToolLogQuery(), type=TOOLS_LOG.type))
    assert [entry.error_code for entry in log.entries] == ["failed"]
