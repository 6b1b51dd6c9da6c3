"""Windows: who listens where, and the orders to the STT worker that make it so."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from antiphon_contracts import STT_CONTROL, SttControl, WakeEvent, new_id
from antiphon_runtime import Bus

if TYPE_CHECKING:
    from antiphon_router.turns import Site

Reason = Literal["wake", "follow_up", "question", "barge_in", "open"]

LONGEST_UTTERANCE_S = 60.0
"""An answer that takes longer than the window and this will not come any more."""
KNOWN_WINDOWS = 1024
GATE_S = 10.0
"""A gate lasts so long if the router dies; it is renewed in half of it."""
TAIL_S = 0.2
"""The last sound of an answer is in the room, and in the microphone's frames, a moment longer."""


@dataclass(frozen=True, slots=True)
class WindowEnd:
    """How a window ended that somebody waits for.

    Attributes:
        text: what was said; empty if nothing was.
        why: why nothing was: as in `stt/final`, or `interrupted`, or `echo`.
        confidence: as in `stt/final`.
    """

    text: str = ""
    why: str = ""
    confidence: float = 0.0


OnEnd = Callable[[WindowEnd], None]


@dataclass(eq=False)
class Window:
    """One utterance is awaited.

    Attributes:
        utterance_id: its id, and that of the turn that it begins.
        reason: why it is awaited.
        overdue_at: loop time at which nothing will come of it any more.
        begun: whether speech has begun.
        by_word: whether a wake word, and so surely a person, opened it.
        last_seq: the last partial.
        on_end: told once how it ended; None begins a turn.
    """

    utterance_id: str
    reason: Reason
    overdue_at: float
    begun: bool = False
    by_word: bool = False
    last_seq: int = -1
    on_end: OnEnd | None = None

    @property
    def is_attentive(self) -> bool:
        """Whether somebody is, or should be, speaking into it."""
        return self.begun or self.by_word or self.on_end is not None

    def end(self, end: WindowEnd) -> None:
        """Tell who waits for it, once."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(end)


class Windows:
    """Opens and closes windows, one at a site, and turns deaf ears."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: OrderedDict[str, None] = OrderedDict()

    def open(
        self,
        site: Site,
        reason: Reason,
        window_s: float | None,
        *,
        event: WakeEvent | None = None,
        by_word: bool = False,
        on_end: OnEnd | None = None,
    ) -> Window:
        """Open a window; the one that was open is closed by that."""
        self.forget(site, "interrupted")
        waits_s = float("inf") if window_s is None else window_s + LONGEST_UTTERANCE_S
        now = asyncio.get_running_loop().time()
        window = Window(new_id(), reason, now + waits_s, by_word=by_word, on_end=on_end)
        order = SttControl(
            action="listen", utterance_id=window.utterance_id, reason=reason, window_s=window_s
        )
        if event is not None:
            place = {
                "stream": event.stream,
                "start_ms": event.offset_ms,
                "phrase_begin_ms": event.begin_ms,
                "phrase": event.phrase,
            }
            order = order.model_copy(update=place)
        site.window = window
        self._known[window.utterance_id] = None
        while len(self._known) > KNOWN_WINDOWS:
            self._known.popitem(last=False)
        self._order(site, order, window.utterance_id)
        return window

    def close(self, site: Site, why: str = "cancelled") -> None:
        """Close the window that is open, if one is."""
        window = site.window
        if window is None:
            return
        order = SttControl(action="stop", utterance_id=window.utterance_id)
        self._order(site, order, window.utterance_id)
        self.forget(site, why)

    def forget(self, site: Site, why: str) -> None:
        """Nothing is awaited any more; whatever comes is late."""
        window, site.window = site.window, None
        if window is not None:
            window.end(WindowEnd(why=why))

    def take(self, site: Site, utterance_id: str) -> Window | None:
        """Return the open window that is answered, and have it closed; None if it is another."""
        window = site.window
        if window is None or window.utterance_id != utterance_id:
            return None
        site.window = None
        return window

    def is_known(self, utterance_id: str) -> bool:
        """Whether this life of the router opened a window of that id."""
        return utterance_id in self._known

    def gate(self, site: Site) -> None:
        """Turn a deaf ear to a site, if it is not turned or not for much longer."""
        now = asyncio.get_running_loop().time()
        if site.gated_until - now < GATE_S / 2:
            site.gated_until = now + GATE_S
            self._gate_for(site, GATE_S)

    def ungate(self, site: Site, *, tail_s: float = TAIL_S) -> None:
        """Listen to a site again, if need be after a moment."""
        if site.gated_until > asyncio.get_running_loop().time():
            self._gate_for(site, tail_s)
        site.gated_until = 0.0

    def _gate_for(self, site: Site, window_s: float) -> None:
        order = SttControl(action="gate", reason="playback", window_s=window_s)
        self._order(site, order, None)

    def _order(self, site: Site, order: SttControl, turn_id: str | None) -> None:
        self._bus.publish(STT_CONTROL, order, site_id=site.site_id, turn_id=turn_id)
