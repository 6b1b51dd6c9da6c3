"""What the tools that come with Antiphon need for as long as the worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from antiphon_contracts import EngineError, Payload, RequestTopic
from antiphon_runtime.upstream import Notes

from antiphon_tools.engine import ListsFile, Units

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)


class HouseBus(Protocol):
    """What tools may do on the broker: `antiphon_runtime.Bus`."""

    async def request(
        self,
        topic: RequestTopic[P, R],
        data: P,
        *,
        timeout_s: float,
        turn_id: str | None = None,
        site_id: str = "default",
        message_id: str | None = None,
    ) -> R:
        """Ask another worker, and return its reply; see `Bus.request`."""

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Start to send to a device's topic; see `Bus.publish_elsewhere`."""


class House:
    """Long-lived things that our tools share; `offering.house_tools` makes tools that use them.

    It outlives every reading of `tools.toml`: tools come and go, the house stays.

    Args:
        data_dir: where lists and notes are kept.
        bus: the worker's bus; `request_topics` of `offering` must be declared to it.
        health: where breakers are shown.
        base: first level(s) of Antiphon's own topics, which no device may have.
        retry_s: mean time between trials of a server that is away.

    Attributes:
        changed: set when `house_tools` would return something else than before for the same file;
            `offering.keep_offering` waits for it.
        units: converts units.
        lists: the file of lists and notes.
        list_names: the lists with something on them.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        bus: HouseBus,
        health: Notes,
        base: str = "antiphon",
        retry_s: float = 30.0,
    ) -> None:
        self.data_dir = data_dir
        self.bus = bus
        self.health = health
        self.base = base
        self.retry_s = retry_s
        self.changed = asyncio.Event()
        self.units = Units()
        self.lists = ListsFile(data_dir / "lists.sqlite")
        self.list_names: tuple[str, ...] = ()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run what the tools need in the background while the block runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.lists.close)
            await self._read_list_names()
            yield

    async def _read_list_names(self) -> None:
        try:
            async with self.lists.opened("") as shelf:
                self.on_list_names(await shelf.names())
        except EngineError as error:
            self.health.note("lists", str(error))

    def on_list_names(self, names: Sequence[str]) -> None:
        """Take note of what lists there are; the tools name them to the language model."""
        if tuple(names) != self.list_names:
            self.list_names = tuple(names)
            self.changed.set()
