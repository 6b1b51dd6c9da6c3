"""The port to whatever turns speech into text."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

from antiphon_audio import Pcm
from antiphon_runtime import CancelFlag

from antiphon_stt.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Hints:
    """What an engine may know beside the sound.

    Attributes:
        language: ISO 639-1 code; None lets the engine find out.
        prompt: words to expect, such as names.
        cancelled: nobody waits any more; looked at between segments.
        opening: words that the sound begins with and that are not to be written down, e.g. a wake
            phrase. An engine that cannot leave them out writes them.
        is_draft: the person goes on speaking: cheap matters more than exact.
    """

    language: str | None = None
    prompt: str = ""
    cancelled: CancelFlag = field(default_factory=CancelFlag)
    opening: str = ""
    is_draft: bool = False


class Transcriber(Protocol):
    """Turns speech into text. Each method may be sync (run in the engine's thread) or async.

    Live speech is given to it as it grows: drafts while the person speaks, and all of it whenever
    they fall silent.

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
