"""What the TTS worker is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from antiphon_contracts import (
    AUDIO_OUT,
    TTS_CANCEL,
    TTS_PREPARE,
    TTS_SAY,
    TTS_STATUS,
    ConfigError,
    EngineError,
    TtsStatus,
)
from antiphon_models import ModelStore
from antiphon_runtime import (
    Bus,
    HealthReporter,
    ModelThread,
    Remote,
    Upstream,
    Wiring,
    Worker,
    listen,
    load_engine,
    running,
)

from antiphon_tts.phrase_cache import PhraseCache
from antiphon_tts.service import Speech, SpeechLimits
from antiphon_tts.settings import TtsSettings
from antiphon_tts.utterance import Address
from antiphon_tts.voice import Synthesizer, Voice

log = structlog.get_logger(__name__)

Factory = Callable[[TtsSettings, ModelStore], Synthesizer]
LoadFactory = Callable[[str], Factory]


class BusOutlet:
    """See `antiphon_tts.service.Outlet`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def frame(self, address: Address, payload: bytes) -> asyncio.Future[None]:
        """Publish the frame on the utterance's own topic."""
        return self._bus.publish_raw(
            AUDIO_OUT, payload, site=address.site_id, utterance=address.utterance_id
        )

    def status(self, address: Address, status: TtsStatus) -> None:
        """Publish the status."""
        self._bus.publish(TTS_STATUS, status, turn_id=address.turn_id, site_id=address.site_id)


_CLOSE_S = 1.0
_INSTALLED: LoadFactory = partial(load_engine, "antiphon.synthesizers")


def build(worker: Worker[TtsSettings], load_factory: LoadFactory = _INSTALLED) -> Wiring:
    """Return the worker's handlers and its lifespan: voice loaded, sites spoken to."""
    settings = worker.settings
    models = ModelStore(worker.runtime.models_dir)
    speech = Speech(BusOutlet(worker.bus), _limits(settings))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with ModelThread("tts") as thread:
            synthesizer = await _load(settings, models, load_factory, thread, worker.health)
            try:
                async with _guarded(synthesizer, worker, load_factory, thread) as voice:
                    sites = range(settings.sites_at_once)
                    speakers = {f"speak:{n}": speech.speak(voice) for n in sites}
                    async with running(**speakers, prepare=speech.prepare(voice)):
                        yield
            finally:
                speech.end_all()
                await _close(synthesizer, thread)

    handlers = [
        listen(TTS_SAY, speech.on_say),
        listen(TTS_PREPARE, speech.on_prepare),
        listen(TTS_CANCEL, speech.on_cancel),
    ]
    return Wiring(handlers, lifespan=lifespan)


@asynccontextmanager
async def _guarded(
    synthesizer: Synthesizer,
    worker: Worker[TtsSettings],
    load_factory: LoadFactory,
    thread: ModelThread,
) -> AsyncIterator[Voice]:
    """Hold a voice open; one that a server makes has a breaker and a spare one of this machine."""
    if not isinstance(synthesizer, Remote):
        # A server's sound is not kept: it may have been made by the spare voice.
        folder = worker.runtime.data_dir / "phrases"
        cache = PhraseCache(folder, worker.settings.phrase_cache_mb * 1_000_000)
        yield Voice(synthesizer, thread, cache=cache)
        return
    upstream = Upstream.before(
        synthesizer, "speech_server", worker.health, retry_s=worker.runtime.server_retry_s
    )
    spare = await _spare(worker, load_factory, thread)
    try:
        async with upstream.open():
            yield Voice(synthesizer, thread, upstream=upstream, spare=spare)
    finally:
        if spare is not None:
            await _close(spare, thread)


async def _spare(
    worker: Worker[TtsSettings], load_factory: LoadFactory, thread: ModelThread
) -> Synthesizer | None:
    """Return the fallback's voice; None if there is none, then the server's failures are told."""
    settings = worker.settings
    if settings.fallback in {"", settings.engine}:
        return None
    try:
        spare = load_factory(settings.fallback)(settings, ModelStore(worker.runtime.models_dir))
        await thread.call(spare.load)
    except (ConfigError, EngineError) as error:
        log.warning("voice.no_spare", engine=settings.fallback, reason=str(error))
        return None
    return spare


async def _close(synthesizer: Synthesizer, thread: ModelThread) -> None:
    """Close the voice, unless it is stuck in a call: the process ends without it."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await thread.call(synthesizer.close)
    except TimeoutError:
        log.warning("voice.stuck", engine=synthesizer.name)


def _limits(settings: TtsSettings) -> SpeechLimits:
    return SpeechLimits(
        gap_timeout_s=settings.gap_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        chunk_timeout_s=settings.chunk_timeout_s,
        max_utterances=settings.max_utterances,
        max_clauses=settings.max_clauses,
        max_chars=settings.max_chars,
    )


async def _load(
    settings: TtsSettings,
    models: ModelStore,
    load_factory: LoadFactory,
    thread: ModelThread,
    health: HealthReporter,
) -> Synthesizer:
    """Return a voice that is ready: the engine's own or, noted in health, the fallback's.

    Raises:
        ConfigError: neither can speak; the text says what mends the first.
    """
    try:
        synthesizer = load_factory(settings.engine)(settings, models)
        await thread.call(synthesizer.load)
        health.clear_note("engine")
    except (ConfigError, EngineError) as error:
        synthesizer = await _fall_back(settings, models, load_factory, thread, reason=error)
        health.note(
            "engine",
            f"{settings.engine.capitalize()} is not available ({error}):"
            f" speaking with {settings.fallback}.",
        )
    health.engine = synthesizer.name
    return synthesizer


async def _fall_back(
    settings: TtsSettings,
    models: ModelStore,
    load_factory: LoadFactory,
    thread: ModelThread,
    *,
    reason: ConfigError | EngineError,
) -> Synthesizer:
    if settings.fallback in {"", settings.engine}:
        raise ConfigError(str(reason)) from reason
    try:
        synthesizer = load_factory(settings.fallback)(settings, models)
        await thread.call(synthesizer.load)
    except (ConfigError, EngineError) as error:
        msg = f"no voice can speak: {reason}; and {settings.fallback}: {error}"
        raise ConfigError(msg) from reason
    log.warning("voice.fallback", engine=settings.engine, reason=str(reason))
    return synthesizer
