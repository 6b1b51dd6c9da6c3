"""A server elsewhere that does an engine's work: breaker, retry and health in one place.

Every call to a server goes through `Upstream`, and nothing else tries again: not the HTTP client,
not the service.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import structlog
from antiphon_contracts import EngineError

from antiphon_runtime.breaker import Breaker, BreakerRules, BreakerState
from antiphon_runtime.tasks import running

T = TypeVar("T")

PROBE_TIMEOUT_S = 5.0
RETRY_DELAY_S = 0.3
LONGEST_WAIT_S = 2.0
"""What a server asks to be left alone for is waited for up to this; nobody likes to wait longer."""

log = structlog.get_logger(__name__)


class Later(EngineError):  # noqa: N818  (it says when)
    """The server asks to be left alone for a while.

    Attributes:
        after_s: for how long, in seconds.
    """

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message, retryable=True)
        self.after_s = after_s


@runtime_checkable
class Remote(Protocol):
    """An engine whose work is done by a server elsewhere."""

    @property
    def server(self) -> str:
        """What and where it is, for people, e.g. `The speech server at http://127.0.0.1:8000`."""

    async def probe(self) -> None:
        """Ask the server whether it is there; it may answer anything.

        Raises:
            EngineError: it does not answer, or says itself that it is out of order.
        """


class Notes(Protocol):
    """Where the state of a breaker is shown: `HealthReporter`."""

    def note(self, name: str, sentence: str) -> None:
        """Say that the worker works with less, and why."""

    def clear_note(self, name: str) -> None:
        """The worker works fully again."""

    def show_breaker(self, name: str, state: BreakerState | None) -> None:
        """Show the state of a breaker; None is no longer there."""


@dataclass
class _Call:
    """A call under way; `last_sign_s` is when it began, or when something last came."""

    last_sign_s: float
    begun: bool = False


class Upstream:
    """A server that may be away.

    Calls are refused at once while its breaker is open. `open` asks the server every now and then,
    so that no person has to wait for the trial.

    Args:
        name: of the breaker in health.
        server: what and where it is, for people; begins the sentences.
        health: shows the breaker.
        breaker: state machine.
        probe: see `Remote.probe`; None leaves the trial to the next call.
        retry_delay_s: mean pause before the one retry.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        server: str,
        health: Notes,
        breaker: Breaker,
        *,
        probe: Callable[[], Awaitable[None]] | None = None,
        retry_delay_s: float = RETRY_DELAY_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._health = health
        self._breaker = breaker
        self._probe = probe
        self._retry_delay_s = retry_delay_s
        self._now = now
        self._opened = asyncio.Event()
        self._shown: BreakerState | None = None
        self.sentence = (
            f"{server} does not answer; it is tried again every {breaker.rules.retry_s:g} s."
        )

    @classmethod
    def before(
        cls,
        engine: object,
        name: str,
        health: Notes,
        *,
        retry_s: float,
        called: str = "",
        retry_delay_s: float = RETRY_DELAY_S,
    ) -> Upstream:
        """Return what stands before an engine.

        Args:
            engine: a `Remote` one is probed and names its server itself.
            name: of the breaker in health.
            health: shows the breaker.
            retry_s: mean time between probes.
            called: begins the sentences where the engine is not `Remote`.
            retry_delay_s: mean pause before the one retry.
        """
        breaker = Breaker(BreakerRules(retry_s=retry_s))
        if isinstance(engine, Remote):
            return cls(
                name,
                engine.server,
                health,
                breaker,
                probe=engine.probe,
                retry_delay_s=retry_delay_s,
            )
        return cls(name, called, health, breaker, retry_delay_s=retry_delay_s)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Show the breaker, and probe the server while it is open, as long as the block runs."""
        self._show()
        try:
            async with running(**{f"probe:{self._name}": self._probe_when_open()}):
                yield
        finally:
            self._shown = None
            self._health.clear_note(self._note)
            self._health.show_breaker(self._name, None)

    def require(self) -> None:
        """Do nothing unless calls are refused now; for work that is in vain then.

        Raises:
            EngineError: the server is known to be away.
        """
        if self._breaker.state == "half_open" or self._breaker.due_in_s > 0:
            raise EngineError(self.sentence, retryable=True)

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Return what `function` returns; it is called once more after a passing failure.

        Raises:
            EngineError: as raised by `function`; at once and with a sentence while the server is
                known to be away.
        """

        async def once() -> AsyncGenerator[T, None]:
            yield await function()

        [result] = [item async for item in self.stream(once)]
        return result

    async def stream(self, make: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """Yield what a generator of `make` yields; once more after a passing failure.

        Nothing is tried again once something was yielded, when the server is taken for dead, or
        asks to be left alone for longer than `LONGEST_WAIT_S`.

        Raises:
            EngineError: see `call`.
        """
        call = _Call(self._now())
        pause_s = self._retry_delay_s * (0.5 + secrets.randbelow(1000) / 1000)
        try:
            async with aclosing(self._attempt(make, call)) as items:
                async for item in items:
                    yield item
        except EngineError as error:
            if call.begun or not error.retryable or self._breaker.state != "closed":
                raise
            if isinstance(error, Later):
                if error.after_s > LONGEST_WAIT_S:
                    raise
                pause_s += error.after_s
            log.warning("upstream.retried", server=self._name, detail=str(error))
        else:
            return
        await asyncio.sleep(pause_s)
        async with aclosing(self._attempt(make, _Call(self._now()))) as items:
            async for item in items:
                yield item

    async def _attempt(
        self, make: Callable[[], AsyncGenerator[T, None]], call: _Call
    ) -> AsyncGenerator[T, None]:
        with self._judged(call):
            async with aclosing(make()) as items:
                async for item in items:
                    call.begun = True
                    yield item
                    call.last_sign_s = self._now()

    @contextmanager
    def _judged(self, call: _Call, *, as_probe: bool = False) -> Iterator[None]:
        """Tell the breaker how what happens in the block goes."""
        ticket = self._breaker.admit()
        if ticket is None:
            raise EngineError(self.sentence, retryable=True)
        self._show()
        known = False
        try:
            yield
            known = True
            self._breaker.succeeded(ticket, as_probe=as_probe)
        except EngineError as error:
            known = True
            if error.retryable:
                self._breaker.failed(ticket, self._now() - call.last_sign_s)
            else:
                self._breaker.succeeded(ticket, as_probe=as_probe)  # it is there and says no
            raise
        finally:
            if not known and call.begun:
                self._breaker.succeeded(ticket)
            elif not known:
                self._breaker.left(ticket)
            self._show()

    async def _probe_when_open(self) -> None:
        """Make the trial of the open breaker, for ever."""
        if self._probe is None:
            return
        while True:
            await self._opened.wait()
            await asyncio.sleep(self._breaker.due_in_s)
            if self._breaker.state != "open":
                self._opened.clear()
                continue
            try:
                with self._judged(_Call(self._now()), as_probe=True):
                    await self._asked_in_time(self._probe)
            except EngineError as error:
                log.info("upstream.still_away", server=self._name, detail=str(error))

    async def _asked_in_time(self, probe: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await probe()
        except TimeoutError:
            raise EngineError(self.sentence, retryable=True) from None

    @property
    def _note(self) -> str:
        return f"breaker:{self._name}"

    def _show(self) -> None:
        """Show the state in health if it has changed."""
        state = self._breaker.state
        if state == self._shown:
            return
        was, self._shown = self._shown, state
        self._health.show_breaker(self._name, state)
        if state == "closed":
            self._health.clear_note(self._note)
        else:
            self._health.note(self._note, self.sentence)
        if state == "open":
            self._opened.set()
        if "closed" in {was, state} and was is not None:
            log.warning("upstream.breaker", server=self._name, state=state)


def shown(url: str) -> str:
    """Return an address without user name, password, query and fragment, for people and logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
