"""The satellite, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    SITE_STATUS,
    CaptureStatus,
    PlaybackStatus,
    SiteStatus,
)
from antiphon_runtime import Bus, Wiring, Worker, listen, listen_raw

from antiphon_satellite.accessories import choose_accessories
from antiphon_satellite.devices import Devices, choose_devices
from antiphon_satellite.service import (
    Capture,
    Muting,
    Playback,
    PlaybackLimits,
    SharedMicrophone,
    Streaming,
)
from antiphon_satellite.settings import SatelliteSettings

FRAMES_WAITING = 2048
RECORDING_TTL_S = 60.0


def build(worker: Worker[SatelliteSettings]) -> Wiring:
    """Build the satellite with the devices that the settings name."""
    devices = choose_devices(worker.settings, worker.runtime.data_dir, worker.bus.counters)
    return build_with(worker, devices)


def build_with(worker: Worker[SatelliteSettings], devices: Devices) -> Wiring:
    """Build the satellite with these devices."""
    settings, bus, health = worker.settings, worker.bus, worker.health
    site = settings.site
    accessories = choose_accessories(worker, devices.speaker)
    playback = Playback(
        accessories.speaker,
        partial(_report_playback, bus, site),
        health,
        _limits(settings),
        volume=settings.volume,
        counters=bus.counters,
    )
    microphone = SharedMicrophone(devices.microphone)
    streaming = Streaming(
        microphone,
        send=partial(_send_frame, bus, site),
        report=partial(_report_site, bus, site),
        health=health,
        wanted=devices.stream,
        echo_cancelled=settings.echo != "none",
        filters=accessories.filters,
        reopen_s=settings.reopen_s,
        counters=bus.counters,
    )
    # A broker that began anew has forgotten what it had kept.
    bus.at_connect(streaming.tell)
    capture = Capture(
        microphone,
        playback,
        report=partial(_report_capture, bus, site),
        send=lambda utterance, payload: bus.publish_raw(
            AUDIO_UTTERANCE, payload, ttl_s=RECORDING_TTL_S, site=site, utterance=utterance
        ),
        health=health,
    )

    def silence_microphone(muted: bool) -> None:  # noqa: FBT001  (it is the state)
        streaming.mute(muted)
        capture.mute(muted)

    muting = Muting(
        worker.runtime.data_dir / f"satellite-{site}.muted",
        silence_microphone,
        health.show_muted,
        health,
    )
    health.engine = f"{devices.speaker.name}; {devices.microphone.name}"
    if devices.missing:
        health.note("device", "; ".join(devices.missing))
    else:
        health.clear_note("device")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await asyncio.to_thread(muting.recall)
        async with (
            accessories.open(),
            playback.open(),
            microphone.open(),
            streaming.open(),
            capture.open(),
        ):
            yield

    return Wiring(
        handlers=[
            listen_raw(
                AUDIO_OUT.narrowed(site=site),
                playback.on_frame,
                queue_limit=FRAMES_WAITING,
                overflow="drop_oldest",
            ),
            listen(PLAYBACK_CONTROL.narrowed(site=site), playback.on_control),
            listen(CAPTURE_CONTROL.narrowed(site=site), capture.on_control),
            *accessories.handlers,
        ],
        lifespan=lifespan,
        mute=muting.mute,
    )


def _limits(settings: SatelliteSettings) -> PlaybackLimits:
    return PlaybackLimits(
        jitter_s=settings.jitter_ms / 1000,
        end_timeout_s=settings.end_timeout_s,
        device_wait_s=settings.device_wait_s,
        max_pause_s=settings.max_pause_s,
        reopen_s=settings.reopen_s,
        buffer_bytes=settings.buffer_mb * 1024 * 1024,
        duck_volume=settings.duck_volume,
    )


def _report_playback(bus: Bus, site: str, status: PlaybackStatus) -> None:
    bus.publish(PLAYBACK_STATUS, status, site_id=site)


def _report_capture(bus: Bus, site: str, status: CaptureStatus) -> None:
    bus.publish(CAPTURE_STATUS, status, site_id=site, turn_id=status.utterance_id)


def _report_site(bus: Bus, site: str, status: SiteStatus) -> None:
    bus.publish(SITE_STATUS, status, site_id=site)


def _send_frame(bus: Bus, site: str, frame: bytes) -> bool:
    if not bus.connected:
        return False
    bus.publish_raw(AUDIO_IN, frame, site=site)
    return True
