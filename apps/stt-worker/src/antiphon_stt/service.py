"""Utterances: every recording that comes in is answered with one final, whatever happens.

A recording goes through two threads: the ear (decoding, voice activity) and the engine's own, so
that what comes in is never judged behind a transcription that runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog
from antiphon_audio import Pcm
from antiphon_contracts import EngineError, Rejection, SttFinal
from antiphon_runtime import CancelFlag, ModelThread, RawMessage, Upstream

from antiphon_stt.ear import Ear, Hearing
from antiphon_stt.transcript import Transcript

STORED_FINALS = 256
CLOSE_TIMEOUT_S = 1.0

# What may go better when the same recording is sent again is not kept as its answer.
_PASSING: frozenset[Rejection | None] = frozenset({"busy", "engine"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hints:
    """What an engine may know beside the sound.

    Attributes:
        language: ISO 639-1 code; None lets the engine find out.
        prompt: words to expect, such as names.
        cancelled: nobody waits any more; looked at between segments.
    """

    language: str | None = None
    prompt: str = ""
    cancelled: CancelFlag = field(default_factory=CancelFlag)


class Transcriber(Protocol):
    """Turns speech into text. Each method may be sync (run in the engine's thread) or async.

    An engine that can follow a stream will offer one method more, found by duck-typing so that
    these engines stay as they are: `def stream(self, hints: Hints) -> TranscriptStream`, where a
    `TranscriptStream` has `push(pcm: Pcm) -> Transcript` (the transcript so far, for
    `stt/partial`), `finish() -> Transcript` (for `stt/final`) and `close()`. For engines without
    it the worker collects the utterance and calls `transcribe` at its end.

    Attributes:
        name: for people and health, e.g. `faster-whisper tiny.en int8`.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def load(self) -> Awaitable[None] | None:
        """Load the model and warm it up.

        Raises:
            ConfigError: it is missing or broken; the text says what mends it.
        """
        ...

    def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript | Awaitable[Transcript]:
        """Return what is said in `pcm`: 16 kHz speech without long pauses.

        Raises:
            EngineError: it failed; the text is one sentence for people.
        """
        ...

    def close(self) -> Awaitable[None] | None:
        """Let go of the model; `load` may follow."""
        ...


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
        transcriber: understands it.
        announce: sends the finals.
        limits: how much is taken on.
        language: ISO 639-1 code of what is spoken; None lets the engine find out.
        prompt: words to expect.
        upstream: the engine is asked through it; None asks the engine itself, once.
    """

    def __init__(
        self,
        ear: Ear,
        transcriber: Transcriber,
        announce: Announce,
        limits: Limits,
        *,
        language: str | None = None,
        prompt: str = "",
        upstream: Upstream | None = None,
    ) -> None:
        self._ear = ear
        self._transcriber = transcriber
        self._announce = announce
        self._limits = limits
        self._language = language
        self._prompt = prompt
        self._upstream = upstream
        self._open: set[tuple[str, str]] = set()
        self._done: OrderedDict[tuple[str, str], SttFinal] = OrderedDict()

    @property
    def capacity(self) -> int:
        """Recordings taken on at once."""
        return self._limits.capacity

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load everything; recordings can be taken while the block runs."""
        self._slots = asyncio.Semaphore(self._limits.parallel)
        calls = self._limits.capacity + 1
        with (
            ModelThread("stt-ear", queue_limit=calls) as self._ear_thread,
            ModelThread("stt-engine", queue_limit=calls) as self._engine_thread,
        ):
            await self._ear_thread.call(self._ear.load)
            await self._engine_thread.call(self._transcriber.load)
            try:
                async with nullcontext() if self._upstream is None else self._upstream.open():
                    yield
            finally:
                # A call that still runs in the thread goes before; the process need not wait.
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await self._engine_thread.call(self._transcriber.close)

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
                transcript, transcribe_ms = await self._transcribe(hearing.speech, hints)
        except EngineError as error:
            return _rejected(utterance_id, "engine", str(error), hearing)
        except TimeoutError:
            detail = f"Understanding took longer than {self._limits.timeout_s:g} s: say it again."
            return _rejected(utterance_id, "engine", detail, hearing)
        finally:
            hints.cancelled.set()
        return _final(utterance_id, hearing, transcript, transcribe_ms)

    async def _transcribe(self, speech: Pcm, hints: Hints) -> tuple[Transcript, float]:
        async with self._slots:
            begun = time.perf_counter()
            ask = partial(self._engine_thread.call, self._transcriber.transcribe, speech, hints)
            transcript = await (ask() if self._upstream is None else self._upstream.call(ask))
            return transcript, 1000.0 * (time.perf_counter() - begun)


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
