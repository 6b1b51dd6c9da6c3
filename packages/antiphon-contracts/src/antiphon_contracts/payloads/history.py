"""Payloads of conversation history.

A conversation is a site's, or a person's. It falls into sessions: one ends when nothing was said
for a while.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several


class HistoryAppend(Payload):
    """What was said, and what was really spoken in answer.

    Attributes:
        session_id: the conversation; None is the envelope's site.
        role: who said it.
        text: the words.
        interrupted: whether the speaker was cut short.
    """

    role: Literal["user", "assistant"]
    text: str = Field(min_length=1, max_length=100_000)
    session_id: str | None = None
    interrupted: bool = False


class HistoryDone(Payload):
    """It was stored.

    Attributes:
        error: one sentence for people; None is success.
    """

    error: str | None = None


class HistoryQuery(Payload):
    """Asks for the newest turns of a conversation's present session, within a budget.

    Attributes:
        session_id: the conversation; None is the envelope's site.
        max_tokens: budget of the summary and all messages together.
        max_age_s: nothing older than this, in seconds; None is no limit.
    """

    session_id: str | None = None
    max_tokens: int = Field(default=1000, ge=1)
    max_age_s: float | None = Field(default=None, gt=0)


class HistoryMessage(Payload):
    """One thing that was said.

    Attributes:
        role: who said it.
        text: the words.
        ts: when, in seconds since the epoch.
        interrupted: whether the speaker was cut short.
    """

    role: Literal["user", "assistant"]
    text: str
    ts: float = 0.0
    interrupted: bool = False


class HistoryResults(Payload):
    """A session's newest messages, oldest first, and what those before them came to.

    Attributes:
        messages: what was said.
        session: the session's id; None if none is going on.
        first: number of the first of the messages in the session, from 0.
        summary: what the first `covered` messages of the session came to.
        covered: how many messages the summary stands for; `first` is never less.
        error: one sentence for people; None is success.
    """

    messages: Several[HistoryMessage] = ()
    session: str | None = None
    first: int = 0
    summary: str = ""
    covered: int = 0
    error: str | None = None


class HistorySummarise(Payload):
    """Gives a session the summary of its oldest messages.

    Attributes:
        session: the session's id.
        summary: what they came to.
        covered: how many messages, from the first on, it stands for.
    """

    session: str
    summary: str = Field(min_length=1, max_length=2_000)
    covered: int = Field(ge=1)


class HistoryList(Payload):
    """Asks for sessions, the last to end first.

    Attributes:
        conversation: only this site's or person's; None is all.
        skip: how many to pass over.
        limit: how many at most.
    """

    conversation: str | None = None
    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=20, ge=1, le=100)


class HistorySession(Payload):
    """A stretch of a conversation without a long silence.

    Attributes:
        id: names it.
        conversation: whose it is: a site, or a person.
        site: where it began.
        begin: when its first message was said, in seconds since the epoch.
        end: when its newest was.
        count: how many messages it has.
        first_words: how it begins, on one line.
        summary: what its first `covered` messages came to; empty if there is none.
        covered: how many messages the summary stands for.
    """

    id: str
    conversation: str
    site: str = ""
    begin: float = 0.0
    end: float = 0.0
    count: int = 0
    first_words: str = ""
    summary: str = ""
    covered: int = 0


class HistorySessions(Payload):
    """Sessions, the last to end first.

    Attributes:
        sessions: a page of them.
        more: whether there are more after these.
        error: one sentence for people; None is success.
    """

    sessions: Several[HistorySession] = ()
    more: bool = False
    error: str | None = None


class HistoryShow(Payload):
    """Asks for the messages of one session, oldest first.

    Attributes:
        session: the session's id; None is the last to end.
        conversation: where `session` is None: only this site's or person's.
        skip: how many messages to pass over.
        limit: how many at most; long ones come fewer at a time.
    """

    session: str | None = None
    conversation: str | None = None
    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=100)


class HistoryPage(Payload):
    """Messages of one session, oldest first.

    Attributes:
        session: the session; None if there is no such one.
        messages: a page of them.
        more: whether there are more after these.
        error: one sentence for people; None is success.
    """

    session: HistorySession | None = None
    messages: Several[HistoryMessage] = ()
    more: bool = False
    error: str | None = None


class HistorySearch(Payload):
    """Asks for messages with all the words of a text, newest first.

    Attributes:
        text: the words, in any order and case.
        conversation: only this site's or person's; None is all.
        skip: how many to pass over.
        limit: how many at most.
    """

    text: str = Field(min_length=1, max_length=1_000)
    conversation: str | None = None
    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=20, ge=1, le=100)


class HistoryMatch(Payload):
    """A message that was found.

    Attributes:
        session: the id of the session that it is in.
        conversation: whose that is.
        role: who said it.
        text: the words around the first that was searched for.
        ts: when, in seconds since the epoch.
    """

    session: str
    conversation: str
    role: Literal["user", "assistant"]
    text: str
    ts: float = 0.0


class HistoryFound(Payload):
    """Messages that were searched for, newest first.

    Attributes:
        matches: a page of them.
        more: whether there are more after these.
        error: one sentence for people; None is success.
    """

    matches: Several[HistoryMatch] = ()
    more: bool = False
    error: str | None = None


class HistoryDelete(Payload):
    """Deletes sessions with all that was said in them, for good.

    Exactly one field is set.

    Attributes:
        sessions: by their ids, at most 1,000.
        conversation: all of this site's or person's.
        everything: all there are.
    """

    sessions: Several[str] = Field(default=(), max_length=1_000)
    conversation: str | None = None
    everything: bool = False


class HistoryDeleted(Payload):
    """What was deleted.

    Attributes:
        sessions: how many sessions.
        missing: ids that were asked for and were not there.
        error: one sentence for people; None is success.
    """

    sessions: int = 0
    missing: Several[str] = ()
    error: str | None = None
