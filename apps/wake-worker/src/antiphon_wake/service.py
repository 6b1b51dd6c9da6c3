"""Wake words of all sites: frames in, events out.

Frames are handled one after the other in the order in which they came. The service never asks
whether somebody speaks just then: a wake word interrupts.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog
from antiphon_contracts import (
    ConfigError,
    ContractError,
    Message,
    SiteStatus,
    WakeControl,
    WakeEvent,
)
from antiphon_runtime import ModelThread, RawMessage

from antiphon_wake.detector import WakeDetector
from antiphon_wake.ear import Ear, Heard, Wish
from antiphon_wake.edges import PER_MS

T = TypeVar("T")

MAX_ORDERS = 256
NOTED_S = 10.0
BREATH_S = 0.002
"""The loop is given a turn after so much work at one go: frames may have piled up."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a site listens for.

    Attributes:
        enabled: whether it does at all.
        phrases: names of phrases.
        threshold: score from which they count; None is each phrase's own.
    """

    enabled: bool
    phrases: tuple[str, ...]
    threshold: float | None = None


@dataclass(frozen=True)
class House:
    """What all sites listen for, and some of them otherwise.

    Attributes:
        usual: where nothing else is said.
        special: by site.
        refractory_s: how long after a phrase no other counts at its site.
        max_sites: how many sites are listened to.
        forget_s: after how long without sound a site is forgotten.
    """

    usual: Orders
    special: Mapping[str, Orders] = field(default_factory=dict)
    refractory_s: float = 1.0
    max_sites: int = 32
    forget_s: float = 120.0

    def orders_for(self, site_id: str) -> Orders:
        """Return what a site listens for."""
        return self.special.get(site_id, self.usual)


class Report(Protocol):
    """Says that a wake word was heard."""

    def __call__(self, site_id: str, event: WakeEvent) -> object:
        """Start to send."""
        ...


class Notes(Protocol):
    """Says that the worker works with less, and why."""

    def note(self, name: str, sentence: str, *, for_s: float) -> None:
        """Say so for a while."""
        ...


@dataclass(slots=True)
class _Site:
    ear: Ear
    last_heard_s: float
    is_garbled: bool = False


class WakeService:
    """Listens at all sites.

    Args:
        detector: the engine.
        house: what is listened for.
        report: says what was heard.
        notes: hears of sites that are turned away.
        counters: counts `frames_malformed`, `frames_unheard` (of too many sites) and `wakes`.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        detector: WakeDetector,
        house: House,
        report: Report,
        notes: Notes,
        counters: Counter[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detector = detector
        self._house = house
        self._report = report
        self._notes = notes
        self._counters = counters
        self._clock = clock
        self._thread: ModelThread | None = None
        self._sites: dict[str, _Site] = {}
        self._orders: OrderedDict[str, Orders] = OrderedDict()
        self._silent: set[str] = set()
        self._worked_s = 0.0
        self._ended_s = 0.0

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that are listened to now."""
        return tuple(self._sites)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load the engine; frames can be taken while the block runs.

        Raises:
            ConfigError: the engine or a phrase is not there; the text says what mends it.
        """
        with ModelThread("wake-engine") as thread:
            await thread.call(self._detector.load)
            for orders in (self._house.usual, *self._house.special.values()):
                self._check(orders)
            self._thread = thread if self._detector.blocks else None
            try:
                yield
            finally:
                for site_id in self.sites:
                    await self._forget(site_id)

    async def on_frame(self, message: RawMessage) -> None:
        """Take a microphone frame."""
        site_id = message.site_id
        orders = self._orders_for(site_id)
        if not orders.enabled or site_id in self._silent:
            return
        site = self._sites.get(site_id) or await self._meet(site_id, orders)
        if site is None:
            self._counters["frames_unheard"] += 1
            self._notes.note(
                "sites",
                f"No wake word is heard at the site {site_id!r}: more than "
                f"{self._house.max_sites} sites send sound (max_sites in [wake]).",
                for_s=NOTED_S,
            )
            return
        site.last_heard_s = self._clock()
        try:
            pieces = site.ear.take(message.payload)
        except ContractError as error:
            self._counters["frames_malformed"] += 1
            if not site.is_garbled:
                log.warning("frame.malformed", site_id=site_id, reason=str(error))
            site.is_garbled = True
            return
        site.is_garbled = False
        for piece in pieces:
            heard = await self._run(site.ear.search, piece)
            # Somebody may have muted the site meanwhile.
            if heard is not None and self._sites.get(site_id) is site:
                self._tell(site_id, heard)

    async def on_status(self, message: Message[SiteStatus]) -> None:
        """Forget a site whose microphone does not stream; its late frames are passed over."""
        site_id, status = message.site_id, message.data
        if status.streaming and not status.muted:
            self._silent.discard(site_id)
            return
        if len(self._silent) < MAX_ORDERS:
            self._silent.add(site_id)
        await self._forget(site_id)

    async def on_control(self, message: Message[WakeControl]) -> None:
        """Listen for something else at a site.

        Raises:
            ConfigError: the engine does not have a phrase; all stays as it was.
        """
        site_id, order = message.site_id, message.data
        orders = self._orders_for(site_id)
        if order.enabled is not None:
            orders = replace(orders, enabled=order.enabled)
        if order.phrases:
            orders = replace(orders, phrases=tuple(dict.fromkeys(order.phrases)))
        if order.threshold is not None:
            orders = replace(orders, threshold=order.threshold)
        self._check(orders)
        self._orders[site_id] = orders
        self._orders.move_to_end(site_id)
        if len(self._orders) > MAX_ORDERS:
            self._orders.popitem(last=False)
        log.info("wake.orders", site_id=site_id, enabled=orders.enabled, phrases=orders.phrases)
        site = self._sites.get(site_id)
        if site is None:
            return
        if orders.enabled:
            await self._run(site.ear.change, self._wish(orders))
        else:
            await self._forget(site_id)

    # Inside

    def _orders_for(self, site_id: str) -> Orders:
        return self._orders.get(site_id) or self._house.orders_for(site_id)

    def _check(self, orders: Orders) -> None:
        known = self._detector.phrases
        for name in orders.phrases:
            if name not in known:
                raise ConfigError(
                    f"{self._detector.name} has no wake phrase {name!r}; there are: "
                    f"{', '.join(sorted(known)) or 'none'}"
                )

    def _wish(self, orders: Orders) -> Wish:
        known = self._detector.phrases
        thresholds = {
            name: known[name].threshold if orders.threshold is None else orders.threshold
            for name in orders.phrases
        }
        return Wish(orders.phrases, thresholds, self._house.refractory_s)

    async def _meet(self, site_id: str, orders: Orders) -> _Site | None:
        now_s = self._clock()
        for name, site in list(self._sites.items()):
            if now_s - site.last_heard_s > self._house.forget_s:
                await self._forget(name)
        if len(self._sites) >= self._house.max_sites:
            return None
        ear = Ear(self._detector.phrases, self._detector.open, self._wish(orders))
        self._sites[site_id] = _Site(ear, now_s)
        log.info("site.met", site_id=site_id, phrases=orders.phrases)
        return self._sites[site_id]

    async def _forget(self, site_id: str) -> None:
        site = self._sites.pop(site_id, None)
        if site is not None:
            await self._run(site.ear.forget)

    def _tell(self, site_id: str, heard: Heard) -> None:
        self._counters["wakes"] += 1
        event = WakeEvent(
            phrase=heard.phrase,
            score=round(heard.score, 3),
            stream=heard.stream,
            begin_ms=heard.begin // PER_MS,
            offset_ms=heard.end // PER_MS,
            detected_ms=heard.detected // PER_MS,
            level_dbfs=heard.level_dbfs,
        )
        log.info("wake.heard", site_id=site_id, phrase=event.phrase, score=event.score)
        self._report(site_id, event)

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        """Call the engine where it may be called: its thread, or here, in breaths."""
        if self._thread is not None:
            return await self._thread.call(function, *args)
        begun_s = time.perf_counter()
        if begun_s - self._ended_s > BREATH_S:
            self._worked_s = 0.0
        result = function(*args)
        self._ended_s = time.perf_counter()
        self._worked_s += self._ended_s - begun_s
        if self._worked_s > BREATH_S:
            self._worked_s = 0.0
            await asyncio.sleep(0)
        return result
