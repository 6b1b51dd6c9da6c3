"""One example of each payload of remembering."""

from __future__ import annotations

from antiphon_contracts.envelope import Payload
from antiphon_contracts.payloads.history import (
    HistoryAppend,
    HistoryDelete,
    HistoryDeleted,
    HistoryDone,
    HistoryFound,
    HistoryList,
    HistoryMatch,
    HistoryMessage,
    HistoryPage,
    HistoryQuery,
    HistoryResults,
    HistorySearch,
    HistorySession,
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
    MemoryRecord,
    MemoryRemember,
    MemoryResult,
    MemoryResults,
)

_TS = 1767225540.5
_REQUEST = "019b76da-a800-7000-8000-000000000007"
_MEMORY = "019b76da-a800-7000-8000-000000000006"
_SESSION = "8a1f0c9d2e37"
_HISTORY_SESSION = HistorySession(
    id=_SESSION,
    conversation="family",
    site="kitchen",
    begin=_TS - 600.0,
    end=_TS,
    count=12,
    first_words="What colour is my bicycle?",
    summary="They spoke about a holiday by the sea.",
    covered=6,
)

_RECORD = MemoryRecord(
    id=_MEMORY,
    text="My bicycle is red.",
    source="tool",
    scope="person:anna",
    ts=_TS,
    superseded_by=_REQUEST,
)

REMEMBERING: tuple[Payload, ...] = (
    MemoryQuery(
        text="What colour is my bicycle?",
        top_k=3,
        max_tokens=400,
        strategy="similarity",
        scope="household",
        scopes=("person:anna", "site:kitchen"),
        sources=("user",),
        since=_TS - 86_400.0,
        until=_TS,
        context=1,
    ),
    MemoryResults(
        results=(
            MemoryResult(
                id=_MEMORY,
                text="My bicycle is red.",
                source="Our garage, page 3",
                score=0.71,
                ts=_TS,
                scope="person:anna",
                kind="document",
                link="https://example.org/garage.pdf, page 3",
            ),
        ),
        error="The embedding model is missing; only words were compared.",
    ),
    MemoryRemember(text="My bicycle is red.", source="tool", scope="person:anna"),
    MemoryForget(
        ids=(_MEMORY,),
        query="my bicycle",
        scopes=("person:anna",),
        everything_in=("all",),
        confirm=True,
        preview=True,
    ),
    MemoryList(after=_MEMORY, limit=50, scopes=("household",), superseded=True),
    MemoryPage(records=(_RECORD,), next=_MEMORY, error="The disk cannot be read."),
    MemoryImport(records=(_RECORD,)),
    MemoryDone(
        action="remember",
        ids=(_MEMORY,),
        texts=("My bicycle is red.",),
        replaced=("My bicycle is green.",),
        count=1,
        error="The disk is full.",
    ),
    HistoryAppend(role="assistant", text="Your bicycle is", session_id="family", interrupted=True),
    HistoryDone(error="The disk is full."),
    HistoryQuery(session_id="family", max_tokens=500, max_age_s=3_600.0),
    HistoryResults(
        messages=(
            HistoryMessage(role="assistant", text="Your bicycle is", ts=_TS, interrupted=True),
        ),
        session=_SESSION,
        first=8,
        summary="They spoke about a holiday by the sea.",
        covered=6,
        error="The disk cannot be read.",
    ),
    HistorySummarise(session=_SESSION, summary="They spoke about a holiday by the sea.", covered=6),
    HistoryList(conversation="family", skip=20, limit=10),
    HistorySessions(sessions=(_HISTORY_SESSION,), more=True, error="The disk cannot be read."),
    HistoryShow(session=_SESSION, conversation="family", skip=20, limit=10),
    HistoryPage(
        session=_HISTORY_SESSION,
        messages=(
            HistoryMessage(role="assistant", text="Your bicycle is", ts=_TS, interrupted=True),
        ),
        more=True,
        error="The disk cannot be read.",
    ),
    HistorySearch(text="red bicycle", conversation="family", skip=20, limit=10),
    HistoryFound(
        matches=(
            HistoryMatch(
                session=_SESSION,
                conversation="family",
                role="user",
                text="Where is my red bicycle?",
                ts=_TS,
            ),
        ),
        more=True,
        error="The disk cannot be read.",
    ),
    HistoryDelete(sessions=(_SESSION,), conversation="family", everything=True),
    HistoryDeleted(sessions=3, missing=(_SESSION,), error="The disk is full."),
)
