"""What goes between the devices and the service, or beside them, where the settings ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from antiphon_contracts import (
    AUDIO_LEVEL,
    DIALOGUE_STATE,
    WAKE_EVENT,
    AudioLevel,
    ConfigError,
    DialogueState,
    Message,
)
from antiphon_runtime import Bus, Handler, Worker, listen

from antiphon_satellite.engine.program import Program
from antiphon_satellite.engine.webrtc import WebRtcEchoCanceller
from antiphon_satellite.service import (
    ChimingSpeaker,
    EchoPath,
    FrameFilter,
    HeardSpeaker,
    Hook,
    LevelMeter,
    Speaker,
)
from antiphon_satellite.settings import SatelliteSettings

OnState = Callable[[Message[DialogueState]], Awaitable[None]]


@dataclass
class Accessories:
    """Echo canceller, level meter, earcon and hook.

    Attributes:
        speaker: the device, with what goes before it.
        filters: what the stream's frames go through.
        handlers: what they listen to.
        hook: runs a program; None if there is none.
        on_state: who is told of the dialogue's states.
    """

    speaker: Speaker
    filters: tuple[FrameFilter, ...] = ()
    handlers: tuple[Handler, ...] = ()
    hook: Hook | None = None
    on_state: list[OnState] = field(default_factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Work while the block runs."""
        async with AsyncExitStack() as stack:
            if self.hook is not None:
                await stack.enter_async_context(self.hook.open())
            yield


def choose_accessories(worker: Worker[SatelliteSettings], speaker: Speaker) -> Accessories:
    """Return what the settings ask for, around this speaker.

    Raises:
        ConfigError: something is not installed, or does not go together.
    """
    settings, bus = worker.settings, worker.bus
    chosen = Accessories(speaker)
    if settings.echo == "webrtc":
        path = EchoPath(WebRtcEchoCanceller())
        chosen.speaker = HeardSpeaker(chosen.speaker, path)
        chosen.filters += (path,)
    if settings.level_hz:
        report = partial(_report_level, bus, settings.site)
        chosen.filters += (LevelMeter(settings.level_hz, report),)
    if settings.earcon:
        _add_earcon(chosen, settings)
    if settings.hook:
        _add_hook(chosen, worker)
    if chosen.on_state:
        state = DIALOGUE_STATE.narrowed(site=settings.site)
        chosen.handlers += (listen(state, partial(_tell_all, tuple(chosen.on_state))),)
    return chosen


def _add_earcon(chosen: Accessories, settings: SatelliteSettings) -> None:
    if settings.echo == "none":
        msg = (
            "The satellite's `earcon` would sound into what is said after the wake word: set "
            "`echo` (see docs/audio.md), or leave the earcon off."
        )
        raise ConfigError(msg)
    # Outermost, so that the echo canceller knows of it.
    chiming = ChimingSpeaker(chosen.speaker, volume=settings.volume)
    chosen.speaker = chiming
    chosen.on_state.append(chiming.on_state)


def _add_hook(chosen: Accessories, worker: Worker[SatelliteSettings]) -> None:
    site = worker.settings.site
    hook = Hook(Program(worker.settings.hook, site).run, worker.health)
    chosen.hook = hook
    chosen.on_state.append(hook.on_state)
    chosen.handlers += (listen(WAKE_EVENT.narrowed(site=site), hook.on_wake),)


async def _tell_all(told: tuple[OnState, ...], message: Message[DialogueState]) -> None:
    for each in told:
        await each(message)


def _report_level(bus: Bus, site: str, level: AudioLevel) -> None:
    if bus.connected:
        bus.publish(AUDIO_LEVEL, level, site_id=site)
