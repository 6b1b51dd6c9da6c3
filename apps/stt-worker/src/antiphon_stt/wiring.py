"""How the speech-to-text worker is put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from antiphon_audio import Vad
from antiphon_contracts import AUDIO_UTTERANCE, STT_FINAL, SttFinal
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Bus, Remote, Upstream, Wiring, Worker, listen_raw, load_engine

from antiphon_stt.ear import Ear, SpeechGate
from antiphon_stt.service import Announce, Limits, Transcriber, UtteranceService
from antiphon_stt.settings import SttSettings

FINAL_TTL_S = 60.0

# Beside those that work and wait, so that "busy" is said at once.
_SPARE_HANDLERS = 4


def build(worker: Worker[SttSettings]) -> Wiring:
    """Build the worker with the engine that its settings name.

    Raises:
        ConfigError: there is no such engine.
    """
    settings = worker.settings
    models = ModelStore(default_root(worker.runtime.models_dir))
    transcriber: Transcriber = load_engine("antiphon.transcribers", settings.engine)(
        settings, models
    )
    return wire(worker, transcriber, gate_opener(settings))


def wire(
    worker: Worker[SttSettings], transcriber: Transcriber, open_gate: Callable[[], SpeechGate]
) -> Wiring:
    """Build the worker around a given engine and voice-activity gate."""
    settings = worker.settings
    upstream = _upstream(worker, transcriber) if isinstance(transcriber, Remote) else None
    announce = partial(_announce, worker.bus)
    service = make_service(settings, transcriber, open_gate, announce, upstream)
    worker.health.engine = transcriber.name
    capacity = service.capacity + _SPARE_HANDLERS
    handler = listen_raw(AUDIO_UTTERANCE, service.on_utterance, concurrency=capacity, shared=True)
    return Wiring([handler], lifespan=service.lifespan)


def make_service(
    settings: SttSettings,
    transcriber: Transcriber,
    open_gate: Callable[[], SpeechGate],
    announce: Announce,
    upstream: Upstream | None = None,
) -> UtteranceService:
    """Build the service alone; also for use without a bus."""
    ear = Ear(
        open_gate,
        max_audio_s=settings.max_audio_s,
        min_audio_ms=settings.min_audio_ms,
        silence_dbfs=settings.silence_dbfs,
    )
    return UtteranceService(
        ear,
        transcriber,
        announce,
        Limits(settings.max_waiting, settings.parallel, settings.timeout_s),
        language=settings.language or None,
        prompt=settings.prompt,
        upstream=upstream,
    )


def _upstream(worker: Worker[SttSettings], engine: Remote) -> Upstream:
    return Upstream.before(
        engine, "speech_server", worker.health, retry_s=worker.runtime.server_retry_s
    )


def gate_opener(settings: SttSettings) -> Callable[[], SpeechGate]:
    """Return what opens the voice-activity gate that the settings want."""
    return partial(Vad, settings.vad_threshold)


def _announce(bus: Bus, site_id: str, final: SttFinal) -> None:
    bus.publish(STT_FINAL, final, turn_id=final.utterance_id, site_id=site_id, ttl_s=FINAL_TTL_S)
