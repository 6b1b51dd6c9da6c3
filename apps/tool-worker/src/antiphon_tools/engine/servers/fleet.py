"""All MCP servers that the file names, each with a session of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
from antiphon_contracts import ConfigError
from antiphon_runtime import running
from antiphon_runtime.extras import install_command
from antiphon_runtime.upstream import Notes

from antiphon_tools.engine.schema import compile_schema
from antiphon_tools.engine.servers.http import http_streams
from antiphon_tools.engine.servers.session import Connect, Offer, Session, State
from antiphon_tools.engine.servers.stdio import Command, stdio_streams
from antiphon_tools.engine.servers.tools import tools_of
from antiphon_tools.servers_section import ServerSection, resolve
from antiphon_tools.tool import Tool

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

log = structlog.get_logger(__name__)

END_S = 8.0
"""How long all servers together may take to end."""

ConnectBy = Callable[[str, ServerSection], Connect]


@dataclass
class _Ship:
    section: ServerSection
    session: Session
    task: asyncio.Task[None]


class Fleet:
    """Runs the servers, and gives their tools to the registry.

    Args:
        offer: takes a source's name and its tools; returns a sentence for each that it refuses.
        withdraw: forgets a source.
        health: where it is shown that a server is not there.
        connect_by: opens the way to a server; for tests.
    """

    def __init__(
        self,
        offer: Callable[[str, Iterable[Tool]], list[str]],
        withdraw: Callable[[str], None],
        health: Notes,
        connect_by: ConnectBy | None = None,
    ) -> None:
        self._offer = offer
        self._withdraw = withdraw
        self._health = health
        self._connect_by = connect_by or self._connect
        self._ships: dict[str, _Ship] = {}
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def open(self, sections: Mapping[str, ServerSection]) -> AsyncIterator[None]:
        """Run servers while the block runs; their processes have ended when it has."""
        async with running() as group:
            self._group = group
            try:
                self.follow(sections)
                yield
            finally:
                self._group = None
                await self._end()

    def follow(self, sections: Mapping[str, ServerSection]) -> None:
        """Run these servers from now on; those whose section is the same go on undisturbed."""
        wanted = {name: section for name, section in sections.items() if section.enabled}
        old = {name: ship for name, ship in self._ships.items() if ship.section != wanted.get(name)}
        for name, ship in old.items():
            ship.session.stop()
            self._forget(name)
        for name, section in wanted.items():
            if name not in self._ships or name in old:
                self._launch(name, section, old.get(name))
        self._ships = {name: ship for name, ship in self._ships.items() if name in wanted}

    def limit_of(self, source: str) -> int | None:
        """Return how many calls a server may get at once; None if it is none of ours."""
        ship = self._ships.get(source)
        return None if ship is None else ship.section.concurrency

    def _launch(self, name: str, section: ServerSection, before: _Ship | None) -> None:
        if self._group is None:
            return
        session = Session(
            name,
            self._connect_by(name, section),
            start_timeout_s=section.start_timeout_s,
            wants_resources=section.resources,
            on_offer=lambda offer: self._on_offer(name, session, offer),
            on_state=lambda state, reason: self._on_state(name, session, state, reason),
        )
        task = self._group.create_task(_after(before, session), name=f"server:{name}")
        self._ships[name] = _Ship(section, session, task)

    async def _on_offer(self, name: str, session: Session, offer: Offer) -> None:
        ship = self._ships.get(name)
        if ship is None or ship.session is not session:
            return  # the file does not name it any more
        tools = tools_of(session, ship.section, offer)
        await asyncio.to_thread(_compile_schemas, tools)
        if self._ships.get(name) is not ship:
            return
        faults = self._offer(_source(name), tools)
        log.info("server.offers", server=name, tools=len(offer.tools), refused=len(faults))
        if faults:
            self._health.note(f"server-tools:{name}", " ".join(faults))
        else:
            self._health.clear_note(f"server-tools:{name}")

    def _on_state(self, name: str, session: Session, state: State, reason: str) -> None:
        ship = self._ships.get(name)
        if ship is None or ship.session is not session:
            return
        if state == "up":
            self._health.clear_note(f"server:{name}")
            self._health.show_breaker(name, "closed")
        elif state == "down":
            self._health.note(f"server:{name}", f"The MCP server {name} is not there: {reason}.")
            self._health.show_breaker(name, "open")

    def _forget(self, name: str) -> None:
        self._withdraw(_source(name))
        self._health.clear_note(f"server:{name}")
        self._health.clear_note(f"server-tools:{name}")
        self._health.show_breaker(name, None)

    async def _end(self) -> None:
        ships, self._ships = self._ships, {}
        for name, ship in ships.items():
            ship.session.stop()
            self._forget(name)
        tasks = {ship.task for ship in ships.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=END_S)
            for task in late:
                task.cancel()

    def _connect(self, name: str, section: ServerSection) -> Connect:
        def connect(ended: asyncio.Event) -> AbstractAsyncContextManager[TransportStreams]:
            return self._streams(name, section, ended)

        return connect

    @asynccontextmanager
    async def _streams(
        self, name: str, section: ServerSection, ended: asyncio.Event
    ) -> AsyncIterator[TransportStreams]:
        from mcp.client.stdio import get_default_environment

        # Read anew for each session: secrets may have been changed.
        values = await asyncio.to_thread(resolve, section.headers if section.url else section.env)
        if section.url:
            async with http_streams(section.url, values) as streams:
                yield streams
            return
        env = {**get_default_environment(), **values}
        command = Command(name, section.command, section.args, env, section.cwd)
        async with stdio_streams(command, ended) as streams:
            yield streams


def check_library(sections: Mapping[str, ServerSection]) -> None:
    """See whether servers can be run at all.

    Raises:
        ConfigError: the SDK is not installed.
    """
    if any(section.enabled for section in sections.values()) and find_spec("mcp") is None:
        msg = f"MCP servers need the package mcp: {install_command('tools')}"
        raise ConfigError(msg)


def _compile_schemas(tools: Iterable[Tool]) -> None:
    """Compile what the registry will want, which for many tools takes seconds."""
    for tool in tools:
        with suppress(ConfigError):  # the registry says so
            compile_schema(tool.spec.parameters, foreign=True)


def _source(name: str) -> str:
    return f"MCP server {name}"


async def _after(before: _Ship | None, session: Session) -> None:
    """Run a session when the one before it has ended: two servers may not share their files."""
    if before is not None:
        await asyncio.wait({before.task})
    await session.run()
