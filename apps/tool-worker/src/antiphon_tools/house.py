"""What the tools that come with Antiphon need for as long as the worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from antiphon_contracts import EngineError
from antiphon_runtime import Breaker, BreakerRules, Upstream, running
from antiphon_runtime.upstream import Notes, shown

from antiphon_tools.builtin.home_assistant import HomeAssistant, HomeAssistantLink
from antiphon_tools.engine import HomeAssistantServer, JsonClient, ListsFile, Units, WebPages
from antiphon_tools.home_sections import HomeAssistantSection
from antiphon_tools.house_bus import HouseBus


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
        http: asks servers for JSON.
        pages: reads web pages.
        home_assistant: knows what a Home Assistant has on offer.
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
        self.http = JsonClient()
        self.pages = WebPages()
        self.home_assistant = HomeAssistantLink(self._connected, self.changed.set, health)
        self._upstreams: dict[str, tuple[str, Upstream]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run what the tools need in the background while the block runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.lists.close)
            stack.push_async_callback(self.http.close)
            stack.callback(self.pages.close)
            await self._read_list_names()
            background = running(
                home_assistant=self.home_assistant.run(), units=self.units.warm_up()
            )
            await stack.enter_async_context(background)
            yield

    def upstream(self, name: str, server: str) -> Upstream:
        """Return what stands before a server; the same one for as long as it is the same server.

        Args:
            name: of the breaker in health.
            server: what and where it is, for people.
        """
        known = self._upstreams.get(name)
        if known is None or known[0] != server:
            self.health.clear_note(f"breaker:{name}")
            breaker = Breaker(BreakerRules(retry_s=self.retry_s))
            known = server, Upstream(name, server, self.health, breaker)
            self._upstreams[name] = known
        return known[1]

    def _connected(self, section: HomeAssistantSection) -> tuple[HomeAssistant, Upstream]:
        upstream = self.upstream("home_assistant", f"Home Assistant at {shown(section.url)}")
        return HomeAssistantServer(section, self.http, upstream), upstream

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
