"""The examples themselves. The golden files of the contract's tests are made from them."""

from __future__ import annotations

from antiphon_contracts.documentation.acting_examples import ACTING
from antiphon_contracts.documentation.example_knowledge import KNOWING
from antiphon_contracts.documentation.remembering_examples import REMEMBERING
from antiphon_contracts.envelope import Payload
from antiphon_contracts.payloads.dialogue import (
    Announce,
    Announced,
    AnnouncedAt,
    AskUser,
    DialogueControl,
    DialogueState,
    UserAnswer,
)
from antiphon_contracts.payloads.house import (
    Control,
    DeadLetter,
    Health,
    LoopLag,
    PlainAnswer,
    PlainAsk,
    Refusal,
    Stage,
)
from antiphon_contracts.payloads.speech import (
    AudioLevel,
    CaptureControl,
    CaptureStatus,
    PlaybackControl,
    PlaybackStatus,
    SiteStatus,
    SttControl,
    SttFinal,
    SttPartial,
    TtsCancel,
    TtsPrepare,
    TtsSay,
    TtsStatus,
    WakeControl,
    WakeEvent,
)
from antiphon_contracts.topics import AUDIO_UTTERANCE

_UTTERANCE = "019b76da-a800-7000-8000-000000000004"
_ANSWER = "019b76da-a800-7000-8000-000000000005"
_TS = 1767225540.5

_STREAM = "019b76da"

_DIALOGUE: tuple[Payload, ...] = (
    DialogueState(state="listening", reason="wake", turn_id=_UTTERANCE),
    DialogueControl(action="pause"),
    Announce(text="Dinner is ready.", sites=("kitchen", "study"), priority=20, voice="ryan"),
    Announced(
        sites=(
            AnnouncedAt(site="kitchen", state="heard", detail="It was heard."),
            AnnouncedAt(site="study", state="failed", detail="My voice is offline right now."),
        )
    ),
    AskUser(text="Shall I lock the door?", listen_s=6.0, voice="ryan"),
    UserAnswer(
        outcome="failed",
        text="Yes, please.",
        confidence=0.88,
        detail="My ears are offline right now.",
    ),
)

_LISTENING: tuple[Payload, ...] = (
    SiteStatus(streaming=True, stream=_STREAM, muted=True, echo_cancelled=True),
    AudioLevel(rms_dbfs=-41.5, peak_dbfs=-22.0, bands_dbfs=(-60.1, -48.0, -44.2, -52.7, -58.3)),
    WakeControl(enabled=False, phrases=("okay_nabu", "hey_jarvis"), threshold=0.8),
    WakeEvent(
        phrase="okay_nabu",
        score=0.97,
        stream=_STREAM,
        begin_ms=47_400,
        offset_ms=48_120,
        detected_ms=48_240,
        level_dbfs=-26.4,
    ),
    SttControl(
        action="listen",
        utterance_id=_UTTERANCE,
        reason="wake",
        stream=_STREAM,
        start_ms=48_120,
        phrase_begin_ms=47_400,
        phrase="okay_nabu",
        window_s=6.0,
    ),
    SttPartial(
        utterance_id=_UTTERANCE,
        seq=2,
        text="Was für ein",
        stable_chars=7,
        candidate=True,
        language="de",
        confidence=0.71,
    ),
    SttFinal(
        utterance_id=_UTTERANCE,
        text="Was für ein Wetter?",
        language="de",
        confidence=0.82,
        audio_ms=2_140,
        speech_ms=1_630,
        decode_ms=4.5,
        transcribe_ms=212.0,
        rejected="too_short",
        detail="There was too little speech in the recording.",
        reason="wake",
        stream=_STREAM,
        start_ms=48_200,
        end_ms=49_830,
        endpoint_ms=352.0,
        final_ms=8.5,
    ),
    CaptureControl(action="start", utterance_id=_UTTERANCE, max_s=15.0),
    CaptureStatus(
        utterance_id=_UTTERANCE,
        state="failed",
        audio_ms=640,
        detail="The microphone was unplugged.",
    ),
)

_SPEAKING: tuple[Payload, ...] = (
    TtsSay(
        utterance_id=_ANSWER,
        seq=1,
        text="Your bicycle is red.",
        last=True,
        voice="en_US-joe-medium",
        speed=1.2,
        priority=20,
    ),
    TtsPrepare(text="It is half past seven,", voice="en_US-joe-medium", speed=1.1),
    TtsCancel(utterance_id=_ANSWER),
    TtsStatus(
        utterance_id=_ANSWER,
        state="failed",
        seq=1,
        audio_ms=1_250,
        first_audio_ms=84.0,
        detail="The voice cannot be read.",
    ),
    PlaybackControl(action="volume", utterance_id=_ANSWER, volume=0.4),
    PlaybackStatus(
        utterance_id=_ANSWER,
        state="failed",
        played_ms=730,
        detail="The speaker was unplugged.",
    ),
)

_HOUSE: tuple[Payload, ...] = (
    PlainAsk(text="what time is it", id="shelly-7", speak=False),
    PlainAnswer(
        id="shelly-7",
        turn_id=_UTTERANCE,
        transcript="what time is it",
        answer="It is ten past nine.",
        route="fast",
        error="The language model is offline.",
        unheard="The speech worker is offline.",
        utterance_id=_ANSWER,
        stages=(Stage(name="route", start_ms=0.25, end_ms=0.75),),
    ),
    Control(action="log_level", level="debug"),
    Health(
        worker="stt-1",
        kind="stt",
        state="degraded",
        version="0.1.0",
        pid=4711,
        uptime_s=86_400.5,
        loop=LoopLag(p50_ms=0.25, p99_ms=1.5, max_ms=12.0),
        queues={AUDIO_UTTERANCE.pattern: 2},
        counters={"expired": 1},
        breakers={"openai": "half_open"},
        notes=("The fallback engine is at work.",),
        engine="faster-whisper tiny.en int8",
        muted=True,
    ),
    DeadLetter(
        letter="9f86d081884c7d65",
        worker="stt-1",
        topic=AUDIO_UTTERANCE.at(site="kitchen", utterance=_UTTERANCE),
        error="ZeroDivisionError",
        where=("service.py:120 on_utterance",),
        attempts=2,
        ts=_TS,
        size_bytes=4,
        payload="UklGRg==",
    ),
    Refusal(code="busy", detail="memory has too much to do"),
)

EXAMPLES: tuple[Payload, ...] = (
    *_LISTENING,
    *ACTING,
    *REMEMBERING,
    *KNOWING,
    *_SPEAKING,
    *_DIALOGUE,
    *_HOUSE,
)
