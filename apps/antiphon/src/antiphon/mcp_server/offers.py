"""Offers: what the house does for whoever speaks MCP to it, as requests on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

from antiphon_contracts import (
    ANNOUNCE,
    ANSWER,
    DEFAULT_SITE,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    Announce,
    ContractError,
    EngineError,
    MemoryQuery,
    MemoryRemember,
    Payload,
    RequestTimeout,
    RequestTopic,
    Timer,
    TimerChange,
    TimerDone,
    TimerKind,
    TimerQuery,
    TimerSelector,
    TimerSet,
)
from antiphon_contracts.level import is_level
from antiphon_runtime import Bus, listen_raw
from pydantic import Field, ValidationError

from antiphon.house import open_bus
from antiphon.plain_answers import ANSWER_TIMEOUT_S, PlainAnswers

ANNOUNCE_TIMEOUT_S = 120.0
REQUEST_TIMEOUT_S = 10.0

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (
    ANNOUNCE,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    TIMER_SET,
    TIMER_CHANGE,
    TIMER_QUERY,
)

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Site = Annotated[
    str | None, Field(description="Which room; leave it out for the usual one.", max_length=64)
]


class Offers:
    """What the house does, one method for each tool; each raises only `AntiphonError`.

    Args:
        bus: of its own, not yet open.
        site_id: where things are said and asked when no room is named.
    """

    def __init__(self, bus: Bus, site_id: str = DEFAULT_SITE) -> None:
        self._bus = bus
        self._site_id = site_id
        self._answers = PlainAnswers(bus)

    @asynccontextmanager
    async def open(self, timeout_s: float) -> AsyncIterator[Offers]:
        """Connect; the house can be asked while the block runs.

        Raises:
            BusError: the broker does not answer in time.
        """
        self._bus.install([listen_raw(ANSWER, self._answers.on_answer)], requests=REQUESTS)
        async with open_bus(self._bus, timeout_s):
            yield self

    # The conversation

    async def ask(
        self,
        question: Text,
        site: Site = None,
        speak: Annotated[bool, Field(description="Say the answer aloud there too.")] = False,  # noqa: FBT002  (a tool's argument)
    ) -> str:
        """Ask the house's assistant something, and return its answer.

        It knows the house: its memory, its documents, its devices, timers and lists.
        """
        with self._answers.asking(question, self._site(site), speak=speak) as asked:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    found = await asked.answer
            except TimeoutError:
                msg = "the house did not answer in time"
                raise RequestTimeout(msg) from None
        if found.error is not None and not found.answer:
            raise EngineError(found.error)
        return found.answer

    async def say(self, text: Text, site: Site = None) -> str:
        """Say something aloud in one room, when the conversation there pauses."""
        return await self._announce(text, (self._site(site),), priority=0)

    async def announce(
        self,
        text: Text,
        sites: Annotated[
            list[str] | None, Field(description="Which rooms; leave it out for all.", max_length=64)
        ] = None,
        urgent: Annotated[bool, Field(description="Interrupt what goes on.")] = False,  # noqa: FBT002  (a tool's argument)
    ) -> str:
        """Say something aloud in several rooms, or all of them."""
        named = tuple(self._site(site) for site in sites or ())
        return await self._announce(text, named, priority=20 if urgent else 0)

    async def _announce(self, text: str, sites: Sequence[str], *, priority: int) -> str:
        said = await self._bus.request(
            ANNOUNCE,
            Announce(text=text, sites=tuple(sites), priority=priority),
            timeout_s=ANNOUNCE_TIMEOUT_S,
        )
        if not said.sites:
            return "There is no room with a loudspeaker."
        return "; ".join(
            f"{where.site}: {where.state}" + (f" ({where.detail})" if where.detail else "")
            for where in said.sites
        )

    # Timers

    async def set_timer(
        self,
        kind: Annotated[TimerKind, Field(description="A reminder says its text.")] = "timer",
        after_s: Annotated[float | None, Field(description="In so many seconds.")] = None,
        at: Annotated[str | None, Field(description="Or at this local time, HH:MM.")] = None,
        on: Annotated[str | None, Field(description="With `at`: on this date, YYYY-MM-DD.")] = None,
        days: Annotated[
            list[int] | None, Field(description="With `at`: every week on these days, 0 is Monday.")
        ] = None,
        name: str = "",
        text: str = "",
        site: Site = None,
    ) -> str:
        """Set a timer, an alarm or a reminder; say either after_s or at."""
        wanted = _checked(
            TimerSet,
            kind=kind,
            after_s=after_s,
            at=at,
            on=on,
            days=tuple(days or ()),
            name=name,
            text=text,
        )
        return _told(await self._request(TIMER_SET, wanted, site))

    async def change_timer(
        self,
        action: Literal["cancel", "pause", "resume", "add", "stop", "snooze"],
        timer_id: Annotated[str | None, Field(description="As list_timers says.")] = None,
        name: str | None = None,
        kind: TimerKind | None = None,
        seconds: Annotated[float | None, Field(description="For add and snooze.")] = None,
        every: Annotated[bool, Field(description="All that fit are meant.")] = False,  # noqa: FBT002  (a tool's argument)
        site: Site = None,
    ) -> str:
        """Cancel, pause, resume, lengthen, stop or snooze a timer, an alarm or a reminder."""
        which = TimerSelector(ids=(timer_id,) if timer_id else (), name=name, kind=kind)
        wanted = _checked(TimerChange, action=action, which=which, seconds=seconds, every=every)
        return _told(await self._request(TIMER_CHANGE, wanted, site))

    async def list_timers(self, site: Site = None) -> str:
        """Return the timers, alarms and reminders: of one room, or of all."""
        query = TimerQuery(which=TimerSelector(everywhere=site is None))
        found = await self._request(TIMER_QUERY, query, site)
        if found.error is not None:
            raise EngineError(found.error)
        return "\n".join(map(_line, found.timers)) or "There are none."

    # Memory

    async def remember(self, text: Text) -> str:
        """Have the house remember a sentence that can stand alone, for good."""
        done = await self._request(
            MEMORY_REMEMBER, _checked(MemoryRemember, text=text, source="mcp"), None
        )
        if done.error is not None:
            raise EngineError(done.error)
        replaced = "".join(f" It replaces: {old}" for old in done.replaced)
        return f"Remembered.{replaced}"

    async def recall(self, query: Text, limit: Annotated[int, Field(ge=1, le=50)] = 5) -> str:
        """Return what the house remembers on a subject, best first."""
        found = await self._request(MEMORY_QUERY, MemoryQuery(text=query, top_k=limit), None)
        if found.error is not None:
            raise EngineError(found.error)
        return "\n".join(f"- {result.text}" for result in found.results) or "Nothing."

    # The bus

    async def _request(self, topic: RequestTopic[P, R], data: P, site: str | None) -> R:
        return await self._bus.request(
            topic, data, timeout_s=REQUEST_TIMEOUT_S, site_id=self._site(site)
        )

    def _site(self, site: str | None) -> str:
        if site is not None and not is_level(site):
            msg = "that cannot be the name of a room"
            raise ContractError(msg)
        return site or self._site_id


def _checked(model: type[P], **fields: Any) -> P:
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{'.'.join(map(str, first['loc'])) or 'the arguments'}: {first['msg']}"
        raise ContractError(msg) from None


def _told(done: TimerDone) -> str:
    if done.error is not None:
        raise EngineError("\n".join((done.error, *map(_line, done.timers))))
    return "\n".join(map(_line, done.timers))


def _line(timer: Timer) -> str:
    name = f" {timer.name!r}" if timer.name else ""
    says = f", says {timer.text!r}" if timer.text else ""
    left = f"{timer.left_s:.0f} s left" if timer.state in {"running", "paused"} else timer.state
    at = f", at {timer.at}" if timer.at else ""
    paused = ", paused" if timer.state == "paused" else ""
    return f"{timer.kind}{name} in {timer.site_id}: {left}{at}{paused}{says} (id {timer.id})"
