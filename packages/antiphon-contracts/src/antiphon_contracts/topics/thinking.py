"""Topics of thinking and remembering."""

from __future__ import annotations

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
from antiphon_contracts.roles import Flow, Role
from antiphon_contracts.topic import RequestTopic, Topic

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
