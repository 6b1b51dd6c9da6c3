"""Payloads of thinking: the language model and the tools."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several

Route = Literal["fast", "llm", "none"]

ToolErrorCode = Literal[
    "unknown_tool",
    "bad_arguments",
    "failed",
    "timeout",
    "unknown_outcome",
    "denied",
    "busy",
    "cancelled",
]


class LlmParams(Payload):
    """Sampling parameters; None is the worker's own setting.

    Attributes:
        temperature: 0 is nearly deterministic.
        max_tokens: longest reply.
    """

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)


class LlmRequest(Payload):
    """Asks for a reply to what a person said.

    Attributes:
        session_id: whose history to take; None is the envelope's site.
        text: what the person said.
        use_rag: whether to look into long-term memory.
        tools: whether tools may be called.
        system: system prompt instead of the profile's.
        params: sampling parameters.
        tentative: the person may not have finished: nothing with an effect may be done. A model
            that wants to call a tool ends with the finish reason `needs_tools` instead.
    """

    text: str = Field(min_length=1, max_length=100_000)
    session_id: str | None = None
    use_rag: bool = True
    tools: bool = True
    system: str | None = None
    params: LlmParams = LlmParams()
    tentative: bool = False


class LlmStream(Payload):
    """A piece of the reply, as it is made; `correlation_id` names the request.

    Attributes:
        seq: place of the piece, from 0.
        delta: text to append.
    """

    seq: int = Field(ge=0)
    delta: str


class LlmNotice(Payload):
    """Something to tell the person while a reply is made; no part of the reply.

    `correlation_id` names the request.

    Attributes:
        kind: `tool`: a tool takes its time; `fallback`: another model than usual answers.
        text: one short sentence for people.
    """

    kind: Literal["tool", "fallback"]
    text: str = Field(max_length=500)


class Persona(Payload):
    """Who the assistant is (retained), as its persona file says.

    Attributes:
        name: what it is called.
        voice: name of the voice for sites without one of their own; None is the TTS worker's.
        language: two letters; empty is the house's.
    """

    name: str = Field(default="", max_length=100)
    voice: str | None = Field(default=None, max_length=200)
    language: str = Field(default="", max_length=35)


class Usage(Payload):
    """Tokens, as the server counted them, and times in ms from receipt of the request.

    Attributes:
        prompt_tokens: read.
        cached_tokens: of those, what the server still knew from before.
        completion_tokens: written.
        context_ms: until memories and history were there.
        first_token_ms: until the first piece of the reply.
        total_ms: until its end.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    context_ms: float = 0.0
    first_token_ms: float = 0.0
    total_ms: float = 0.0


class LlmResponse(Payload):
    """The whole reply.

    Attributes:
        reply: the text; what was made before an error or a cancel is in it too.
        finish_reason: `error` carries `error`; `length` was cut by max_tokens; `needs_tools` is
            the end of a tentative request for which a tool would have to be called.
        sources: ids of the memories that were in the prompt.
        tools_used: names of the tools that were called.
        model: which model answered, for people.
        usage: tokens and times.
        error: one sentence for people.
    """

    reply: str
    finish_reason: Literal["stop", "length", "cancelled", "error", "needs_tools"]
    sources: Several[str] = ()
    tools_used: Several[str] = ()
    model: str = ""
    usage: Usage = Usage()
    error: str | None = None


class LlmCancel(Payload):
    """Stops a reply at once.

    Attributes:
        request_id: the message id of the `llm/request`.
    """

    request_id: str


class ToolSpec(Payload):
    """A tool as the language model sees it.

    Attributes:
        name: unique name.
        description: one sentence.
        parameters: JSON Schema of the arguments.
        idempotent: whether a repeated call does no harm; others are called at most once.
        timeout_s: the longest a call may take, in seconds.
        source: who offers it: `installed`, or the name of an MCP server.
        policy: `confirm`: a person is asked before each call.
        untrusted: whether its results come from outside the house.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str
    parameters: dict[str, Any]
    idempotent: bool = False
    timeout_s: float = Field(default=30.0, gt=0)
    source: str = "installed"
    policy: Literal["allow", "confirm"] = "allow"
    untrusted: bool = False


class ToolRegistry(Payload):
    """All tools that one tool worker offers (retained).

    Attributes:
        tools: the tools.
        version: grows with every change.
    """

    tools: Several[ToolSpec] = ()
    version: int = 0


class ToolCall(Payload):
    """Calls a tool.

    Attributes:
        name: the tool.
        arguments: by name, as the tool's JSON Schema wants them.
        priority: calls of a higher one do not wait behind those of a lower one.
        tainted: whether the caller read something from outside the house in this turn; then a
            person is asked before anything is done that a stranger might want done.
        confirmed: whether a person confirmed this very call to the caller; never set by what a
            language model says.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    priority: Literal["low", "normal", "high"] = "normal"
    tainted: bool = False
    confirmed: bool = False


class ToolCancel(Payload):
    """Stops a call of a tool; what it has done stays done.

    Attributes:
        call_id: the message id of the `tools/call`.
    """

    call_id: str


class ToolResult(Payload):
    """What a tool returned.

    Attributes:
        name: the tool.
        result: any JSON value; None with an error.
        error: one sentence for people and for the language model.
        error_code: machine-readable kind of the error; `denied`: it is not allowed, or no person
            confirmed it; nothing was done.
        untrusted: whether the result comes from outside the house: it is data, no instructions.
    """

    name: str
    result: Any = None
    error: str | None = None
    error_code: ToolErrorCode | None = None
    untrusted: bool = False


class ToolLogQuery(Payload):
    """Asks which tools were called lately.

    Attributes:
        limit: how many calls, newest first.
        name: of this tool only.
    """

    limit: int = Field(default=50, ge=1, le=500)
    name: str | None = None


class ToolLogEntry(Payload):
    """A call of a tool; neither arguments nor results are kept.

    Attributes:
        ts: when it ended, in seconds since the epoch.
        name: the tool.
        caller: the worker that called it.
        site_id: where.
        ms: how long it took.
        error_code: as in `tools/result`; None if it went well.
        asked: whether a person was asked for confirmation.
    """

    ts: float
    name: str
    caller: str
    site_id: str
    ms: float
    error_code: ToolErrorCode | None = None
    asked: bool = False


class ToolLog(Payload):
    """The calls, newest first.

    Attributes:
        entries: the calls.
    """

    entries: Several[ToolLogEntry] = ()
