"""Conversations: what was said, in sessions, and the port of whatever keeps them.

A conversation is a site's, or a person's; its name is the `session_id` of `history/append`. It
falls into sessions: one ends when nothing was said for a while, and the next word begins another.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from antiphon_contracts import new_id

FIRST_WORDS_CHARS = 80
SESSION_ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `ts` is in seconds since the epoch."""

    conversation: str
    role: Literal["user", "assistant"]
    text: str
    interrupted: bool
    ts: float
    site_id: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of a conversation without a long silence.

    Attributes:
        id: see `new_session_id`.
        conversation: whose it is.
        site_id: where it began.
        begin: time of its first message, in seconds since the epoch.
        end: time of its newest.
        count: how many messages it has; they are numbered from 0.
        first_words: see `first_words_of`, of its first message.
        summary: what the first `covered` messages came to; empty if there is none.
        covered: how many messages the summary stands for.
    """

    id: str
    conversation: str
    site_id: str
    begin: float
    end: float
    count: int
    first_words: str
    summary: str = ""
    covered: int = 0


@dataclass(frozen=True, slots=True)
class Recent:
    """A session that goes on, and its newest messages, newest first, without a gap."""

    session: Session
    turns: list[Turn]


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was searched for, and the session that it is in."""

    session_id: str
    turn: Turn


class ConversationStore(Protocol):
    """Where conversations are kept.

    Each write is atomic. `append` and `delete` are done once per message id, also after the process
    was killed. What is deleted is gone for good: also from summaries, indexes and free space. Every
    method may raise EngineError.
    """

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be ready for the time of the block.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """

    async def append(
        self, message_id: str, turn: Turn, *, ended_before: float, begun_before: float
    ) -> None:
        """Store one message of a conversation.

        It joins the conversation's newest session, unless that one's end lies before `ended_before`
        or its begin before `begun_before`: then it begins another.
        """

    async def recent(self, conversation: str, *, since: float, limit: int) -> Recent | None:
        """Return the conversation's newest session; None if it ended before `since`.

        With it come at most `limit` of the messages that its summary does not cover. This is read
        on every turn: it must not grow with what is stored.
        """

    async def sessions(self, *, conversation: str | None, skip: int, limit: int) -> list[Session]:
        """Return sessions, of one conversation or all (None), the last to end first."""

    async def session(self, session_id: str) -> Session | None:
        """Return one session; None if there is none of this id."""

    async def turns(self, session_id: str, *, skip: int, limit: int) -> list[Turn]:
        """Return messages of a session, oldest first."""

    async def search(
        self, words: Sequence[str], *, conversation: str | None, skip: int, limit: int
    ) -> list[Found]:
        """Return messages with all of `words` in any order and case, newest first.

        A store may take other forms of a word for the same word.
        """

    async def summarise(self, session_id: str, summary: str, *, covered: int) -> bool:
        """Give a session the summary of its first `covered` messages.

        Returns False, and changes nothing, if there is no such session, it has fewer messages, or
        its summary covers as many already.
        """

    async def delete(self, message_id: str, session_ids: Sequence[str]) -> list[str]:
        """Delete what is there of `session_ids`; return the ids that were there."""

    async def prune(self, *, before: float, replies_before: float) -> None:
        """Delete sessions that ended earlier, and older outcomes of writes."""


def new_session_id() -> str:
    """Return a fresh id for a session: short, since people type it."""
    return new_id()[-SESSION_ID_CHARS:]


def first_words_of(text: str) -> str:
    """Return how a text begins, on one line and at most 80 characters long."""
    line = " ".join(text.split())
    if len(line) <= FIRST_WORDS_CHARS:
        return line
    return line[: FIRST_WORDS_CHARS - 1].rsplit(" ", 1)[0] + "…"
