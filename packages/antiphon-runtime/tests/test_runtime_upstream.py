"""Calls to a server elsewhere: retry, breaker, probe, and what health says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from antiphon_contracts import EngineError
from antiphon_runtime import Breaker, BreakerRules, BreakerState, Upstream
from antiphon_runtime.upstream import shown

pytestmark = pytest.mark.unit

AWAY = EngineError("It does not answer.", retryable=True)
REFUSED = EngineError("The key was refused.")
SENTENCE = "The server at http://h does not answer; it is tried again every 0.01 s."


class Notes:
    """What health would say."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.breakers: dict[str, BreakerState] = {}
        self._changed = asyncio.Event()

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence
        self._changed.set()

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)
        self._changed.set()

    def show_breaker(self, name: str, state: BreakerState | None) -> None:
        if state is None:
            self.breakers.pop(name, None)
        else:
            self.breakers[name] = state
        self._changed.set()

    async def until_state(self, state: BreakerState) -> None:
        async with asyncio.timeout(5):
            while self.breakers.get("llm") != state or (state == "closed" and self.notes):
                self._changed.clear()
                await self._changed.wait()


class Server:
    """Plays one turn a call: pieces, then an error if one is given."""

    def __init__(self, *turns: list[str | EngineError]) -> None:
        self.turns = list(turns)
        self.calls = 0
        self.probes: list[EngineError | None] = []
        self.probed = 0

    async def answer(self) -> AsyncGenerator[str, None]:
        self.calls += 1
        for step in self.turns.pop(0):
            if isinstance(step, EngineError):
                raise step
            yield step

    async def whole(self) -> str:
        return "".join([piece async for piece in self.answer()])

    async def probe(self) -> None:
        self.probed += 1
        if self.probes and (error := self.probes.pop(0)) is not None:
            raise error


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def before(
    server: Server, notes: Notes, *, probed: bool = False, retry_s: float = 0.01
) -> Upstream:
    breaker = Breaker(BreakerRules(failures=3, retry_s=retry_s))
    return Upstream(
        "llm",
        "The server at http://h",
        notes,
        breaker,
        probe=server.probe if probed else None,
        retry_delay_s=0.0,
    )


async def ask(upstream: Upstream, server: Server) -> list[str]:
    async with asyncio.timeout(5), aclosing(upstream.stream(server.answer)) as pieces:
        return [piece async for piece in pieces]


async def test_a_passing_failure_is_tried_once_more_and_no_more() -> None:
    server = Server([AWAY], ["a", "b"], [AWAY], [AWAY])
    upstream = before(server, Notes())
    assert await ask(upstream, server) == ["a", "b"]
    with pytest.raises(EngineError, match="does not answer"):
        await ask(upstream, server)
    assert server.calls == 4


@pytest.mark.parametrize("turn", [["a", AWAY], [REFUSED]], ids=["begun", "final"])
async def test_what_has_begun_or_cannot_pass_is_not_tried_again(
    turn: list[str | EngineError],
) -> None:
    server = Server(turn)
    with pytest.raises(EngineError):
        await ask(before(server, Notes()), server)
    assert server.calls == 1


async def test_a_call_is_retried_and_returns_its_result() -> None:
    server = Server([AWAY], ["yes"])
    assert await before(server, Notes()).call(server.whole) == "yes"
    assert server.calls == 2


async def test_while_open_calls_fail_at_once_with_a_sentence() -> None:
    server, notes = Server([AWAY], [AWAY], [AWAY]), Notes()
    upstream = before(server, notes, retry_s=30)
    for _ in range(2):
        with pytest.raises(EngineError):
            await ask(upstream, server)
    assert server.calls == 3  # the one that opened it was not followed by a retry
    with pytest.raises(EngineError, match="it is tried again every 30 s") as raised:
        await upstream.call(server.whole)
    assert raised.value.retryable
    assert server.calls == 3


async def test_health_shows_the_breaker_until_a_probe_succeeds() -> None:
    server, notes = Server([AWAY], [AWAY], [AWAY], ["Hello."]), Notes()
    server.probes = [AWAY, AWAY, None]
    upstream = before(server, notes, probed=True)
    async with upstream.open():
        assert notes.breakers == {"llm": "closed"}
        for _ in range(2):
            with pytest.raises(EngineError):
                await ask(upstream, server)
        assert notes.notes == {"breaker:llm": SENTENCE}
        await notes.until_state("closed")
        assert server.probed == 3
        assert await ask(upstream, server) == ["Hello."]
    assert (notes.breakers, notes.notes) == ({}, {})


async def test_a_server_that_refuses_the_probe_is_there() -> None:
    server, notes = Server([AWAY], [AWAY], [AWAY]), Notes()
    server.probes = [REFUSED]
    upstream = before(server, notes, probed=True)
    async with upstream.open():
        for _ in range(2):
            with pytest.raises(EngineError):
                await ask(upstream, server)
        await notes.until_state("closed")


async def test_without_a_probe_the_next_call_is_the_trial() -> None:
    server, notes = Server([AWAY], [AWAY], [AWAY], ["Hello."]), Notes()
    upstream = before(server, notes, retry_s=0.0)
    async with upstream.open():
        for _ in range(2):
            with pytest.raises(EngineError):
                await ask(upstream, server)
        assert notes.breakers == {"llm": "open"}
        assert await ask(upstream, server) == ["Hello."]
        assert (notes.breakers, notes.notes) == ({"llm": "closed"}, {})


async def test_only_one_waits_for_a_server_that_hangs() -> None:
    clock, notes = Clock(), Notes()
    breaker = Breaker(BreakerRules(slow_s=3.0), now=clock)
    upstream = Upstream("llm", "The server", notes, breaker, now=clock)
    calls = 0

    async def hang() -> str:
        nonlocal calls
        calls += 1
        clock.now_s += 50
        raise AWAY

    for _ in range(5):
        with pytest.raises(EngineError):
            await upstream.call(hang)
    assert calls == 1


async def test_a_long_answer_that_breaks_off_is_no_long_wait() -> None:
    clock, notes = Clock(), Notes()
    upstream = Upstream("llm", "The server", notes, Breaker(now=clock), now=clock)

    async def break_off() -> AsyncGenerator[str, None]:
        for _ in range(10):
            clock.now_s += 1
            yield "word "
        raise AWAY

    async with upstream.open():
        with pytest.raises(EngineError):
            [word async for word in upstream.stream(break_off)]
        assert notes.breakers == {"llm": "closed"}


async def test_a_call_that_is_cancelled_neither_opens_it_nor_keeps_the_trial() -> None:
    server, notes = Server([AWAY], [AWAY], [AWAY], ["Hello."]), Notes()
    upstream = before(server, notes, retry_s=0.0)
    for _ in range(2):
        with pytest.raises(EngineError):
            await ask(upstream, server)
    asked = asyncio.Event()

    async def hang() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        trial = group.create_task(upstream.call(hang), name="trial")
        await asked.wait()
        with pytest.raises(EngineError, match="tried again"):
            await upstream.call(server.whole)
        trial.cancel()
    assert await ask(upstream, server) == ["Hello."]


async def test_a_reader_that_stops_early_closes_the_answer_and_counts_as_one() -> None:
    closed = asyncio.Event()

    async def talk() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "word "
        finally:
            closed.set()

    server, notes = Server([AWAY], [AWAY], [AWAY], [AWAY]), Notes()
    upstream = before(server, notes)
    with pytest.raises(EngineError):
        await ask(upstream, server)
    async with aclosing(upstream.stream(talk)) as words:
        assert await anext(words) == "word "
    assert closed.is_set()
    with pytest.raises(EngineError):
        await ask(upstream, server)
    assert server.calls == 4  # the two failures before it were forgotten


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("https://me:secret@host:1/v1?key=x") == "https://host:1/v1"
