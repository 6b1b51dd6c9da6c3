"""Topics of hearing and speaking."""

from __future__ import annotations

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
from antiphon_contracts.roles import PEOPLE, Flow, Role
from antiphon_contracts.topic import RawTopic, Topic

WAV = "audio/wav"

# Audio
AUDIO_IN = RawTopic(
    "audio/{site}/in",
    0,
    Flow(Role.SATELLITE | Role.OPERATOR, Role.STT | Role.WAKE | Role.OPERATOR),
    "Microphone: WAV-framed PCM, 16 kHz mono s16, 80 ms a chunk. A chunk `plac` in the WAV names "
    "the stream and the place in it; without one, frames count as they come.",
    content_type=WAV,
)
AUDIO_LEVEL = Topic[AudioLevel](
    "audio/{site}/level",
    0,
    Flow(Role.SATELLITE, PEOPLE),
    "How loud the microphone hears; off by default.",
    model=AudioLevel,
    type="audio.level/1",
)
SITE_STATUS = Topic[SiteStatus](
    "site/{site}/status",
    1,
    Flow(Role.SATELLITE | Role.OPERATOR, Role.ROUTER | Role.WAKE | Role.STT | PEOPLE),
    "What a satellite's microphone is for.",
    retain=True,
    model=SiteStatus,
    type="site.status/1",
)
AUDIO_UTTERANCE = RawTopic(
    "audio/{site}/utterance/{utterance}",
    1,
    Flow(Role.SATELLITE | PEOPLE, Role.STT),
    "A whole recording: WAV, FLAC, OGG or MP3, at most 4 MB. Its id becomes the turn's id.",
    content_type="audio/wav, audio/flac, audio/ogg or audio/mpeg",
)
AUDIO_OUT = RawTopic(
    "audio/{site}/out/{utterance}",
    0,
    Flow(Role.TTS | Role.TIMER, Role.SATELLITE | PEOPLE),
    "Speech and ringing: WAV-framed PCM at its own rate, in order; an empty payload ends the "
    "utterance.",
    content_type=WAV,
)
PLAYBACK_CONTROL = Topic[PlaybackControl](
    "playback/{site}/control",
    1,
    Flow(Role.ROUTER | Role.TIMER | Role.OPERATOR, Role.SATELLITE | Role.OPERATOR),
    "Stop, pause, resume, volume, duck.",
    model=PlaybackControl,
    type="playback.control/1",
)
PLAYBACK_STATUS = Topic[PlaybackStatus](
    "playback/{site}/status",
    1,
    Flow(Role.SATELLITE | Role.OPERATOR, Role.ROUTER | Role.TIMER | PEOPLE),
    "What the speaker really played.",
    model=PlaybackStatus,
    type="playback.status/1",
)
CAPTURE_CONTROL = Topic[CaptureControl](
    "capture/{site}/control",
    1,
    Flow(PEOPLE, Role.SATELLITE),
    "Push-to-talk: start, stop, discard.",
    model=CaptureControl,
    type="capture.control/1",
)
CAPTURE_STATUS = Topic[CaptureStatus](
    "capture/{site}/status",
    1,
    Flow(Role.SATELLITE, PEOPLE),
    "What became of a push-to-talk recording.",
    model=CaptureStatus,
    type="capture.status/1",
)

# Listening
WAKE_EVENT = Topic[WakeEvent](
    "wake/event/{site}",
    1,
    Flow(Role.WAKE, Role.ROUTER | Role.SATELLITE | PEOPLE),
    "A wake word was heard.",
    model=WakeEvent,
    type="wake.event/1",
)
WAKE_CONTROL = Topic[WakeControl](
    "wake/{site}/control",
    1,
    Flow(Role.ROUTER | Role.OPERATOR, Role.WAKE),
    "What to listen for at a site.",
    model=WakeControl,
    type="wake.control/1",
)
STT_CONTROL = Topic[SttControl](
    "stt/control",
    1,
    Flow(Role.ROUTER, Role.STT),
    "Listen, stop or gate a site's stream.",
    model=SttControl,
    type="stt.control/1",
)
STT_PARTIAL = Topic[SttPartial](
    "stt/partial",
    0,
    Flow(Role.STT, Role.ROUTER | Role.OPERATOR),
    "The transcript so far.",
    model=SttPartial,
    type="stt.partial/1",
)
STT_FINAL = Topic[SttFinal](
    "stt/final",
    1,
    Flow(Role.STT, Role.ROUTER | Role.OPERATOR | Role.METRICS),
    "The transcript, or why there is none.",
    model=SttFinal,
    type="stt.final/1",
)

# Speaking
TTS_SAY = Topic[TtsSay](
    "tts/say",
    1,
    Flow(Role.ROUTER | Role.OPERATOR, Role.TTS),
    "One clause to be spoken.",
    model=TtsSay,
    type="tts.say/1",
)
TTS_PREPARE = Topic[TtsPrepare](
    "tts/prepare",
    0,
    Flow(Role.ROUTER, Role.TTS),
    "Make this sound ready; it may never be said.",
    model=TtsPrepare,
    type="tts.prepare/1",
)
TTS_CANCEL = Topic[TtsCancel](
    "tts/cancel",
    1,
    Flow(Role.ROUTER, Role.TTS),
    "Stops synthesis.",
    model=TtsCancel,
    type="tts.cancel/1",
)
TTS_STATUS = Topic[TtsStatus](
    "tts/status",
    1,
    Flow(Role.TTS, Role.ROUTER | PEOPLE | Role.METRICS),
    "What became of a clause's answer.",
    model=TtsStatus,
    type="tts.status/1",
)
