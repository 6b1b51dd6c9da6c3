"""One listening window: from the order to listen to its one final."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from antiphon_contracts import Rejection, SttControl, SttFinal, SttPartial
from antiphon_runtime import ModelThread

from antiphon_stt.agreement import Agreement
from antiphon_stt.endpointing import RATE_HZ, Endpointer, Heard
from antiphon_stt.follower import Follower, LiveRules, VoiceStream
from antiphon_stt.guess import Guess, Guesser
from antiphon_stt.site_ear import Piece
from antiphon_stt.transcript import Transcript
from antiphon_stt.turn_detector import TurnDetector
from antiphon_stt.wake_phrase import spoken_phrase, without_phrase

LOST_S = 2.0
"""A stream of which nothing came for so long has broken off."""
MAX_BEHIND_S = 8.0
MAX_CHARS_S = 40
"""Nobody says more in a second of speech; engines make more up."""
SPARE_CHARS = 12

_CRASHED: tuple[Rejection, str] = ("engine", "The utterance was not worked on: say it again.")
_NOISE: tuple[Rejection, str] = ("noise", "Something was heard, but no words could be made out.")
_UNLIKELY: tuple[Rejection, str] = ("unlikely", "Something was heard that is hardly speech.")

# An utterance that was none ends such a window; in others the wait goes on.
_ENDED_BY_NOISE = frozenset({"", "barge_in", "open", "playback"})


@dataclass(frozen=True)
class Tools:
    """What a window works with; shared by all.

    Attributes:
        rules: how it listens.
        thread: where voices and turns are detected.
        open_voice: begins to detect voices.
        detector: tells how long to wait.
        guesser: transcribes.
        say: sends a partial of a site.
    """

    rules: LiveRules
    thread: ModelThread
    open_voice: Callable[[], VoiceStream]
    detector: TurnDetector
    guesser: Guesser
    say: Callable[[str, SttPartial], object]


class Window:
    """Listens at one site for one utterance; made by an order to `listen`.

    Args:
        order: the order.
        site_id: the site.
        start: where to begin to listen, in samples of the stream.
        phrase_begin: where the wake phrase begins; None if there is none.
        tools: what it works with.
        now: the loop's clock.
    """

    def __init__(
        self,
        order: SttControl,
        site_id: str,
        start: int,
        phrase_begin: int | None,
        tools: Tools,
        now: float,
    ) -> None:
        self.order = order
        self.site_id = site_id
        self._tools = tools
        self._follower = Follower(
            order, start, phrase_begin, tools.rules, tools.thread, tools.open_voice
        )
        self._heard_at = now
        self._left = None if order.window_s is None else round(order.window_s * RATE_HZ)
        self._pieces: deque[Piece] = deque()
        self._behind = 0
        self._stir = asyncio.Event()
        self._closed: tuple[Rejection, str] | None = None
        self._unheard: tuple[Rejection, str] | None = None
        self._guess: Guess | None = None
        self._draft: Guess | None = None
        self._agreement = Agreement()
        self._drafted_to = 0
        self._draft_ms = 0.0
        self._drafts = 0
        self._seq = 0
        self._is_candidate = False

    @property
    def earliest(self) -> int:
        """From where on the window wants to hear the stream, in samples."""
        return self._follower.earliest

    @property
    def _endpoint(self) -> Endpointer:
        return self._follower.endpoint

    def push(self, piece: Piece, now: float, *, is_past: bool = False) -> None:
        """Take what the site heard.

        Args:
            piece: the next of the stream.
            now: the loop's clock.
            is_past: whether it was heard before the order.
        """
        self._heard_at = now
        if piece.is_deaf and not (is_past and self.order.phrase):
            piece = replace(piece, samples=np.zeros_like(piece.samples))
        self._pieces.append(piece)
        self._behind += len(piece.samples)
        if self._left is not None and not is_past:
            self._left -= len(piece.samples)
        if self._behind > MAX_BEHIND_S * RATE_HZ:
            self.close("busy", "Too much is said at once: say it again in a moment.")
        self._stir.set()

    def close(self, reason: Rejection, detail: str) -> None:
        """End the window without a transcript."""
        self._closed = self._closed or (reason, detail)
        self._stir.set()

    async def listen(self) -> SttFinal:
        """Return the final when there is one.

        Raises:
            EngineError: the engine, or what detects voices, failed.
        """
        try:
            while True:
                await self._stirred()
                final = await self._step()
                if final is not None:
                    return final
        finally:
            self._drop_guesses()

    # Waiting

    async def _stirred(self) -> None:
        left_s = self._heard_at + LOST_S - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left_s)):
                await self._stir.wait()
        if not self._stir.is_set():
            self.close("lost", "The microphone's stream broke off.")
        self._stir.clear()

    async def _step(self) -> SttFinal | None:
        if self._closed is not None:
            return self._rejected(*self._closed)
        pieces = list(self._pieces)
        self._pieces.clear()
        self._behind = 0
        if self._follower.take(pieces):
            return self._rejected("lost", "The microphone's stream began anew.")
        if await self._hear() or self._decide():
            return await self._end()
        self._begin_draft()
        return self._overdue()

    def _decide(self) -> bool:
        """Take what was understood; return whether the utterance is over for it."""
        self._take_draft()
        self._take_guess()
        return self._endpoint.is_over

    async def _hear(self) -> bool:
        """Follow the sound; return whether the utterance has ended."""
        await self._follower.detect()
        for change in self._follower.changes():
            if change is Heard.BEGAN:
                self._say("")
            elif change is Heard.PAUSED:
                self._begin_guess()
            elif change is Heard.RESUMED:
                self._resume()
            elif change is Heard.ENDED:
                return True
        return False

    def _overdue(self) -> SttFinal | None:
        speaks = self._endpoint.begin is not None or not self._endpoint.is_quiet
        if self._left is None or self._left > 0 or speaks:
            return None
        return self._rejected(*(self._unheard or ("no_speech", "Nothing was said.")))

    # Understanding

    def _begin_guess(self) -> None:
        self._drop_guesses()
        self._guess = self._begin_transcription()

    def _begin_transcription(self, *, is_draft: bool = False) -> Guess:
        follower = self._follower
        opening = spoken_phrase(self.order.phrase) if follower.is_one_breath else ""
        return self._tools.guesser.begin(
            follower.speech(), self._stir, opening=opening, is_draft=is_draft
        )

    def _resume(self) -> None:
        """Speech goes on: what was guessed is not all."""
        self._drop_guesses()
        if self._is_candidate:
            self._say(self._agreement.text)

    def _drop_guesses(self) -> None:
        for guess in (self._guess, self._draft):
            if guess is not None:
                guess.drop()
        self._guess = self._draft = None

    def _begin_draft(self) -> None:
        """Understand what was said so far, where that delays nobody."""
        endpoint, tools = self._endpoint, self._tools
        if not tools.rules.draft_s or endpoint.begin is None or endpoint.is_paused:
            return
        if self._draft is not None or not tools.guesser.is_idle:
            return
        spent_ms = self._draft_ms + self._draft_ms / max(1, self._drafts)
        fresh = endpoint.end - max(self._drafted_to, endpoint.begin)
        if fresh >= tools.rules.draft_s * RATE_HZ and spent_ms <= tools.guesser.usual_ms:
            self._drafted_to = endpoint.end
            self._draft = self._begin_transcription(is_draft=True)

    def _take_draft(self) -> None:
        draft = self._draft
        if draft is None or not draft.is_ready:
            return
        self._draft = None
        self._drafts += 1
        self._draft_ms += draft.transcribe_ms
        if draft.transcript is not None:
            self._agreement.add(self._words(draft.transcript.believed()))
            self._say(self._agreement.text)

    def _take_guess(self) -> None:
        """Say what was understood up to the pause, and decide how long to wait."""
        guess = self._guess
        if guess is None or not guess.is_ready or self._is_candidate:
            return
        self._drafted_to = self._endpoint.end
        if guess.transcript is None:
            self._endpoint.patience_ms = 0
            return
        believed = self._believed(guess.transcript)
        text = self._words(believed)
        patience_ms = self._tools.detector.patience_ms(text, guess.done)
        self._endpoint.patience_ms = min(patience_ms, self._tools.rules.endpoint.max_silence_ms)
        if text:
            self._agreement.settle(text)
            self._say(text, candidate=True, language=believed.language, of=believed.confidence)
        elif believed.text or guess.opening:
            self._listen_again()

    def _believed(self, transcript: Transcript) -> Transcript:
        believed = transcript.believed()
        is_likely = (
            len(believed.text) <= SPARE_CHARS + MAX_CHARS_S * self._endpoint.speech_ms / 1000
        )
        return believed if is_likely or self.order.phrase else replace(believed, segments=())

    def _words(self, believed: Transcript) -> str:
        return without_phrase(believed.text, self.order.phrase)

    def _listen_again(self) -> None:
        """What was heard was no utterance: wait for one."""
        self._drop_guesses()
        self._is_candidate = False
        self._agreement = Agreement()
        self._endpoint.restart(self._endpoint.heard)

    # Ending

    async def _end(self) -> SttFinal | None:
        """Return the final; None if the wait goes on."""
        decided = time.perf_counter()
        endpoint_ms = self._endpoint.silence_ms
        if self._guess is None:
            self._begin_guess()
        guess = self._guess
        while guess is not None and not guess.is_ready and self._closed is None:
            await self._stir.wait()
            self._stir.clear()
        if self._closed is not None or guess is None:
            return self._rejected(*(self._closed or _CRASHED))
        if guess.transcript is None:
            return self._rejected(*(guess.failure or _CRASHED), guess=guess)
        believed = self._believed(guess.transcript)
        text = self._words(believed)
        if text:
            final = self._final(text, believed, guess)
            waited_ms = 1000.0 * (time.perf_counter() - decided)
            return final.model_copy(
                update={"endpoint_ms": endpoint_ms, "final_ms": round(waited_ms, 1)}
            )
        # The pieces that came meanwhile are heard at the next step.
        self._stir.set()
        return self._nothing_said(guess.transcript, believed, guess)

    def _nothing_said(self, raw: Transcript, believed: Transcript, guess: Guess) -> SttFinal | None:
        if not believed.text and not guess.opening:
            self._unheard = _UNLIKELY if raw.text else _NOISE
            if self.order.reason in _ENDED_BY_NOISE:
                return self._rejected(*self._unheard, guess=guess)
        self._listen_again()
        return None

    def _final(self, text: str, believed: Transcript, guess: Guess) -> SttFinal:
        return SttFinal(
            utterance_id=self.order.utterance_id,
            text=text,
            language=believed.language,
            confidence=round(believed.confidence, 4),
            audio_ms=guess.audio_ms,
            speech_ms=self._endpoint.speech_ms,
            transcribe_ms=round(guess.transcribe_ms, 1),
            reason=self.order.reason,
            stream=self._follower.stream,
            start_ms=self._follower.begin_ms,
            end_ms=self._follower.end_ms,
        )

    def _rejected(self, reason: Rejection, detail: str, guess: Guess | None = None) -> SttFinal:
        bare = self._final("", Transcript(()), guess or Guess(0, "", self._stir))
        return bare.model_copy(update={"rejected": reason, "detail": detail})

    def _say(
        self, text: str, *, candidate: bool = False, language: str = "en", of: float = 0.0
    ) -> None:
        self._is_candidate = candidate
        partial = SttPartial(
            utterance_id=self.order.utterance_id,
            seq=self._seq,
            text=text,
            stable_chars=self._agreement.stable_chars if text else 0,
            candidate=candidate,
            language=language,
            confidence=round(of, 4),
        )
        self._seq += 1
        self._tools.say(self.site_id, partial)
