"""Utterances: every recording that comes in is answered with one final, whatever happens.

A recording goes through two threads: the ear (decoding, voice activity) and the engine's own, so
that what comes in is never judged behind a transcription that runs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from antiphon_contracts import EngineError, Rejection, SttFinal
from antiphon_runtime import ModelThread, RawMessage

from antiphon_stt.ear import Ear, Hearing
from antiphon_stt.recogniser import Recogniser
from antiphon_stt.transcriber import Hints
from antiphon_stt.transcript import Transcript

STORED_FINALS = 256

# What may go better when the same recording is sent again is not kept as its answer.
_PASSING: frozenset[Rejection | None] = frozenset({"busy", "engine"})

log = structlog.get_logger(__name__)


class Announce(Protocol):
    """Sends a final to whoever listens."""

    def __call__(self, site_id: str, final: SttFinal) -> object:
        """Start to send."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work is taken on.

    Attributes:
        max_waiting: recordings that may wait; more are told busy at once.
        parallel: recordings given to the engine at once.
        timeout_s: how long one recording may take, waiting included.
    """

    max_waiting: int = 8
    parallel: int = 1
    timeout_s: float = 60.0

    @property
    def capacity(self) -> int:
        """Recordings taken on at once."""
        return self.parallel + self.max_waiting


class UtteranceService:
    """Answers recordings with finals.

    Args:
        ear: finds the speech.
        recogniser: understands it.
        announce: sends the finals.
        limits: how much is taken on.
        language: ISO 639-1 code of what is spoken; None lets the engine find out.
        prompt: words to expect.
    """

    def __init__(
        self,
        ear: Ear,
        recogniser: Recogniser,
        announce: Announce,
        limits: Limits,
        *,
        language: str | None = None,
        prompt: str = "",
    ) -> None:
        self._ear = ear
        self._recogniser = recogniser
        self._announce = announce
        self._limits = limits
        self._language = language
        self._prompt = prompt
        self._open: set[tuple[str, str]] = set()
        self._done: OrderedDict[tuple[str, str], SttFinal] = OrderedDict()

    @property
    def capacity(self) -> int:
        """Recordings taken on at once."""
        return self._limits.capacity

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load everything; recordings can be taken while the block runs."""
        calls = self._limits.capacity + 1
        with ModelThread("stt-ear", queue_limit=calls) as self._ear_thread:
            await self._ear_thread.call(self._ear.load)
            async with self._recogniser.lifespan():
                yield

    async def on_utterance(self, message: RawMessage) -> None:
        """Answer a recording; the same one again is answered from the store, or joins itself."""
        site_id, utterance_id = message.site_id, message.slots["utterance"]
        key = (site_id, utterance_id)
        if key in self._open:
            log.info("utterance.doubled", utterance_id=utterance_id)
        elif key in self._done:
            log.info("utterance.repeated", utterance_id=utterance_id)
            self._announce(site_id, self._done[key])
        elif len(self._open) >= self._limits.capacity:
            detail = "Too many recordings wait to be understood: say it again in a moment."
            self._finish(key, _rejected(utterance_id, "busy", detail))
        else:
            await self._take(key, message.payload)

    async def _take(self, key: tuple[str, str], data: bytes) -> None:
        # This stands if the work is cancelled or crashes: somebody waits for an answer.
        detail = "The recording could not be worked on to the end: say it again."
        final = _rejected(key[1], "engine", detail)
        self._open.add(key)
        try:
            final = await self._understand(key[1], data)
        finally:
            self._open.discard(key)
            self._finish(key, final)

    def _finish(self, key: tuple[str, str], final: SttFinal) -> None:
        if final.rejected not in _PASSING:
            self._done[key] = final
            if len(self._done) > STORED_FINALS:
                self._done.popitem(last=False)
        log.info(
            "utterance.final",
            utterance_id=final.utterance_id,
            site_id=key[0],
            rejected=final.rejected,
            audio_ms=final.audio_ms,
            speech_ms=final.speech_ms,
            decode_ms=final.decode_ms,
            transcribe_ms=final.transcribe_ms,
            confidence=final.confidence,
        )
        self._announce(key[0], final)

    async def _understand(self, utterance_id: str, data: bytes) -> SttFinal:
        hearing = None
        hints = Hints(self._language, self._prompt)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                hearing = await self._ear_thread.call(self._ear.listen, data)
                if hearing.rejected is not None:
                    return _rejected(utterance_id, hearing.rejected, hearing.detail, hearing)
                found = await self._recogniser.transcribe(hearing.speech, hints)
        except EngineError as error:
            return _rejected(utterance_id, "engine", str(error), hearing)
        except TimeoutError:
            detail = f"Understanding took longer than {self._limits.timeout_s:g} s: say it again."
            return _rejected(utterance_id, "engine", detail, hearing)
        finally:
            hints.cancelled.set()
        return _final(utterance_id, hearing, *found)


def _final(
    utterance_id: str, hearing: Hearing, transcript: Transcript, transcribe_ms: float
) -> SttFinal:
    believed = transcript.believed()
    is_noise = not believed.text
    return SttFinal(
        utterance_id=utterance_id,
        text=believed.text,
        language=transcript.language,
        confidence=round(believed.confidence, 4),
        audio_ms=hearing.audio_ms,
        speech_ms=hearing.speech_ms,
        decode_ms=round(hearing.decode_ms, 1),
        transcribe_ms=round(transcribe_ms, 1),
        rejected="noise" if is_noise else None,
        detail="Something was heard, but no words could be made out." if is_noise else "",
    )


def _rejected(
    utterance_id: str, reason: Rejection, detail: str, hearing: Hearing | None = None
) -> SttFinal:
    return SttFinal(
        utterance_id=utterance_id,
        audio_ms=hearing.audio_ms if hearing else 0,
        speech_ms=hearing.speech_ms if hearing else 0,
        decode_ms=round(hearing.decode_ms, 1) if hearing else 0.0,
        rejected=reason,
        detail=detail,
    )
