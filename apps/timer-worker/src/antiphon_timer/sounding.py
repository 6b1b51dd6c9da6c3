"""What reaches a site's loudspeaker: chimes of our own, and what the router speaks for us."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Literal, Protocol

import structlog
from antiphon_contracts import (
    ANNOUNCE,
    AUDIO_OUT,
    PLAYBACK_CONTROL,
    Announce,
    BusError,
    DialogueState,
    Message,
    PlaybackControl,
    PlaybackStatus,
    TimerKind,
    new_id,
)
from antiphon_runtime import Bus

MAX_SITES = 512
KNOWN_S = 30.0
"""A chime of which no satellite says anything is forgotten after this."""

_LOADED: list[ModuleType] = []

log = structlog.get_logger(__name__)


Outcome = Literal["heard", "interrupted", "unheard", "failed", "absent"]


class Voice(Protocol):
    """Speaks, if somebody is there who can."""

    async def say(self, site_id: str, text: str, *, priority: int, within_s: float) -> Outcome:
        """Say a text at a site and return when that is over; `absent` if nobody can say it."""


class BusVoice:
    """A `Voice` that asks the router.

    Args:
        bus: `ANNOUNCE` must be declared to it.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, site_id: str, text: str, *, priority: int, within_s: float) -> Outcome:
        """See the port."""
        order = Announce(text=text, sites=(site_id,), priority=priority)
        try:
            done = await self._bus.request(ANNOUNCE, order, timeout_s=within_s, site_id=site_id)
        except BusError as error:
            log.info("timer.unspoken", reason=type(error).__name__)
            return "absent"
        return done.sites[0].state if done.sites else "unheard"


class Loudspeakers:
    """Chimes at the sites, and what else goes on there.

    Args:
        bus: the chimes leave on it.
        now: seconds that only grow.
    """

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        self._bus = bus
        self._now = now
        self._chimes: dict[str, tuple[str, float]] = {}
        self._playing: OrderedDict[str, str] = OrderedDict()
        self._states: OrderedDict[str, str] = OrderedDict()

    async def tune(self) -> None:
        """Compute the chimes, so that the first one sounds in time."""
        chimes = await load_chimes()
        await asyncio.to_thread(chimes.tune)

    async def chime(self, site_id: str, kind: TimerKind, loudness: float) -> float:
        """Play a chime; returns at once, with its length in seconds."""
        chimes = await load_chimes()
        frames: list[bytes] = chimes.chime(kind, loudness)
        utterance = f"ring-{new_id()}"
        now = self._now()
        self._chimes = {
            name: (site, until) for name, (site, until) in self._chimes.items() if until > now
        }
        self._chimes[utterance] = (site_id, now + KNOWN_S)
        for frame in (*frames, b""):
            self._bus.publish_raw(AUDIO_OUT, frame, site=site_id, utterance=utterance)
        length_s: float = chimes.length_s(kind)
        return length_s

    def hush(self, site_id: str) -> None:
        """Cut our own chimes short at a site."""
        for utterance in [name for name, (site, _) in self._chimes.items() if site == site_id]:
            del self._chimes[utterance]
            self._stop(site_id, utterance)

    def make_way(self, site_id: str) -> None:
        """Stop what others play at a site: it waits for nobody."""
        utterance = self._playing.pop(site_id, None)
        if utterance is not None:
            self._stop(site_id, utterance)

    def is_talking(self, site_id: str) -> bool:
        """Whether a person speaks at a site, or the house does, as far as the router says."""
        return self._states.get(site_id, "idle") in {"listening", "thinking", "speaking"}

    def _stop(self, site_id: str, utterance: str) -> None:
        order = PlaybackControl(action="stop", utterance_id=utterance)
        self._bus.publish(PLAYBACK_CONTROL, order, site_id=site_id)

    def on_playback(self, message: Message[PlaybackStatus]) -> bool:
        """Note what a site plays; returns whether a person has cut a chime of ours short there."""
        status, site_id = message.data, message.site_id
        if status.utterance_id in self._chimes:
            if status.state == "started":
                return False
            del self._chimes[status.utterance_id]
            # A satellite that ends, or was held for too long, says so; what had not begun was only
            # in somebody's way.
            return status.state == "stopped" and status.played_ms > 0 and not status.detail
        if status.state == "started":
            _note(self._playing, site_id, status.utterance_id)
        elif self._playing.get(site_id) == status.utterance_id:
            del self._playing[site_id]
        return False

    def on_state(self, message: Message[DialogueState]) -> bool:
        """Note what goes on at a site; returns whether that has changed."""
        before = self._states.get(message.site_id)
        _note(self._states, message.site_id, message.data.state)
        return before != message.data.state


async def load_chimes() -> ModuleType:
    """Import the chimes when there is something to ring: numpy takes 13 MB and some time."""
    if not _LOADED:
        _LOADED.append(await asyncio.to_thread(import_module, "antiphon_timer.chimes"))
    return _LOADED[0]


def _note(table: OrderedDict[str, str], site_id: str, value: str) -> None:
    table[site_id] = value
    table.move_to_end(site_id)
    while len(table) > MAX_SITES:
        table.popitem(last=False)
