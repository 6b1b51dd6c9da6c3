"""Topics of the knowledge base."""

from __future__ import annotations

from antiphon_contracts.payloads.knowledge import (
    KnowledgeAdd,
    KnowledgeCancel,
    KnowledgeDocuments,
    KnowledgeDone,
    KnowledgeList,
    KnowledgeProgress,
    KnowledgeRefresh,
    KnowledgeRemove,
    KnowledgeResults,
    KnowledgeSearch,
)
from antiphon_contracts.roles import Flow, Role
from antiphon_contracts.topic import RequestTopic, Topic

_ORDERS = Flow(Role.OPERATOR, Role.MEMORY)
_ANSWERS = Flow(Role.MEMORY, Role.OPERATOR)

KNOWLEDGE_DONE = Topic[KnowledgeDone](
    "knowledge/done",
    1,
    _ANSWERS,
    "What became of an order.",
    model=KnowledgeDone,
    type="knowledge.done/1",
)
KNOWLEDGE_ADD = RequestTopic[KnowledgeAdd, KnowledgeDone](
    "knowledge/add",
    1,
    _ORDERS,
    "Adds a document: uploaded in parts, or by its address.",
    model=KnowledgeAdd,
    type="knowledge.add/1",
    reply=KNOWLEDGE_DONE,
)
KNOWLEDGE_REMOVE = RequestTopic[KnowledgeRemove, KnowledgeDone](
    "knowledge/remove",
    1,
    _ORDERS,
    "Deletes documents.",
    model=KnowledgeRemove,
    type="knowledge.remove/1",
    reply=KNOWLEDGE_DONE,
)
KNOWLEDGE_REFRESH = RequestTopic[KnowledgeRefresh, KnowledgeDone](
    "knowledge/refresh",
    1,
    _ORDERS,
    "Fetches documents anew.",
    model=KnowledgeRefresh,
    type="knowledge.refresh/1",
    reply=KNOWLEDGE_DONE,
)
KNOWLEDGE_CANCEL = RequestTopic[KnowledgeCancel, KnowledgeDone](
    "knowledge/cancel",
    1,
    _ORDERS,
    "Ends work on documents.",
    model=KnowledgeCancel,
    type="knowledge.cancel/1",
    reply=KNOWLEDGE_DONE,
)
KNOWLEDGE_PROGRESS = Topic[KnowledgeProgress](
    "knowledge/progress",
    1,
    _ANSWERS,
    "How far work on documents is.",
    model=KnowledgeProgress,
    type="knowledge.progress/1",
)
KNOWLEDGE_DOCUMENTS = Topic[KnowledgeDocuments](
    "knowledge/documents",
    1,
    _ANSWERS,
    "The documents, and the work on them.",
    model=KnowledgeDocuments,
    type="knowledge.documents/1",
)
KNOWLEDGE_LIST = RequestTopic[KnowledgeList, KnowledgeDocuments](
    "knowledge/list",
    1,
    _ORDERS,
    "Asks which documents there are.",
    model=KnowledgeList,
    type="knowledge.list/1",
    reply=KNOWLEDGE_DOCUMENTS,
)
KNOWLEDGE_RESULTS = Topic[KnowledgeResults](
    "knowledge/results",
    1,
    Flow(Role.MEMORY, Role.TOOLS | Role.OPERATOR),
    "What the documents say.",
    model=KnowledgeResults,
    type="knowledge.results/1",
)
KNOWLEDGE_SEARCH = RequestTopic[KnowledgeSearch, KnowledgeResults](
    "knowledge/search",
    1,
    Flow(Role.TOOLS | Role.OPERATOR, Role.MEMORY),
    "Asks the documents.",
    model=KnowledgeSearch,
    type="knowledge.search/1",
    reply=KNOWLEDGE_RESULTS,
)
