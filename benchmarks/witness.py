"""A witness of the house: everything that passes over the bus, with the time at which it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from antiphon.house import open_bus
from antiphon_audio import wav
from antiphon_contracts import (
    ANSWER,
    AUDIO_OUT,
    DIALOGUE_STATE,
    LLM_CANCEL,
    LLM_REQUEST,
    LLM_STREAM,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    STT_CONTROL,
    STT_FINAL,
    STT_PARTIAL,
    TTS_CANCEL,
    TTS_SAY,
    TTS_STATUS,
    WAKE_EVENT,
    ContractError,
    DialogueState,
    Message,
    PlainAnswer,
    Topic,
)
from antiphon_runtime import Bus, Handler, RawMessage, listen, listen_raw

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CONNECT_TIMEOUT_S = 15.0
TOPICS: tuple[Topic[Any], ...] = (
    WAKE_EVENT,
    STT_CONTROL,
    STT_PARTIAL,
    STT_FINAL,
    LLM_REQUEST,
    LLM_STREAM,
    LLM_CANCEL,
    TTS_SAY,
    TTS_CANCEL,
    TTS_STATUS,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    DIALOGUE_STATE,
)


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of spoken sound on the bus.

    Attributes:
        utterance_id: the answer that it belongs to.
        ms: its length; 0 is the end mark.
    """

    utterance_id: str
    ms: float


@dataclass(frozen=True, slots=True)
class Seen(Generic[T_co]):
    """Something that passed.

    Attributes:
        at: the loop's time when it came.
        site: where.
        turn_id: whose turn it belongs to; None if it does not say.
        data: a payload, a `PlainAnswer` or a `Sound`.
    """

    at: float
    site: str
    turn_id: str | None
    data: T_co


class Witness:
    """Notes all that passes.

    Args:
        bus: of its own, not yet open.

    Attributes:
        seen: all of it, oldest first.
        states: what goes on at each site, as was told last.
    """

    def __init__(self, bus: Bus) -> None:
        self.seen: list[Seen[object]] = []
        self.states: dict[str, str] = {}
        self._bus = bus
        self._more = asyncio.Event()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Witness]:
        """Watch while the block runs."""
        handlers = [self._handler(topic) for topic in TOPICS]
        raw = [
            listen_raw(AUDIO_OUT, self._on_sound, queue_limit=100_000),
            listen_raw(ANSWER, self._on_answer, queue_limit=1_000),
        ]
        self._bus.install([*handlers, *raw])
        async with open_bus(self._bus, CONNECT_TIMEOUT_S):
            yield self

    def _handler(self, topic: Topic[Any]) -> Handler:
        async def on_message(message: Message[Any]) -> None:
            self._note(message.site_id, message.turn_id, message.data)

        return listen(topic, on_message, queue_limit=10_000)

    async def _on_sound(self, message: RawMessage) -> None:
        length_ms = wav.unwrap(message.payload).duration_ms if message.payload else 0.0
        self._note(message.site_id, None, Sound(message.slots["utterance"], length_ms))

    async def _on_answer(self, message: RawMessage) -> None:
        try:
            answer = PlainAnswer.model_validate_json(message.payload)
        except ValueError as error:
            msg = "an answer that is none"
            raise ContractError(msg) from error
        self._note(message.site_id, answer.turn_id, answer)

    def _note(self, site: str, turn_id: str | None, data: object) -> None:
        if isinstance(data, DialogueState):
            self.states[site] = data.state
        self.seen.append(Seen(asyncio.get_running_loop().time(), site, turn_id, data))
        self._more.set()

    def all(
        self,
        kind: type[T],
        site: str | None = None,
        *,
        since: float = 0.0,
        until: float = float("inf"),
        where: Callable[[T], bool] = lambda _: True,
    ) -> list[Seen[T]]:
        """Return what of a kind came between two loop times, oldest first."""
        return [
            Seen(seen.at, seen.site, seen.turn_id, seen.data)
            for seen in self.seen
            if isinstance(seen.data, kind)
            and since <= seen.at <= until
            and site in (None, seen.site)
            and where(seen.data)
        ]

    async def first(
        self,
        kind: type[T],
        site: str | None = None,
        *,
        since: float = 0.0,
        where: Callable[[T], bool] = lambda _: True,
        timeout_s: float = 20.0,
    ) -> Seen[T]:
        """Return the first of a kind that came at or after a loop time; waits for it.

        Raises:
            TimeoutError: it did not come in time; the text says what was awaited.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not (found := self.all(kind, site, since=since, where=where)):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            where_at = f" at {site}" if site else ""
            msg = f"no {kind.__name__}{where_at} came within {timeout_s:g} s"
            raise TimeoutError(msg) from None
        return found[0]

    def forget(self) -> None:
        """Forget what was seen: a long run need not keep what is dealt with."""
        self.seen.clear()
