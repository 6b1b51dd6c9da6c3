"""Guesses: what is being said, transcribed while it is not yet known whether it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from antiphon_audio import Pcm
from antiphon_contracts import AntiphonError, Rejection, new_id
from antiphon_runtime import CancelFlag, ModelThread, running

from antiphon_stt.recogniser import Rank, Recogniser
from antiphon_stt.transcriber import Hints
from antiphon_stt.transcript import Transcript
from antiphon_stt.turn_detector import TurnDetector

_USUAL_MS = 300.0
_SHARE = 0.3

log = structlog.get_logger(__name__)


@dataclass
class Guess:
    """One transcription of an utterance that may go on.

    Attributes:
        audio_ms: length of what is transcribed.
        opening: words that it begins with and that are not to be written down.
        stir: set when something became known.
        cancelled: nobody waits for it.
        transcript: the outcome; None while it is not known, or if it failed.
        transcribe_ms: time in the engine.
        failure: why there is no transcript.
        done: by its sound, the probability of a whole turn; None if not known.
        waits_for: what is not yet known.
    """

    audio_ms: int
    opening: str
    stir: asyncio.Event
    cancelled: CancelFlag = field(default_factory=CancelFlag)
    transcript: Transcript | None = None
    transcribe_ms: float = 0.0
    failure: tuple[Rejection, str] | None = None
    done: float | None = None
    waits_for: set[str] = field(default_factory=set)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether all is known."""
        return not self.waits_for

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self.cancelled.set()
        for task in self.tasks:
            task.cancel()


class Guesser:
    """Transcribes live speech in tasks of its own.

    Args:
        recogniser: the engine.
        detector: listens whether the turn is done.
        thread: where it does.
        language: ISO 639-1 code of what is spoken; None lets the engine find out.
        prompt: words to expect.
        timeout_s: how long a transcription may take, waiting included.
        max_waiting: transcriptions that may wait; more fail as `busy`.

    Attributes:
        usual_ms: what a transcription takes of late.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        detector: TurnDetector,
        thread: ModelThread,
        *,
        language: str | None = None,
        prompt: str = "",
        timeout_s: float = 20.0,
        max_waiting: int = 8,
    ) -> None:
        self._recogniser = recogniser
        self._detector = detector
        self._thread = thread
        self._language = language
        self._prompt = prompt
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self.usual_ms = _USUAL_MS

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Guesses can be made while the block runs."""
        async with running() as self._group:
            yield

    @property
    def is_idle(self) -> bool:
        """Whether the engine has nothing to do."""
        return self._recogniser.idle

    def begin(
        self, speech: Pcm, stir: asyncio.Event, *, opening: str = "", is_draft: bool = False
    ) -> Guess:
        """Begin to transcribe; a draft is cheap, and nobody is asked whether the turn is done."""
        guess = Guess(int(speech.duration_ms), opening, stir)
        if self._recogniser.waiting >= self._max_waiting:
            guess.failure = ("busy", "Too much is said at once: say it again in a moment.")
            stir.set()
            return guess
        guess.waits_for.add("words")
        work = [self._understand(guess, speech, is_draft=is_draft)]
        if not is_draft:
            guess.waits_for.add("sound")
            work.append(self._listen(guess, speech))
        name = f"stt-guess-{new_id()}"
        guess.tasks = [self._group.create_task(part, name=name) for part in work]
        return guess

    async def _understand(self, guess: Guess, speech: Pcm, *, is_draft: bool) -> None:
        hints = Hints(self._language, self._prompt, guess.cancelled, guess.opening, is_draft)
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._recogniser.transcribe(speech, hints, Rank.LIVE)
            guess.transcript, guess.transcribe_ms = found
            if not is_draft:
                self.usual_ms += _SHARE * (guess.transcribe_ms - self.usual_ms)
        except TimeoutError:
            detail = f"Understanding took longer than {self._timeout_s:g} s: say it again."
            guess.failure = ("engine", detail)
        except AntiphonError as error:
            guess.failure = ("engine", str(error))
        except Exception as error:
            log.exception("guess.crashed", error=type(error).__name__)
            guess.failure = ("engine", "The speech engine failed: say it again.")
        finally:
            guess.waits_for.discard("words")
            guess.stir.set()

    async def _listen(self, guess: Guess, speech: Pcm) -> None:
        try:
            guess.done = await self._thread.call(self._detector.by_sound, speech)
        except Exception as error:
            log.exception("turn_detector.failed", error=type(error).__name__)
        finally:
            guess.waits_for.discard("sound")
            guess.stir.set()
