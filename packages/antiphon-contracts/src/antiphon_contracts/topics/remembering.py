"""Topics of remembering."""

from __future__ import annotations

from antiphon_contracts.payloads.history import (
    HistoryAppend,
    HistoryDelete,
    HistoryDeleted,
    HistoryDone,
    HistoryFound,
    HistoryList,
    HistoryPage,
    HistoryQuery,
    HistoryResults,
    HistorySearch,
    HistorySessions,
    HistoryShow,
    HistorySummarise,
)
from antiphon_contracts.payloads.memory import (
    MemoryDone,
    MemoryForget,
    MemoryImport,
    MemoryList,
    MemoryPage,
    MemoryQuery,
    MemoryRemember,
    MemoryResults,
)
from antiphon_contracts.roles import Flow, Role
from antiphon_contracts.topic import RequestTopic, Topic

MEMORY_RESULTS = Topic[MemoryResults](
    "memory/results",
    1,
    Flow(Role.MEMORY, Role.LLM | Role.TOOLS | Role.ROUTER | Role.OPERATOR),
    "What was found.",
    model=MemoryResults,
    type="memory.results/1",
)
MEMORY_QUERY = RequestTopic[MemoryQuery, MemoryResults](
    "memory/query",
    1,
    Flow(Role.LLM | Role.TOOLS | Role.ROUTER | Role.OPERATOR, Role.MEMORY),
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
MEMORY_PAGE = Topic[MemoryPage](
    "memory/page",
    1,
    Flow(Role.MEMORY, Role.OPERATOR),
    "Some of what is remembered.",
    model=MemoryPage,
    type="memory.page/1",
)
MEMORY_LIST = RequestTopic[MemoryList, MemoryPage](
    "memory/list",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Asks for all that is remembered, page by page.",
    model=MemoryList,
    type="memory.list/1",
    reply=MEMORY_PAGE,
)
MEMORY_IMPORT = RequestTopic[MemoryImport, MemoryDone](
    "memory/import",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Stores memories that were exported.",
    model=MemoryImport,
    type="memory.import/1",
    reply=MEMORY_DONE,
)
HISTORY_DONE = Topic[HistoryDone](
    "history/done",
    1,
    Flow(Role.MEMORY, Role.ROUTER | Role.LLM),
    "It was stored.",
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
    "A session's newest messages, and a summary of those before.",
    model=HistoryResults,
    type="history.results/1",
)
HISTORY_QUERY = RequestTopic[HistoryQuery, HistoryResults](
    "history/query",
    1,
    Flow(Role.LLM, Role.MEMORY),
    "Asks for the newest messages of a conversation's session.",
    model=HistoryQuery,
    type="history.query/1",
    reply=HISTORY_RESULTS,
)
HISTORY_SUMMARISE = RequestTopic[HistorySummarise, HistoryDone](
    "history/summarise",
    1,
    Flow(Role.LLM, Role.MEMORY),
    "The summary of a session's oldest messages.",
    model=HistorySummarise,
    type="history.summarise/1",
    reply=HISTORY_DONE,
)
HISTORY_SESSIONS = Topic[HistorySessions](
    "history/sessions",
    1,
    Flow(Role.MEMORY, Role.OPERATOR),
    "Sessions, the last to end first.",
    model=HistorySessions,
    type="history.sessions/1",
)
HISTORY_LIST = RequestTopic[HistoryList, HistorySessions](
    "history/list",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Asks which sessions there are.",
    model=HistoryList,
    type="history.list/1",
    reply=HISTORY_SESSIONS,
)
HISTORY_PAGE = Topic[HistoryPage](
    "history/page",
    1,
    Flow(Role.MEMORY, Role.OPERATOR),
    "Messages of one session.",
    model=HistoryPage,
    type="history.page/1",
)
HISTORY_SHOW = RequestTopic[HistoryShow, HistoryPage](
    "history/show",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Asks for the messages of one session.",
    model=HistoryShow,
    type="history.show/1",
    reply=HISTORY_PAGE,
)
HISTORY_FOUND = Topic[HistoryFound](
    "history/found",
    1,
    Flow(Role.MEMORY, Role.OPERATOR),
    "Messages that were searched for.",
    model=HistoryFound,
    type="history.found/1",
)
HISTORY_SEARCH = RequestTopic[HistorySearch, HistoryFound](
    "history/search",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Asks for messages by their words.",
    model=HistorySearch,
    type="history.search/1",
    reply=HISTORY_FOUND,
)
HISTORY_DELETED = Topic[HistoryDeleted](
    "history/deleted",
    1,
    Flow(Role.MEMORY, Role.OPERATOR),
    "What was deleted.",
    model=HistoryDeleted,
    type="history.deleted/1",
)
HISTORY_DELETE = RequestTopic[HistoryDelete, HistoryDeleted](
    "history/delete",
    1,
    Flow(Role.OPERATOR, Role.MEMORY),
    "Deletes sessions for good.",
    model=HistoryDelete,
    type="history.delete/1",
    reply=HISTORY_DELETED,
)
