"""Topics of thinking."""

from __future__ import annotations

from antiphon_contracts.payloads.language import (
    LlmCancel,
    LlmNotice,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Persona,
    ToolCall,
    ToolCancel,
    ToolLog,
    ToolLogQuery,
    ToolRegistry,
    ToolResult,
)
from antiphon_contracts.roles import PEOPLE, Flow, Role
from antiphon_contracts.topic import RequestTopic, Topic

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
    Flow(Role.LLM, Role.ROUTER | Role.METRICS),
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
LLM_NOTICE = Topic[LlmNotice](
    "llm/notice",
    1,
    Flow(Role.LLM, Role.ROUTER | PEOPLE),
    "Something to tell the person while a reply is made.",
    model=LlmNotice,
    type="llm.notice/1",
)
PERSONA = Topic[Persona](
    "persona",
    1,
    Flow(Role.LLM, Role.ROUTER | PEOPLE),
    "Who the assistant is.",
    retain=True,
    model=Persona,
    type="persona/1",
)
TOOLS_RESULT = Topic[ToolResult](
    "tools/result",
    1,
    Flow(Role.TOOLS, Role.LLM | Role.ROUTER | Role.OPERATOR),
    "What a tool returned.",
    model=ToolResult,
    type="tools.result/1",
)
TOOLS_CALL = RequestTopic[ToolCall, ToolResult](
    "tools/call",
    1,
    Flow(Role.LLM | Role.ROUTER | Role.OPERATOR, Role.TOOLS),
    "Calls a tool.",
    model=ToolCall,
    type="tools.call/1",
    reply=TOOLS_RESULT,
)
TOOLS_REGISTRY = Topic[ToolRegistry](
    "tools/registry",
    1,
    Flow(Role.TOOLS, Role.LLM | Role.ROUTER | PEOPLE),
    "All tools that are on offer.",
    retain=True,
    model=ToolRegistry,
    type="tools.registry/1",
)
TOOLS_CANCEL = Topic[ToolCancel](
    "tools/cancel",
    1,
    Flow(Role.LLM | Role.ROUTER | Role.OPERATOR, Role.TOOLS),
    "Stops a call of a tool.",
    model=ToolCancel,
    type="tools.cancel/1",
)
TOOLS_LOGGED = Topic[ToolLog](
    "tools/logged",
    1,
    Flow(Role.TOOLS, Role.OPERATOR),
    "Calls of tools, newest first.",
    model=ToolLog,
    type="tools.logged/1",
)
TOOLS_LOG = RequestTopic[ToolLogQuery, ToolLog](
    "tools/log",
    1,
    Flow(Role.OPERATOR, Role.TOOLS),
    "Asks which tools were called lately.",
    model=ToolLogQuery,
    type="tools.log/1",
    reply=TOOLS_LOGGED,
)
