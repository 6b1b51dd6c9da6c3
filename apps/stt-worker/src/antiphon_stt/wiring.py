"""How the speech-to-text worker is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from antiphon_audio import Vad
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_UTTERANCE,
    SITE_STATUS,
    STT_CONTROL,
    STT_FINAL,
    STT_PARTIAL,
    SttFinal,
    SttPartial,
)
from antiphon_models import ModelStore, default_root
from antiphon_runtime import (
    Bus,
    Remote,
    Upstream,
    Wiring,
    Worker,
    listen,
    listen_raw,
    load_engine,
)

from antiphon_stt.ear import Ear, SpeechGate
from antiphon_stt.endpointing import EndpointRules
from antiphon_stt.follower import LiveRules
from antiphon_stt.live import LiveLimits, LiveService, Notes, Voice, VoiceDetector
from antiphon_stt.recogniser import Recogniser
from antiphon_stt.service import Announce, Limits, UtteranceService
from antiphon_stt.settings import SttSettings
from antiphon_stt.transcriber import Transcriber
from antiphon_stt.turn_detector import AdaptiveSilence, Patience, TurnDetector

FINAL_TTL_S = 60.0
PARTIAL_TTL_S = 5.0
LIVE_TIMEOUT_S = 20.0
FRAMES_LIMIT = 256
GROUP_NOTE = (
    "Recordings only: microphones' streams cannot be shared by a group. Let one worker outside of "
    "it listen, or set ANTIPHON_STT_LIVE=on for one member."
)
TURN_MODEL = "smart-turn-v3.2"
TURNS_NOTE = (
    "The end of speech is told by the words alone: run `antiphon models fetch smart-turn-v3.2`, "
    "or set ANTIPHON_STT_TURN_DETECTOR=adaptive."
)
# As in Silero's own reference code.
_HYSTERESIS = 0.15

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
    turns: TurnDetector = load_engine("antiphon.turn_detectors", _turn_detector(worker, models))(
        settings, models
    )
    return wire(worker, transcriber, gate_opener(settings), turns)


def _turn_detector(worker: Worker[SttSettings], models: ModelStore) -> str:
    wanted = worker.settings.turn_detector
    worker.health.clear_note("turns")
    if wanted != "auto":
        return wanted
    if models.is_ready(TURN_MODEL):
        return "smart-turn"
    if worker.settings.live != "off":
        worker.health.note("turns", TURNS_NOTE)
    return "adaptive"


def wire(
    worker: Worker[SttSettings],
    transcriber: Transcriber,
    open_gate: Callable[[], SpeechGate],
    turns: TurnDetector | None = None,
    open_detector: Callable[[], VoiceDetector] | None = None,
) -> Wiring:
    """Build the worker around given engines.

    Args:
        worker: what it is built from.
        transcriber: understands speech.
        open_gate: loads what finds speech in recordings.
        turns: tells whether somebody has finished; adaptive silence by default.
        open_detector: loads what detects voices in streams; Silero's by default.
    """
    settings = worker.settings
    upstream = _upstream(worker, transcriber) if isinstance(transcriber, Remote) else None
    voice = _BusVoice(worker.bus)
    recogniser = make_recogniser(settings, transcriber, upstream)
    service = _recordings(settings, recogniser, open_gate, voice.finish)
    worker.health.engine = transcriber.name
    capacity = service.capacity + _SPARE_HANDLERS
    handlers = [
        listen_raw(AUDIO_UTTERANCE, service.on_utterance, concurrency=capacity, shared=True)
    ]
    if not _is_live(worker):
        return Wiring(handlers, lifespan=service.lifespan)
    live = make_live(
        settings,
        recogniser,
        open_detector or detector_opener(settings),
        turns or AdaptiveSilence(Patience()),
        voice,
        worker.health,
    )
    handlers += [
        listen_raw(AUDIO_IN, live.on_frame, queue_limit=FRAMES_LIMIT, overflow="drop_oldest"),
        listen(STT_CONTROL, live.on_control),
        listen(SITE_STATUS, live.on_site_status),
    ]

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with service.lifespan(), live.lifespan():
            yield

    return Wiring(handlers, lifespan=lifespan)


def _is_live(worker: Worker[SttSettings]) -> bool:
    wanted = worker.settings.live
    if wanted == "auto" and worker.runtime.group:
        # Each member hears all of a stream: two would answer one utterance.
        worker.health.note("live", GROUP_NOTE)
        return False
    worker.health.clear_note("live")
    return wanted != "off"


def make_service(
    settings: SttSettings,
    transcriber: Transcriber,
    open_gate: Callable[[], SpeechGate],
    announce: Announce,
    upstream: Upstream | None = None,
) -> UtteranceService:
    """Build the service alone; also for use without a bus."""
    recogniser = make_recogniser(settings, transcriber, upstream)
    return _recordings(settings, recogniser, open_gate, announce)


def _recordings(
    settings: SttSettings,
    recogniser: Recogniser,
    open_gate: Callable[[], SpeechGate],
    announce: Announce,
) -> UtteranceService:
    ear = Ear(
        open_gate,
        max_audio_s=settings.max_audio_s,
        min_audio_ms=settings.min_audio_ms,
        silence_dbfs=settings.silence_dbfs,
    )
    return UtteranceService(
        ear,
        recogniser,
        announce,
        Limits(settings.max_waiting, settings.parallel, settings.timeout_s),
        language=settings.language or None,
        prompt=settings.prompt,
    )


def make_recogniser(
    settings: SttSettings, transcriber: Transcriber, upstream: Upstream | None = None
) -> Recogniser:
    """Build what recordings and live speech share."""
    calls = settings.parallel + settings.max_waiting + settings.max_sites
    return Recogniser(
        transcriber, parallel=settings.parallel, queue_limit=calls + 1, upstream=upstream
    )


def make_live(
    settings: SttSettings,
    recogniser: Recogniser,
    open_detector: Callable[[], VoiceDetector],
    turns: TurnDetector,
    voice: Voice,
    notes: Notes | None = None,
) -> LiveService:
    """Build the live service alone; also for use without a bus."""
    endpoint = EndpointRules(
        threshold=settings.vad_threshold,
        release=settings.vad_threshold - _HYSTERESIS,
        min_speech_ms=settings.min_speech_ms,
        max_silence_ms=settings.max_silence_ms,
        max_utterance_ms=round(1000 * settings.max_utterance_s),
    )
    draft_s = settings.partial_every_s if settings.partials else 0.0
    return LiveService(
        recogniser,
        open_detector,
        turns,
        voice,
        notes=notes,
        rules=LiveRules(endpoint, draft_s=draft_s),
        limits=LiveLimits(
            settings.max_sites, settings.max_waiting, min(settings.timeout_s, LIVE_TIMEOUT_S)
        ),
        language=settings.language or None,
        prompt=settings.prompt,
    )


def detector_opener(settings: SttSettings) -> Callable[[], VoiceDetector]:
    """Return what opens the voice detector that the settings want."""
    return partial(Vad, settings.vad_threshold)


def _upstream(worker: Worker[SttSettings], engine: Remote) -> Upstream:
    return Upstream.before(
        engine, "speech_server", worker.health, retry_s=worker.runtime.server_retry_s
    )


def gate_opener(settings: SttSettings) -> Callable[[], SpeechGate]:
    """Return what opens the voice-activity gate that the settings want."""
    return partial(Vad, settings.vad_threshold)


class _BusVoice:
    """Sends what was heard."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def say(self, site_id: str, partial: SttPartial) -> None:
        turn_id = partial.utterance_id
        self._bus.publish(
            STT_PARTIAL, partial, turn_id=turn_id, site_id=site_id, ttl_s=PARTIAL_TTL_S
        )

    def finish(self, site_id: str, final: SttFinal) -> None:
        turn_id = final.utterance_id
        self._bus.publish(STT_FINAL, final, turn_id=turn_id, site_id=site_id, ttl_s=FINAL_TTL_S)
