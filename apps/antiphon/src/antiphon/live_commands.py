"""Live commands: `antiphon listen`, `talk`, `announce`, `dialogue`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import orjson
from antiphon_contracts import (
    ANNOUNCE,
    ASK_SITE,
    DIALOGUE_CONTROL,
    Announce,
    ConfigError,
    ContractError,
    DialogueControl,
    EngineError,
    RequestTimeout,
    SiteStatus,
    SttFinal,
    new_id,
)
from pydantic import ValidationError
from rich.console import Console

from antiphon.house import client_bus, open_bus
from antiphon.live_events import LiveEvents
from antiphon.live_view import LiveView
from antiphon.output import print_line
from antiphon.settings import find_broker

if TYPE_CHECKING:
    from antiphon_runtime import Bus

    from antiphon.live_events import Event

CONNECT_TIMEOUT_S = 5.0
ANNOUNCE_TIMEOUT_S = 120.0
QUESTION_TTL_S = 60.0
SITE_KNOWN_S = 0.5

Action = Literal["pause", "resume", "stop", "repeat", "listen"]

HELP = """\
type a question, or press Enter on an empty line and speak; say the wake word at any time
/pause /resume /stop /repeat   as you would say it            Ctrl-D ends"""
HELP_WITHOUT_MICROPHONE = """\
type a question (no microphone streams from this site)
/pause /resume /stop /repeat   as you would say it            Ctrl-D ends"""


async def listen_in(site: str | None, *, json: bool, broker: str | None) -> None:
    """Show what is heard and answered, until interrupted.

    Args:
        site: only this one; None is every site.
        json: a line of JSON for each event instead.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker.
    """
    view = LiveView(Console(), names_sites=site is None)

    def on_event(where: str, event: Event) -> None:
        if json:
            line = {"site": where, "event": type(event).__name__, **event.model_dump()}
            sys.stdout.write(orjson.dumps(line).decode() + "\n")
            sys.stdout.flush()
        else:
            view.show(where, event)

    bus = client_bus(find_broker(broker))
    bus.install(LiveEvents(on_event, site).handlers)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        if not json and Console().is_terminal:
            print_line(Console(stderr=True), "listening in; Ctrl-C ends")
        await asyncio.Event().wait()


async def announce(
    text: str, sites: Sequence[str], *, priority: int, voice: str | None, broker: str | None
) -> None:
    """Have a text spoken at some sites, or all; print how it ended at each.

    Raises:
        ContractError: the text is too long, the sites are too many, or one's name cannot be.
        EngineError: it was heard nowhere, or failed somewhere.
        BusError: there is no broker or no router.
    """
    order = _announcement(text, sites, priority, voice)
    bus = client_bus(find_broker(broker))
    bus.install(requests=[ANNOUNCE])
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        announced = await bus.request(ANNOUNCE, order, timeout_s=ANNOUNCE_TIMEOUT_S)
    console = Console()
    for place in announced.sites:
        print_line(console, f"{place.site}: {place.state} {place.detail}".rstrip())
    if not announced.sites:
        raise EngineError("there is no site to announce it at: see `antiphon status`")
    if any(place.state == "failed" for place in announced.sites):
        raise EngineError("it could not be announced everywhere")


def _announcement(text: str, sites: Sequence[str], priority: int, voice: str | None) -> Announce:
    try:
        return Announce(text=text, sites=tuple(sites), priority=priority, voice=voice)
    except ValidationError as error:
        msg = "it cannot be announced: at most 10,000 characters, at most 64 sites without a '/'"
        raise ContractError(msg) from error


async def control_dialogue(action: Action, site: str, broker: str | None) -> None:
    """Tell the router what to do with a site's dialogue.

    Raises:
        BusError: there is no broker.
        ContractError: the site's name cannot stand in a topic.
    """
    bus = client_bus(find_broker(broker))
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        await bus.publish(DIALOGUE_CONTROL, DialogueControl(action=action), site_id=site)


async def talk(site: str, broker: str | None) -> None:
    """Converse with a site from a terminal, in writing or through its microphone.

    Raises:
        ConfigError: standard input cannot be read line by line.
        RequestTimeout: a question was not answered.
        BusError: there is no broker.
    """
    conversation = _Conversation(site, Console())
    bus = client_bus(find_broker(broker))
    bus.install(conversation.handlers)
    async with open_bus(bus, CONNECT_TIMEOUT_S), _lines() as lines:
        await conversation.hold(bus, lines)


class _Conversation:
    """A conversation at one site, as a terminal shows it."""

    def __init__(self, site: str, console: Console) -> None:
        self._site = site
        self._console = console
        self._view = LiveView(console, names_sites=False, stages=True)
        self._streaming = False
        self._known = asyncio.Event()
        self._waits: set[str] = set()
        self._answered = asyncio.Event()
        events = LiveEvents(self._on_event, site, self._on_frame)
        self.handlers = events.handlers

    async def hold(self, bus: Bus, lines: asyncio.Queue[str | None]) -> None:
        """Take lines until there are no more; then wait for what was asked.

        Raises:
            RequestTimeout: a question was not answered.
        """
        try:
            async with asyncio.timeout(SITE_KNOWN_S):
                await self._known.wait()
        except TimeoutError:
            pass
        if self._console.is_terminal:
            print_line(self._console, HELP if self._streaming else HELP_WITHOUT_MICROPHONE)
        while (line := await lines.get()) is not None:
            await self._obey(bus, line.strip())
        try:
            async with asyncio.timeout(QUESTION_TTL_S):
                while self._waits:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            where = f"nobody answered at {self._site} within {QUESTION_TTL_S:.0f} s"
            msg = f"{where}: `antiphon status` shows whether the router runs"
            raise RequestTimeout(msg) from None

    async def _obey(self, bus: Bus, line: str) -> None:
        commands: dict[str, Action] = {
            "": "listen",
            "/pause": "pause",
            "/resume": "resume",
            "/stop": "stop",
            "/repeat": "repeat",
        }
        if line in commands:
            if not line and not self._streaming:
                return
            order = DialogueControl(action=commands[line])
            await bus.publish(DIALOGUE_CONTROL, order, site_id=self._site)
        elif line.startswith("/"):
            print_line(self._console, f"there is no {line}; there are {' '.join(commands)}".strip())
        else:
            ask_id = new_id()
            self._waits.add(ask_id)
            payload = orjson.dumps({"text": line, "id": ask_id})
            await bus.publish_raw(ASK_SITE, payload, ttl_s=QUESTION_TTL_S, site=self._site)

    def _on_event(self, site: str, event: Event) -> None:
        if isinstance(event, SiteStatus):
            self._streaming = event.streaming
            self._known.set()
        self._view.show(site, event)
        ask_id = getattr(event, "id", None)
        if ask_id is not None and not isinstance(event, SttFinal):
            self._waits.discard(ask_id)
            self._answered.set()

    def _on_frame(self, _site: str, frame: bytes) -> None:
        if not self._console.is_terminal:
            return
        from antiphon_audio import level_dbfs, wav  # noqa: PLC0415  (numpy; only where it is seen)

        try:
            self._view.show_level(level_dbfs(wav.unwrap(frame)))
        except ContractError:
            return


@asynccontextmanager
async def _lines() -> AsyncIterator[asyncio.Queue[str | None]]:
    """Yield the lines of standard input as they come, None at the end.

    Raises:
        ConfigError: standard input cannot be waited for.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    reader = asyncio.StreamReader()
    try:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError("talk needs a terminal or a pipe as standard input") from error

    async def read() -> None:
        while line := await reader.readline():
            lines.put_nowait(line.decode(errors="replace"))
        lines.put_nowait(None)

    from antiphon_runtime import running  # noqa: PLC0415  (beside its one use)

    try:
        async with running(lines=read()):
            yield lines
    finally:
        transport.close()
