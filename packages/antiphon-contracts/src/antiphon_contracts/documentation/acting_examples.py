"""The examples of thinking, of tools and of timers."""

from __future__ import annotations

from antiphon_contracts.envelope import Payload
from antiphon_contracts.payloads.language import (
    LlmCancel,
    LlmNotice,
    LlmParams,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Persona,
    ToolCall,
    ToolCancel,
    ToolLog,
    ToolLogEntry,
    ToolLogQuery,
    ToolRegistry,
    ToolResult,
    ToolSpec,
    Usage,
)
from antiphon_contracts.payloads.timers import (
    Timer,
    TimerChange,
    TimerDone,
    TimerEvent,
    TimerList,
    TimerQuery,
    TimerSelector,
    TimerSet,
)

_MEMORY = "019b76da-a800-7000-8000-000000000006"
_REQUEST = "019b76da-a800-7000-8000-000000000007"
_TS = 1767225600.25

_WHICH = TimerSelector(
    ids=("019b76da-a800-7000-8000-00000000000a",),
    kind="timer",
    name="pasta",
    length_s=600.0,
    at="07:30",
    everywhere=True,
)
_TIMER = Timer(
    id="019b76da-a800-7000-8000-00000000000a",
    kind="timer",
    site_id="kitchen",
    name="pasta",
    text="drain it",
    state="ringing",
    left_s=-1.5,
    due=_TS,
    length_s=600.0,
    at="07:30:00",
    days=(0, 4),
    zone="Europe/Paris",
)

ACTING: tuple[Payload, ...] = (
    LlmRequest(
        text="What colour is my bicycle?",
        session_id="family",
        use_rag=False,
        tools=False,
        system="You are brief.",
        params=LlmParams(temperature=0.2, max_tokens=80),
        tentative=True,
    ),
    LlmStream(seq=3, delta=" is red"),
    LlmResponse(
        reply="Your bicycle is red.",
        finish_reason="length",
        sources=(_MEMORY,),
        tools_used=("recall",),
        model="smollm2-135m",
        usage=Usage(
            prompt_tokens=120,
            cached_tokens=96,
            completion_tokens=6,
            context_ms=3.5,
            first_token_ms=180.0,
            total_ms=390.0,
        ),
        error="The language model stopped early.",
    ),
    LlmCancel(request_id=_REQUEST),
    LlmNotice(kind="fallback", text="I am answering with my small model."),
    Persona(name="Nora", voice="en_US-joe-medium", language="en"),
    ToolCall(
        name="calculate",
        arguments={"expression": "17 * 23"},
        priority="high",
        tainted=True,
        confirmed=True,
    ),
    ToolCancel(call_id=_REQUEST),
    ToolResult(
        name="calculate",
        result=391,
        error="The expression is too long.",
        error_code="bad_arguments",
        untrusted=True,
    ),
    ToolLogQuery(limit=10, name="calculate"),
    ToolLog(
        entries=(
            ToolLogEntry(
                ts=_TS,
                name="calculate",
                caller="llm-1",
                site_id="kitchen",
                ms=1.5,
                error_code="timeout",
                asked=True,
            ),
        )
    ),
    ToolRegistry(
        tools=(
            ToolSpec(
                name="calculate",
                description="Evaluates arithmetic.",
                parameters={
                    "type": "object",
                    "properties": {"expression": {"type": "string"}},
                    "required": ["expression"],
                },
                idempotent=True,
                timeout_s=5.0,
                source="sums",
                policy="confirm",
                untrusted=True,
            ),
        ),
        version=7,
    ),
    TimerSet(
        kind="reminder",
        name="bins",
        text="take the bins out",
        after_s=90.0,
        at="07:30",
        on="2026-01-02",
        days=(0, 4),
        zone="Europe/Paris",
    ),
    TimerChange(action="add", which=_WHICH, every=True, seconds=300.0),
    TimerQuery(which=_WHICH),
    TimerDone(
        action="add",
        timers=(_TIMER,),
        error="There are two timers; say which one.",
        error_code="ambiguous",
    ),
    TimerList(timers=(_TIMER,), error="The disk cannot be read."),
    TimerEvent(event="changed", timer=_TIMER),
)
