"""Voice: a synthesizer in its thread, with the spoken form of texts and what was said before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import structlog
from antiphon_audio import Pcm
from antiphon_contracts import EngineError
from antiphon_runtime import ModelThread, Upstream

from antiphon_tts.clauses import cut, cut_first
from antiphon_tts.phrase_cache import Phrase, PhraseCache
from antiphon_tts.preparations import Preparation, Preparations
from antiphon_tts.spoken_form import spoken_form
from antiphon_tts.utterance import Clause

log = structlog.get_logger(__name__)


class Synthesizer(Protocol):
    """An engine that speaks. Its methods may be sync (run in the model's thread) or async.

    Attributes:
        name: for people, e.g. `piper en_US-joe-medium`.
        rate_hz: usual rate of its sound; each piece names its own.
        language: ISO 639-1 code of the language whose figures and units are to be written out for
            it; empty leaves texts as they are.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  (see the class)

    @property
    def rate_hz(self) -> int: ...  # noqa: D102

    @property
    def language(self) -> str: ...  # noqa: D102

    def load(self) -> Awaitable[None] | None:
        """Get ready to speak at once.

        Raises:
            ConfigError: something is not installed; the text says what mends it.
            EngineError: it is installed and does not work.
        """

    def close(self) -> Awaitable[None] | None:
        """Give back what `load` took; it may be loaded again."""

    def synthesize(
        self, text: str, *, voice: str | None, speed: float
    ) -> Iterator[Pcm] | AsyncIterator[Pcm]:
        """Yield the sound of `text` piece by piece; nothing for text without a spoken word.

        A generator function. An unknown `voice` is spoken by the engine's own.

        Raises:
            EngineError: it failed.
        """


@runtime_checkable
class Interruptible(Protocol):
    """A synthesizer that can stop in the middle of a piece."""

    def interrupt(self) -> None:
        """End what is being made now, if anything is, with EngineError; called by any thread."""


class Voice:
    """A synthesizer in its thread.

    Args:
        synthesizer: speaks.
        thread: runs it.
        upstream: what the synthesizer is asked through if a server does its work.
        spare: speaks the texts of which the server, just now, has nothing to give.
        cache: of short texts that are said often; None keeps nothing.

    Attributes:
        idle: set while nothing is spoken.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        thread: ModelThread,
        *,
        upstream: Upstream | None = None,
        spare: Synthesizer | None = None,
        cache: PhraseCache | None = None,
    ) -> None:
        self._synthesizer = synthesizer
        self._thread = thread
        self._upstream = upstream
        self._spare = spare
        self._cache = cache
        self._prepared = Preparations()
        self._making: tuple[Phrase, Preparation] | None = None
        self._speaking = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def speak(self, clause: Clause) -> AsyncGenerator[Pcm, None]:
        """Yield the sound of a clause, piece by piece; an answer's first piece is a short one.

        Raises:
            EngineError: the engine failed.
        """
        self._speaking += 1
        self.idle.clear()
        try:
            for text in self._cut(clause):
                async with aclosing(self._known_or_made(text, clause)) as pieces:
                    async for piece in pieces:
                        yield piece
        finally:
            self._speaking -= 1
            if not self._speaking:
                self.idle.set()

    def _cut(self, clause: Clause) -> Iterator[str]:
        text = clause.text
        if self._synthesizer.language == "en":
            text = spoken_form(text)
        first, rest = cut_first(text) if clause.seq == 0 else ("", text)
        yield from cut(first)
        yield from cut(rest)

    async def prepare(self, clause: Clause) -> None:
        """Make the sound of a clause's first piece, for when it is spoken.

        It gives way: nothing is made while something is spoken, and what is being made when
        something else is to be spoken is interrupted, or ends with the step that runs if the engine
        cannot be. A server is not asked for what may never be said.

        Raises:
            EngineError: the engine failed or was interrupted; nothing is kept.
        """
        text = next(self._cut(clause), None)
        if text is None or self._upstream is not None:
            return
        phrase = self._phrase(text, clause)
        cache = self._cache_for(phrase)
        if cache is not None and await asyncio.to_thread(cache.find, phrase) is not None:
            return
        if self._speaking or phrase in self._prepared:
            return
        preparation = self._prepared.begin(phrase)
        self._making = phrase, preparation
        try:
            whole = await self._fill(preparation, text, clause)
            preparation.end(whole=whole)
        finally:
            self._making = None
            if not preparation.whole:
                self._prepared.drop(phrase, preparation)
                preparation.end(whole=False)

    def _give_way(self) -> None:
        """Something else is to be spoken now."""
        if self._making is None or self._making[1].taken:
            return
        self._prepared.drop(*self._making)
        if isinstance(self._synthesizer, Interruptible):
            self._synthesizer.interrupt()

    async def _fill(self, preparation: Preparation, text: str, clause: Clause) -> bool:
        """Make its sound; returns whether that was all of it."""
        async with aclosing(self._stream(self._synthesizer, text, clause)) as pieces:
            async for piece in pieces:
                preparation.add(piece)
                if self._speaking and not preparation.taken:
                    return False
        return True

    def _phrase(self, text: str, clause: Clause) -> Phrase:
        return Phrase(self._synthesizer.name, clause.voice, clause.speed, text.strip())

    def _cache_for(self, phrase: Phrase) -> PhraseCache | None:
        return self._cache if self._cache is not None and self._cache.takes(phrase) else None

    async def _known_or_made(self, text: str, clause: Clause) -> AsyncGenerator[Pcm, None]:
        phrase = self._phrase(text, clause)
        prepared = self._prepared.take(phrase)
        if prepared is None:
            self._give_way()
        cache = self._cache_for(phrase)
        if cache is not None and prepared is None:
            known = await asyncio.to_thread(cache.find, phrase)
            if known is not None:
                yield known
                return
        made: list[Pcm] = []
        async with aclosing(self._prepared_or_made(prepared, text, clause)) as pieces:
            async for piece in pieces:
                made.append(piece)
                yield piece
        whole = joined(made)
        if cache is not None and whole is not None:
            await asyncio.to_thread(cache.keep, phrase, whole)

    async def _prepared_or_made(
        self, prepared: Preparation | None, text: str, clause: Clause
    ) -> AsyncGenerator[Pcm, None]:
        """Yield what was prepared; if its making failed, the rest is made anew."""
        said = 0
        if prepared is not None:
            try:
                async for piece in prepared.pieces():
                    said += len(piece)
                    yield piece
            finally:
                prepared.taken = False
            if prepared.whole:
                return
        async with aclosing(self._pieces(text, clause)) as pieces:
            async for piece in pieces:
                left, said = max(0, len(piece) - said), max(0, said - len(piece))
                if left:
                    yield Pcm(piece.samples[len(piece) - left :], piece.rate_hz)

    async def _pieces(self, text: str, clause: Clause) -> AsyncGenerator[Pcm, None]:
        make = partial(self._stream, self._synthesizer, text, clause)
        pieces = make() if self._upstream is None else self._upstream.stream(make)
        begun = False
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    begun = True
                    yield piece
        except EngineError as error:
            if begun or not error.retryable or self._spare is None:
                raise
            log.warning("voice.spare", engine=self._spare.name, reason=str(error))
        else:
            return
        async with aclosing(self._stream(self._spare, text, clause)) as pieces:
            async for piece in pieces:
                yield piece

    def _stream(
        self, synthesizer: Synthesizer, text: str, clause: Clause
    ) -> AsyncGenerator[Pcm, None]:
        return self._thread.stream(
            synthesizer.synthesize, text, voice=clause.voice, speed=clause.speed
        )


def joined(pieces: Sequence[Pcm]) -> Pcm | None:
    """Return the pieces as one; None if there are none, or they are not at one rate."""
    rates = {piece.rate_hz for piece in pieces}
    if len(rates) != 1:
        return None
    return Pcm(np.concatenate([piece.samples for piece in pieces]), rates.pop())
