"""Every topic of the house, next to nothing else. No topic string stands anywhere else."""

from __future__ import annotations

from antiphon_contracts.payloads.house import Control, Health, PlainAnswer, PlainAsk, Refusal
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
    "satellite -> stt, wake",
    "Microphone: WAV-framed PCM, 16 kHz mono s16, 80 ms a chunk.",
    content_type=WAV,
    reserved=True,
)
AUDIO_UTTERANCE = RawTopic(
    "audio/{site}/utterance/{utterance}",
    1,
    "anyone -> stt",
    "A whole recording: WAV, FLAC, OGG or MP3, at most 4 MB. Its id becomes the turn's id.",
    content_type="audio/wav, audio/flac, audio/ogg or audio/mpeg",
)
AUDIO_OUT = RawTopic(
    "audio/{site}/out/{utterance}",
    0,
    "tts -> satellite",
    "Speech: WAV-framed PCM at the voice's rate, in order; an empty payload ends the utterance.",
    content_type=WAV,
)
PLAYBACK_CONTROL = Topic[PlaybackControl](
    "playback/{site}/control",
    1,
    "router -> satellite",
    "Stop, pause, resume, volume, duck.",
    model=PlaybackControl,
    type="playback.control/1",
)
PLAYBACK_STATUS = Topic[PlaybackStatus](
    "playback/{site}/status",
    1,
    "satellite -> router, stt",
    "What the speaker really played.",
    model=PlaybackStatus,
    type="playback.status/1",
)
CAPTURE_CONTROL = Topic[CaptureControl](
    "capture/{site}/control",
    1,
    "anyone -> satellite",
    "Push-to-talk: start, stop, discard.",
    model=CaptureControl,
    type="capture.control/1",
)
CAPTURE_STATUS = Topic[CaptureStatus](
    "capture/{site}/status",
    1,
    "satellite -> anyone",
    "What became of a push-to-talk recording.",
    model=CaptureStatus,
    type="capture.status/1",
)

# Listening
WAKE_EVENT = Topic[WakeEvent](
    "wake/event/{site}",
    1,
    "wake -> router, stt",
    "A wake word was heard.",
    model=WakeEvent,
    type="wake.event/1",
    reserved=True,
)
STT_CONTROL = Topic[SttControl](
    "stt/control",
    1,
    "router -> stt",
    "Listen, stop or gate a site's stream.",
    model=SttControl,
    type="stt.control/1",
    reserved=True,
)
STT_PARTIAL = Topic[SttPartial](
    "stt/partial",
    0,
    "stt -> router",
    "The transcript so far.",
    model=SttPartial,
    type="stt.partial/1",
    reserved=True,
)
STT_FINAL = Topic[SttFinal](
    "stt/final",
    1,
    "stt -> router",
    "The transcript, or why there is none.",
    model=SttFinal,
    type="stt.final/1",
)

# Thinking
LLM_STREAM = Topic[LlmStream](
    "llm/stream",
    0,
    "llm -> router",
    "Pieces of the reply, as they are made.",
    model=LlmStream,
    type="llm.stream/1",
)
LLM_RESPONSE = Topic[LlmResponse](
    "llm/response",
    1,
    "llm -> router",
    "The whole reply.",
    model=LlmResponse,
    type="llm.response/1",
)
LLM_REQUEST = RequestTopic[LlmRequest, LlmResponse](
    "llm/request",
    1,
    "router -> llm",
    "Asks for a reply to what a person said.",
    model=LlmRequest,
    type="llm.request/1",
    reply=LLM_RESPONSE,
)
LLM_CANCEL = Topic[LlmCancel](
    "llm/cancel",
    1,
    "router -> llm",
    "Stops a reply at once.",
    model=LlmCancel,
    type="llm.cancel/1",
)
TOOLS_RESULT = Topic[ToolResult](
    "tools/result",
    1,
    "tools -> llm",
    "What a tool returned.",
    model=ToolResult,
    type="tools.result/1",
)
TOOLS_CALL = RequestTopic[ToolCall, ToolResult](
    "tools/call",
    1,
    "llm, router -> tools",
    "Calls a tool.",
    model=ToolCall,
    type="tools.call/1",
    reply=TOOLS_RESULT,
)
TOOLS_REGISTRY = Topic[ToolRegistry](
    "tools/registry",
    1,
    "tools -> llm",
    "All tools that are on offer.",
    retain=True,
    model=ToolRegistry,
    type="tools.registry/1",
)

# Remembering
MEMORY_RESULTS = Topic[MemoryResults](
    "memory/results",
    1,
    "memory -> llm, tools, router",
    "What was found.",
    model=MemoryResults,
    type="memory.results/1",
)
MEMORY_QUERY = RequestTopic[MemoryQuery, MemoryResults](
    "memory/query",
    1,
    "llm, tools, router -> memory",
    "Asks long-term memory.",
    model=MemoryQuery,
    type="memory.query/1",
    reply=MEMORY_RESULTS,
)
MEMORY_DONE = Topic[MemoryDone](
    "memory/done",
    1,
    "memory -> whoever asked",
    "What a write did.",
    model=MemoryDone,
    type="memory.done/1",
)
MEMORY_REMEMBER = RequestTopic[MemoryRemember, MemoryDone](
    "memory/remember",
    1,
    "tools, router, command line -> memory",
    "Stores a text for good.",
    model=MemoryRemember,
    type="memory.remember/1",
    reply=MEMORY_DONE,
)
MEMORY_FORGET = RequestTopic[MemoryForget, MemoryDone](
    "memory/forget",
    1,
    "tools, router, command line -> memory",
    "Deletes memories.",
    model=MemoryForget,
    type="memory.forget/1",
    reply=MEMORY_DONE,
)
MEMORY_INGEST = RequestTopic[MemoryIngest, MemoryDone](
    "memory/ingest",
    1,
    "tools, router, command line -> memory",
    "Adds a document to the knowledge base.",
    model=MemoryIngest,
    type="memory.ingest/1",
    reserved=True,
    reply=MEMORY_DONE,
)
HISTORY_DONE = Topic[HistoryDone](
    "history/done",
    1,
    "memory -> router",
    "The row was stored.",
    model=HistoryDone,
    type="history.done/1",
)
HISTORY_APPEND = RequestTopic[HistoryAppend, HistoryDone](
    "history/append",
    1,
    "router -> memory",
    "What was said and what was really spoken.",
    model=HistoryAppend,
    type="history.append/1",
    reply=HISTORY_DONE,
)
HISTORY_RESULTS = Topic[HistoryResults](
    "history/results",
    1,
    "memory -> llm",
    "A conversation's newest messages.",
    model=HistoryResults,
    type="history.results/1",
)
HISTORY_QUERY = RequestTopic[HistoryQuery, HistoryResults](
    "history/query",
    1,
    "llm -> memory",
    "Asks for a conversation's newest messages.",
    model=HistoryQuery,
    type="history.query/1",
    reply=HISTORY_RESULTS,
)

# Speaking
TTS_SAY = Topic[TtsSay](
    "tts/say",
    1,
    "router -> tts",
    "One clause to be spoken.",
    model=TtsSay,
    type="tts.say/1",
)
TTS_CANCEL = Topic[TtsCancel](
    "tts/cancel",
    1,
    "router -> tts",
    "Stops synthesis.",
    model=TtsCancel,
    type="tts.cancel/1",
)
TTS_STATUS = Topic[TtsStatus](
    "tts/status",
    1,
    "tts -> router",
    "What became of a clause's answer.",
    model=TtsStatus,
    type="tts.status/1",
)

# The plain door
SAY = RawTopic("say", 1, "anyone -> router", "Says a text.", content_type=PLAIN, plain=PlainAsk)
SAY_SITE = RawTopic(
    "say/{site}", 1, "anyone -> router", "Says a text there.", content_type=PLAIN, plain=PlainAsk
)
ASK = RawTopic("ask", 1, "anyone -> router", "Asks a question.", content_type=PLAIN, plain=PlainAsk)
ASK_SITE = RawTopic(
    "ask/{site}",
    1,
    "anyone -> router",
    "Asks a question there.",
    content_type=PLAIN,
    plain=PlainAsk,
)
ANSWER = RawTopic(
    "answer/{site}",
    1,
    "router -> anyone",
    "The answer, as JSON without an envelope.",
    plain=PlainAnswer,
)

# Keeping house
CONTROL = Topic[Control](
    "control/{worker}",
    1,
    "command line, console -> workers",
    "To one worker, or to `all`.",
    model=Control,
    type="control/1",
)
HEALTH = Topic[Health](
    "health/{worker}",
    1,
    "each worker and its last will -> anyone",
    "How a worker is.",
    retain=True,
    model=Health,
    type="health/1",
)


def all_topics() -> dict[str, RawTopic]:
    """Return every topic of the contract, by its Python name."""
    return {name: value for name, value in globals().items() if isinstance(value, RawTopic)}
