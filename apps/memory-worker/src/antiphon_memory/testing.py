"""Stand-ins for memory's ports, for everyone's tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from zlib import crc32

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from numpy.typing import NDArray

from antiphon_memory.conversations import (
    Found,
    Recent,
    Session,
    Turn,
    first_words_of,
    new_session_id,
)
from antiphon_memory.embedder import Kind
from antiphon_memory.utterances import content_words


class WordEmbedder:
    """Embeds a text as the bag of its content words: texts that share words are similar.

    Args:
        name: of the model.
        dimension: of the vectors.
        missing: whether `load` fails as it does without weights.

    Attributes:
        failing: whether `embed` fails.
        seen: every text embedded so far.
    """

    def __init__(self, name: str = "words", dimension: int = 512, *, missing: bool = False) -> None:
        self.name = name
        self.dimension = dimension
        self.failing = False
        self.seen: list[str] = []
        self._missing = missing

    def load(self) -> None:
        """Make ready, or not.

        Raises:
            ConfigError: `missing`.
        """
        if self._missing:
            msg = "The model words is not ready: run `antiphon models fetch words`"
            raise ConfigError(msg)

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:  # noqa: ARG002  (the same for both)
        """Return unit vectors; a text without content words gets zeros.

        Raises:
            EngineError: `failing`.
        """
        if self.failing:
            msg = "the embedder failed on purpose"
            raise EngineError(msg, retryable=True)
        self.seen += texts
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in content_words(text):
                vectors[row, crc32(word.encode()) % self.dimension] += 1.0
        norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def close(self) -> None:
        """Nothing was taken."""


class WordReranker:
    """Scores a text by how many content words of the question it has, and by being short.

    Attributes:
        name: for people.
        missing: whether `load` fails.
        failing: whether `scores` fails.
        waits: if there, `scores` goes on only when it is set.
        answer: if there, what `scores` returns, whatever was asked.
        asked: every question with its texts.
    """

    def __init__(self) -> None:
        self.name = "the reranker words"
        self.missing = False
        self.failing = False
        self.waits: asyncio.Event | None = None
        self.answer: list[float] | None = None
        self.asked: list[tuple[str, list[str]]] = []

    async def load(self) -> None:
        """Make ready, or not.

        Raises:
            ConfigError: `missing`.
        """
        if self.missing:
            msg = "The reranker words is not ready."
            raise ConfigError(msg)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text.

        Raises:
            EngineError: `failing`.
        """
        self.asked.append((question, list(texts)))
        if self.waits is not None:
            await self.waits.wait()
        if self.failing:
            msg = "the reranker failed on purpose"
            raise EngineError(msg, retryable=True)
        if self.answer is not None:
            return self.answer
        words = set(content_words(question))
        return [len(words & set(content_words(text))) - len(text) / 1e6 for text in texts]

    async def close(self) -> None:
        """Nothing was taken."""


class NoteBook(dict[str, str]):
    """Collects notes by name, as `HealthReporter` does."""

    def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:  # noqa: ARG002  (kept until cleared)
        """Note it."""
        self[name] = sentence

    def clear_note(self, name: str) -> None:
        """Strike it out."""
        self.pop(name, None)


class ConversationsInMemory:
    """Keeps conversations in this process; see `ConversationStore`.

    Attributes:
        failing: whether every call fails.
        pruned: with what `prune` was called.
    """

    def __init__(self) -> None:
        self.failing = False
        self.pruned: list[tuple[float, float]] = []
        self._sessions: dict[str, Session] = {}
        self._turns: dict[str, list[Turn]] = {}
        self._outcomes: dict[str, list[str]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        yield

    async def append(
        self, message_id: str, turn: Turn, *, ended_before: float, begun_before: float
    ) -> None:
        """See the port."""
        self._check()
        if message_id in self._outcomes:
            return
        self._outcomes[message_id] = []
        newest = next(iter(self._newest(turn.conversation)), None)
        if newest is None or newest.end < ended_before or newest.begin < begun_before:
            newest = Session(
                new_session_id(),
                turn.conversation,
                turn.site_id,
                turn.ts,
                turn.ts,
                0,
                first_words_of(turn.text),
            )
        turns = self._turns.setdefault(newest.id, [])
        turns.append(turn)
        self._sessions.pop(newest.id, None)  # the last in the order is the last to begin or change
        self._sessions[newest.id] = replace(newest, end=max(newest.end, turn.ts), count=len(turns))

    async def recent(self, conversation: str, *, since: float, limit: int) -> Recent | None:
        """See the port."""
        self._check()
        newest = next(iter(self._newest(conversation)), None)
        if newest is None or newest.end < since:
            return None
        return Recent(newest, self._turns[newest.id][newest.covered :][::-1][:limit])

    async def sessions(self, *, conversation: str | None, skip: int, limit: int) -> list[Session]:
        """See the port."""
        self._check()
        return self._newest(conversation)[skip : skip + limit]

    async def session(self, session_id: str) -> Session | None:
        """See the port."""
        self._check()
        return self._sessions.get(session_id)

    async def turns(self, session_id: str, *, skip: int, limit: int) -> list[Turn]:
        """See the port."""
        self._check()
        return self._turns.get(session_id, [])[skip : skip + limit]

    async def search(
        self, words: Sequence[str], *, conversation: str | None, skip: int, limit: int
    ) -> list[Found]:
        """See the port."""
        self._check()
        found = [
            Found(session.id, turn)
            for session in self._newest(conversation)
            for turn in self._turns[session.id]
            if {word.lower() for word in words} <= set(re.findall(r"\w+", turn.text.lower()))
        ]
        found.sort(key=lambda one: -one.turn.ts)
        return found[skip : skip + limit]

    async def summarise(self, session_id: str, summary: str, *, covered: int) -> bool:
        """See the port."""
        self._check()
        session = self._sessions.get(session_id)
        if session is None or not session.covered < covered <= session.count:
            return False
        self._sessions[session_id] = replace(session, summary=summary, covered=covered)
        return True

    async def delete(self, message_id: str, session_ids: Sequence[str]) -> list[str]:
        """See the port."""
        self._check()
        if message_id not in self._outcomes:
            there = [name for name in session_ids if name in self._sessions]
            for name in there:
                del self._sessions[name], self._turns[name]
            self._outcomes[message_id] = there
        return self._outcomes[message_id]

    async def prune(self, *, before: float, replies_before: float) -> None:
        """See the port; outcomes are kept."""
        self._check()
        self.pruned.append((before, replies_before))
        for session in self._newest(None):
            if session.end < before:
                del self._sessions[session.id], self._turns[session.id]

    def _newest(self, conversation: str | None) -> list[Session]:
        ours = [
            session
            for session in reversed(self._sessions.values())
            if conversation in {None, session.conversation}
        ]
        return sorted(ours, key=lambda session: -session.end)

    def _check(self) -> None:
        if self.failing:
            msg = "the store of conversations failed on purpose"
            raise EngineError(msg, retryable=True)
