"""Handling what is asked of the conversation history."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from antiphon_contracts import (
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
    Message,
)

from antiphon_memory.conversations import ConversationStore, Found, Session, Turn
from antiphon_memory.ranking import estimate_tokens, newest_within_budget

MAX_TURNS = 400
"""How many messages of a session are looked at for a prompt, whatever the budget."""

FIRST_TURNS = 64
"""So many are looked at first: more than a usual budget holds, and read in about 1 ms."""

SUMMARY_SHARE = 0.5
"""A summary that takes more of the budget than this is left out: the newest turns come first."""

SESSION_MAX_S = 12 * 3600.0
"""A session ends after this also where nobody is ever silent, so that it can be pruned."""

PAGE_CHARS = 400_000
"""A page of messages has no more, so that it stays under the 4 MB of a message in any script."""

SNIPPET_CHARS = 200
MAX_SEARCH_WORDS = 16
DELETE_PAGE = 500
MAX_DELETED = 100_000
DAY_S = 86_400.0

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things last.

    Attributes:
        idle_s: a session ends when nothing was said for so long.
        kept_s: sessions are deleted so long after their end.
    """

    idle_s: float
    kept_s: float


class History:
    """Handles requests about conversations.

    Args:
        store: keeps them.
        retention: how long sessions last and are kept.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        store: ConversationStore,
        retention: Retention,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._idle_s = min(retention.idle_s, retention.kept_s)
        self._kept_s = retention.kept_s
        self._now = now

    # What is said, and what the language model reads

    async def on_append(self, message: Message[HistoryAppend]) -> HistoryDone:
        """Store what was said."""
        said, now = message.data, self._now()
        turn = Turn(
            said.session_id or message.site_id,
            said.role,
            said.text,
            said.interrupted,
            ts=now,
            site_id=message.site_id,
        )
        await self._store.append(
            message.id, turn, ended_before=now - self._idle_s, begun_before=now - SESSION_MAX_S
        )
        return HistoryDone()

    async def on_query(self, message: Message[HistoryQuery]) -> HistoryResults:
        """Return the present session's summary and newest messages within the budget."""
        results = HistoryResults()
        for limit in (FIRST_TURNS, MAX_TURNS):
            results = await self._newest(message, limit)
            if len(results.messages) < limit:
                break
        return results

    async def _newest(self, message: Message[HistoryQuery], limit: int) -> HistoryResults:
        query, now = message.data, self._now()
        recent = await self._store.recent(
            query.session_id or message.site_id, since=now - self._idle_s, limit=limit
        )
        if recent is None:
            return HistoryResults()
        session, turns = recent.session, recent.turns
        if query.max_age_s is not None:
            oldest = now - query.max_age_s
            turns = list(takewhile(lambda turn: turn.ts >= oldest, turns))
        cost = estimate_tokens(session.summary)
        fits = cost <= query.max_tokens * SUMMARY_SHARE
        budget = query.max_tokens - (cost if fits else 0)
        kept = newest_within_budget(turns, lambda turn: turn.text, budget)
        return HistoryResults(
            messages=tuple(map(_message, kept)),
            session=session.id,
            first=session.count - len(kept),
            summary=session.summary if fits else "",
            covered=session.covered,
        )

    async def on_summarise(self, message: Message[HistorySummarise]) -> HistoryDone:
        """Give a session its summary."""
        asked = message.data
        if await self._store.summarise(asked.session, asked.summary, covered=asked.covered):
            return HistoryDone()
        return HistoryDone(error="That session is gone, or has a newer summary.")

    # What people ask

    async def on_list(self, message: Message[HistoryList]) -> HistorySessions:
        """Return a page of sessions."""
        asked = message.data
        sessions = await self._store.sessions(
            conversation=asked.conversation, skip=asked.skip, limit=asked.limit + 1
        )
        return HistorySessions(
            sessions=tuple(map(_session, sessions[: asked.limit])),
            more=len(sessions) > asked.limit,
        )

    async def on_show(self, message: Message[HistoryShow]) -> HistoryPage:
        """Return a page of a session's messages."""
        asked = message.data
        if asked.session is not None:
            session = await self._store.session(asked.session)
        else:
            newest = await self._store.sessions(conversation=asked.conversation, skip=0, limit=1)
            session = newest[0] if newest else None
        if session is None:
            return HistoryPage(error="There is no such session.")
        turns = await self._store.turns(session.id, skip=asked.skip, limit=asked.limit)
        page = _within_page(turns)
        return HistoryPage(
            session=_session(session),
            messages=tuple(map(_message, page)),
            more=asked.skip + len(page) < session.count,
        )

    async def on_search(self, message: Message[HistorySearch]) -> HistoryFound:
        """Return a page of messages that have all the words."""
        asked = message.data
        words = list(dict.fromkeys(_WORD.findall(asked.text.lower())))[:MAX_SEARCH_WORDS]
        if not words:
            return HistoryFound(error="There is no word to search for.")
        found = await self._store.search(
            words, conversation=asked.conversation, skip=asked.skip, limit=asked.limit + 1
        )
        return HistoryFound(
            matches=tuple(_match(one, words) for one in found[: asked.limit]),
            more=len(found) > asked.limit,
        )

    async def on_delete(self, message: Message[HistoryDelete]) -> HistoryDeleted:
        """Delete sessions."""
        asked = message.data
        ways = (bool(asked.sessions), asked.conversation is not None, asked.everything)
        if sum(ways) != 1:
            return HistoryDeleted(error="Name sessions, or a conversation, or everything.")
        ids = list(dict.fromkeys(asked.sessions)) or await self._ids_of(asked.conversation)
        deleted = set(await self._store.delete(message.id, ids))
        missing = tuple(name for name in asked.sessions if name not in deleted)
        return HistoryDeleted(sessions=len(deleted), missing=missing)

    async def _ids_of(self, conversation: str | None) -> list[str]:
        ids: list[str] = []
        while len(ids) < MAX_DELETED:
            page = await self._store.sessions(
                conversation=conversation, skip=len(ids), limit=DELETE_PAGE
            )
            ids += [session.id for session in page]
            if len(page) < DELETE_PAGE:
                break
        return ids

    async def prune(self) -> None:
        """Delete what is older than is kept, and outcomes of writes after a day."""
        now = self._now()
        await self._store.prune(before=now - self._kept_s, replies_before=now - DAY_S)


def _within_page(turns: Sequence[Turn]) -> list[Turn]:
    """Return as many turns as a page holds, at least one."""
    page: list[Turn] = []
    chars = 0
    for turn in turns:
        chars += len(turn.text)
        if page and chars > PAGE_CHARS:
            break
        page.append(turn)
    return page


def _message(turn: Turn) -> HistoryMessage:
    return HistoryMessage(role=turn.role, text=turn.text, ts=turn.ts, interrupted=turn.interrupted)


def _session(session: Session) -> HistorySession:
    return HistorySession(
        id=session.id,
        conversation=session.conversation,
        site=session.site_id,
        begin=session.begin,
        end=session.end,
        count=session.count,
        first_words=session.first_words,
        summary=session.summary,
        covered=session.covered,
    )


def _match(found: Found, words: Sequence[str]) -> HistoryMatch:
    turn = found.turn
    return HistoryMatch(
        session=found.session_id,
        conversation=turn.conversation,
        role=turn.role,
        text=snippet(turn.text, words),
        ts=turn.ts,
    )


def snippet(text: str, words: Sequence[str]) -> str:
    """Return at most some 200 characters of a text, on one line, around the first of `words`."""
    line = " ".join(text.split())
    if len(line) <= SNIPPET_CHARS:
        return line
    places = [place for word in words if (place := line.lower().find(word)) >= 0]
    begin = max(0, min(places, default=0) - SNIPPET_CHARS // 4)
    begin = line.rfind(" ", 0, begin) + 1
    end = begin + SNIPPET_CHARS
    cut = line[begin:end] if end >= len(line) else line[begin:end].rsplit(" ", 1)[0]
    return ("… " if begin else "") + cut + ("" if end >= len(line) else " …")
