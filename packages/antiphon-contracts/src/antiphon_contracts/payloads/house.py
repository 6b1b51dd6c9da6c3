"""Payloads of keeping house: the plain door, control and health."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from antiphon_contracts.envelope import Payload, Several
from antiphon_contracts.payloads.language import Route

V = TypeVar("V")
MAX_ENTRIES = 256


def _few(value: object) -> object:
    if isinstance(value, dict) and len(value) > MAX_ENTRIES:
        raise PydanticCustomError("too_long", "must not have more than 256 entries")
    return value


# Counted before it is read: every wrong entry costs time.
ByName = Annotated[dict[str, V], BeforeValidator(_few)]


class PlainAsk(Payload):
    """What the plain door (`say`, `ask`) takes as JSON; bare UTF-8 text is `text` alone.

    Attributes:
        text: the words to say, or the question.
        id: repeated in the answer. A question that is sent again under its id is not asked twice:
            its answer is repeated. After a lost connection that fetches an answer that came
            meanwhile.
        speak: whether the answer is spoken at the site.
    """

    text: str = Field(min_length=1, max_length=10_000)
    id: str | None = Field(default=None, max_length=128)
    speak: bool = True


class Stage(Payload):
    """One stage of a turn, in ms from the moment that the turn's input was received.

    Attributes:
        name: of the stage, e.g. `transcribe`.
        start_ms: when it began.
        end_ms: when it ended.
    """

    name: str
    start_ms: float
    end_ms: float


class PlainAnswer(Payload):
    """What the plain door answers on `answer/<site>`, for spoken questions too.

    Attributes:
        id: the question's id; None if it had none.
        turn_id: the turn.
        transcript: what was understood.
        answer: what is spoken in reply.
        route: who answered: the fast path, the language model, or nobody.
        error: one sentence for people; None if all went well.
        unheard: why nobody hears the answer, where that is known already; it may be read.
        utterance_id: the spoken answer's id on `audio/<site>/out/<id>`; None if not spoken.
        stages: what took how long.
    """

    id: str | None = None
    turn_id: str
    transcript: str
    answer: str
    route: Route
    error: str | None = None
    unheard: str | None = None
    utterance_id: str | None = None
    stages: Several[Stage] = ()


class Control(Payload):
    """Tells workers to do something about themselves.

    `mute` is about microphones, and so for satellites; others ignore it. A muted satellite records
    nothing and sends nothing: a recording under way is thrown away, and push-to-talk is refused
    with `failed`. Its speaker goes on, for answers to written questions and for alarms; that is
    what `playback/<site>/control` and its volume are for. It stays muted when it is started again,
    until an `unmute`. `control/all` mutes the house, `control/<worker>` one satellite.

    Attributes:
        action: read the settings again, finish and stop, mute or unmute the microphone, or change
            the log level.
        level: with `log_level`.
    """

    action: Literal["reload", "drain", "mute", "unmute", "log_level"]
    level: Literal["debug", "info", "warning", "error"] | None = None


class LoopLag(Payload):
    """How late the event loop ran in the last minute, in ms.

    Attributes:
        p50_ms: the median.
        p99_ms: of a hundred, one was later.
        max_ms: the latest.
    """

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class Health(Payload):
    """How a worker is (retained; `gone` is its last will).

    Attributes:
        worker: e.g. `stt-1`.
        kind: e.g. `stt`.
        state: `degraded` works with less, and `notes` says why.
        version: of Antiphon.
        pid: process id.
        uptime_s: seconds since the start.
        loop: event-loop lag.
        queues: messages waiting, by topic.
        counters: what was counted since the start, e.g. dropped and late messages.
        breakers: state of each circuit breaker, by name.
        notes: sentences for people.
        engine: what does the work, e.g. `faster-whisper tiny.en int8`.
        muted: whether its microphone is muted.
    """

    worker: str
    kind: str
    state: Literal["starting", "ready", "degraded", "stopping", "gone"]
    version: str = ""
    pid: int = 0
    uptime_s: float = 0.0
    loop: LoopLag = LoopLag()
    queues: ByName[int] = Field(default_factory=dict)
    counters: ByName[int] = Field(default_factory=dict)
    breakers: ByName[Literal["closed", "open", "half_open"]] = Field(default_factory=dict)
    notes: Several[str] = ()
    engine: str = ""
    muted: bool = False


class DeadLetter(Payload):
    """A message whose handler crashed (retained, under the id of the letter).

    Attributes:
        letter: the letter's id; the same message has the same one when it crashes again.
        worker: whose handler it was.
        topic: where the message came, below the base.
        error: class of the error; its text may quote people and is left out.
        where: `file:line function`, innermost last.
        attempts: how often it crashed.
        ts: when it crashed last, in seconds since the epoch at the worker.
        size_bytes: of the message.
        payload: the message in base64; None if it was too long to be kept.
    """

    letter: str
    worker: str
    topic: str
    error: str
    where: Several[str] = ()
    attempts: int = Field(default=1, ge=1)
    ts: float
    size_bytes: int = Field(ge=0)
    payload: str | None = None


class Refusal(Payload):
    """The reply to a request that was not carried out.

    It may come instead of any reply payload, under the type `error/1`.

    Attributes:
        code: `busy`, `bad_request`, `engine` or `internal`.
        detail: one sentence for people.
    """

    code: Literal["busy", "bad_request", "engine", "internal"]
    detail: str
