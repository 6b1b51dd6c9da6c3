"""Every topic of the house, next to nothing else. No topic string stands anywhere else."""

from __future__ import annotations

from antiphon_contracts.payloads.house import (
    Control,
    DeadLetter,
    Health,
    PlainAnswer,
    PlainAsk,
    Refusal,
)
from antiphon_contracts.payloads.language import (
    LlmCancel,
    LlmRequest,
    LlmResponse,
    LlmStream,
    ToolCall,
    ToolRegistry,
    ToolResult,
)
from antiphon_contracts.payloads.memory import (
    HistoryAppend,
    HistoryDone,
    HistoryQuery,
    HistoryResults,
    MemoryDone,
    MemoryForget,
    MemoryIngest,
    MemoryQuery,
    MemoryRemember,
    MemoryResults,
)
from antiphon_contracts.payloads.speech import (
    CaptureControl,
    CaptureStatus,
    PlaybackControl,
    PlaybackStatus,
    SttControl,
    SttFinal,
    SttPartial,
    TtsCancel,
    TtsSay,
    TtsStatus,
    WakeEvent,
)
from antiphon_contracts.roles import EVERYONE, PEOPLE, WORKERS, Flow, Role
from antiphon_contracts.topic import RawTopic, RequestTopic, Topic

WAV = "audio/wav"
PLAIN = "text/plain or application/json"

REFUSAL_TYPE = "error/1"
"""Type of the envelope that carries a `Refusal` on any reply topic."""
REFUSAL_MODEL = Refusal

# Audio
AUDIO_IN = RawTopic(
    "audio/{site}/in",
    0,
    Flow(Role.SATELLITE, Role.STT | Role.WAKE),
    "Microphone: WAV-framed PCM, 16 kHz mono s16, 80 ms a chunk.",
    content_type=WAV,
    reserved=True,
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
    Flow(Role.TTS, Role.SATELLITE | PEOPLE),
    "Speech: WAV-framed PCM at the voice's rate, in order; an empty payload ends the utterance.",
    content_type=WAV,
)
PLAYBACK_CONTROL = Topic[PlaybackControl](
    "playback/{site}/control",
    1,
    Flow(Role.ROUTER, Role.SATELLITE),
    "Stop, pause, resume, volume, duck.",
    model=PlaybackControl,
    type="playback.control/1",
)
PLAYBACK_STATUS = Topic[PlaybackStatus](
    "playback/{site}/status",
    1,
    Flow(Role.SATELLITE, Role.ROUTER | Role.STT),
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
    Flow(Role.WAKE, Role.ROUTER | Role.STT),
    "A wake word was heard.",
    model=WakeEvent,
    type="wake.event/1",
    reserved=True,
)
STT_CONTROL = Topic[SttControl](
    "stt/control",
    1,
    Flow(Role.ROUTER, Role.STT),
    "Listen, stop or gate a site's stream.",
    model=SttControl,
    type="stt.control/1",
    reserved=True,
)
STT_PARTIAL = Topic[SttPartial](
    "stt/partial",
    0,
    Flow(Role.STT, Role.ROUTER),
    "The transcript so far.",
    model=SttPartial,
    type="stt.partial/1",
    reserved=True,
)
STT_FINAL = Topic[SttFinal](
    "stt/final",
    1,
    Flow(Role.STT, Role.ROUTER),
    "The transcript, or why there is none.",
    model=SttFinal,
    type="stt.final/1",
)

# Thinking
LLM_STREAM = Topic[LlmStream](
    "llm/stream",
    0,
    Flow(Role.LLM, Role.ROUTER),
    "Pieces of the reply, as they are made.",
    model=LlmStream,
    type="llm.stream/1",
)
LLM_RESPONSE = Topic[LlmResponse](
    "llm/response",
    1,
    Flow(Role.LLM, Role.ROUTER),
    "The whole reply.",
    model=LlmResponse,
    type="llm.response/1",
)
LLM_REQUEST = RequestTopic[LlmRequest, LlmResponse](
    "llm/request",
    1,
    Flow(Role.ROUTER, Role.LLM),
    "Asks for a reply to what a person said.",
    model=LlmRequest,
    type="llm.request/1",
    reply=LLM_RESPONSE,
)
LLM_CANCEL = Topic[LlmCancel](
    "llm/cancel",
    1,
    Flow(Role.ROUTER, Role.LLM),
    "Stops a reply at once.",
    model=LlmCancel,
    type="llm.cancel/1",
)
TOOLS_RESULT = Topic[ToolResult](
    "tools/result",
    1,
    Flow(Role.TOOLS, Role.LLM | Role.ROUTER),
    "What a tool returned.",
    model=ToolResult,
    type="tools.result/1",
)
TOOLS_CALL = RequestTopic[ToolCall, ToolResult](
    "tools/call",
    1,
    Flow(Role.LLM | Role.ROUTER, Role.TOOLS),
    "Calls a tool.",
    model=ToolCall,
    type="tools.call/1",
    reply=TOOLS_RESULT,
)
TOOLS_REGISTRY = Topic[ToolRegistry](
    "tools/registry",
    1,
    Flow(Role.TOOLS, Role.LLM),
    "All tools that are on offer.",
    retain=True,
    model=ToolRegistry,
    type="tools.registry/1",
)

# Remembering
MEMORY_RESULTS = Topic[MemoryResults](
    "memory/results",
    1,
    Flow(Role.MEMORY, Role.LLM | Role.TOOLS | Role.ROUTER),
    "What was found.",
    model=MemoryResults,
    type="memory.results/1",
)
MEMORY_QUERY = RequestTopic[MemoryQuery, MemoryResults](
    "memory/query",
    1,
    Flow(Role.LLM | Role.TOOLS | Role.ROUTER, Role.MEMORY),
    "Asks long-term memory.",
    model=MemoryQuery,
    type="memory.query/1",
    reply=MEMORY_RESULTS,
)
MEMORY_DONE = Topic[MemoryDone](
    "memory/done",
    1,
    Flow(Role.MEMORY, Role.TOOLS | Role.ROUTER | Role.OPERATOR),
    "What a write did.",
    model=MemoryDone,
    type="memory.done/1",
)
MEMORY_REMEMBER = RequestTopic[MemoryRemember, MemoryDone](
    "memory/remember",
    1,
    Flow(Role.TOOLS | Role.ROUTER | Role.OPERATOR, Role.MEMORY),
    "Stores a text for good.",
    model=MemoryRemember,
    type="memory.remember/1",
    reply=MEMORY_DONE,
)
MEMORY_FORGET = RequestTopic[MemoryForget, MemoryDone](
    "memory/forget",
    1,
    Flow(Role.TOOLS | Role.ROUTER | Role.OPERATOR, Role.MEMORY),
    "Deletes memories.",
    model=MemoryForget,
    type="memory.forget/1",
    reply=MEMORY_DONE,
)
MEMORY_INGEST = RequestTopic[MemoryIngest, MemoryDone](
    "memory/ingest",
    1,
    Flow(Role.TOOLS | Role.ROUTER | Role.OPERATOR, Role.MEMORY),
    "Adds a document to the knowledge base.",
    model=MemoryIngest,
    type="memory.ingest/1",
    reserved=True,
    reply=MEMORY_DONE,
)
HISTORY_DONE = Topic[HistoryDone](
    "history/done",
    1,
    Flow(Role.MEMORY, Role.ROUTER),
    "The row was stored.",
    model=HistoryDone,
    type="history.done/1",
)
HISTORY_APPEND = RequestTopic[HistoryAppend, HistoryDone](
    "history/append",
    1,
    Flow(Role.ROUTER, Role.MEMORY),
    "What was said and what was really spoken.",
    model=HistoryAppend,
    type="history.append/1",
    reply=HISTORY_DONE,
)
HISTORY_RESULTS = Topic[HistoryResults](
    "history/results",
    1,
    Flow(Role.MEMORY, Role.LLM),
    "A conversation's newest messages.",
    model=HistoryResults,
    type="history.results/1",
)
HISTORY_QUERY = RequestTopic[HistoryQuery, HistoryResults](
    "history/query",
    1,
    Flow(Role.LLM, Role.MEMORY),
    "Asks for a conversation's newest messages.",
    model=HistoryQuery,
    type="history.query/1",
    reply=HISTORY_RESULTS,
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
    Flow(Role.TTS, Role.ROUTER | PEOPLE),
    "What became of a clause's answer.",
    model=TtsStatus,
    type="tts.status/1",
)

# The plain door
SAY = RawTopic(
    "say", 1, Flow(PEOPLE, Role.ROUTER), "Says a text.", content_type=PLAIN, plain=PlainAsk
)
SAY_SITE = RawTopic(
    "say/{site}",
    1,
    Flow(PEOPLE, Role.ROUTER),
    "Says a text there.",
    content_type=PLAIN,
    plain=PlainAsk,
)
ASK = RawTopic(
    "ask", 1, Flow(PEOPLE, Role.ROUTER), "Asks a question.", content_type=PLAIN, plain=PlainAsk
)
ASK_SITE = RawTopic(
    "ask/{site}",
    1,
    Flow(PEOPLE, Role.ROUTER),
    "Asks a question there.",
    content_type=PLAIN,
    plain=PlainAsk,
)
ANSWER = RawTopic(
    "answer/{site}",
    1,
    Flow(Role.ROUTER, Role.ROUTER | PEOPLE),
    "The answer, as JSON without an envelope.",
    plain=PlainAnswer,
)

# Keeping house
CONTROL = Topic[Control](
    "control/{worker}",
    1,
    Flow(Role.OPERATOR, WORKERS),
    "To one worker, or to `all`.",
    addressed=True,
    model=Control,
    type="control/1",
)
HEALTH = Topic[Health](
    "health/{worker}",
    1,
    Flow(WORKERS, EVERYONE),
    "How a worker is; `gone` is its last will.",
    retain=True,
    model=Health,
    type="health/1",
)
DEAD = Topic[DeadLetter](
    "dead/{worker}/{letter}",
    1,
    Flow(WORKERS | Role.OPERATOR, WORKERS | Role.OPERATOR),
    "A message whose handler crashed; an empty message takes the letter away.",
    retain=True,
    addressed=True,
    model=DeadLetter,
    type="dead/1",
)
DEAD_RETRY = RawTopic(
    "dead/{worker}/{letter}/retry",
    1,
    Flow(Role.OPERATOR, WORKERS),
    "Has the worker take the letter's message in once more; the payload is empty.",
    content_type="none",
    addressed=True,
)


def all_topics() -> dict[str, RawTopic]:
    """Return every topic of the contract, by its Python name."""
    return {name: value for name, value in globals().items() if isinstance(value, RawTopic)}
