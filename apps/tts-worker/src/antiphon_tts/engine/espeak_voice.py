"""espeak-ng, the voice of last resort: robotic, tiny, everywhere.

It runs as a program of its own (GPL-3.0-or-later), one short call for each piece of text. The text
goes to its standard input and never onto a command line, where others could read it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore

from antiphon_tts.engine.samples import Samples
from antiphon_tts.settings import TtsSettings

_WORDS_PER_MINUTE = 165
_SLOWEST, _FASTEST = 80, 450  # what espeak-ng takes
_TIMEOUT_S = 20.0
_RATE_HZ = 22_050
_VOICE = re.compile(r"[a-z]{2,3}(-[a-z0-9-]{1,32})?")


def espeak_ng(settings: TtsSettings, models: ModelStore) -> EspeakNg:  # noqa: ARG001  (the factory's signature)
    """Return espeak-ng with the voice `settings.espeak_voice`."""
    return EspeakNg(settings.espeak_voice)


class EspeakNg:
    """See `antiphon_tts.voice.Synthesizer`."""

    rate_hz = _RATE_HZ

    def __init__(self, voice: str, *, program: str = "espeak-ng") -> None:
        self.name = f"espeak-ng {voice}"
        self.language = voice.partition("-")[0]
        self._voice = voice
        self._program = program

    def load(self) -> None:
        """Speak a word into the void.

        Raises:
            ConfigError: the program is not installed.
            EngineError: it does not work, e.g. for want of the voice.
        """
        path = shutil.which(self._program)
        if path is None:
            msg = "espeak-ng is not installed; install it with: apt-get install espeak-ng"
            raise ConfigError(msg)
        self._program = path
        for _ in self.synthesize("yes", voice=None, speed=1.0):
            pass

    def close(self) -> None:
        """Nothing is kept between calls."""

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        """Yield the sound of the whole text at once; names of foreign voices are passed over.

        Raises:
            EngineError: the program failed or took more than 20 s.
        """
        if not any(character.isalnum() for character in text):
            return
        named = voice if voice is not None and _VOICE.fullmatch(voice) else self._voice
        pace = min(max(round(_WORDS_PER_MINUTE * speed), _SLOWEST), _FASTEST)
        samples = Samples(rate_hz=None)
        sound = samples.push(self._run("-v", named, "-s", str(pace), text=text))
        if sound is not None and sound.samples.any():
            yield sound

    def _run(self, *options: str, text: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603  (a fixed program, checked options)
                [self._program, "-b", "1", *options, "--stdin", "--stdout"],
                input=text.encode(errors="replace"),
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except subprocess.TimeoutExpired:
            msg = f"espeak-ng took more than {_TIMEOUT_S:.0f} s."
            raise EngineError(msg) from None
        except subprocess.CalledProcessError as error:
            msg = f"espeak-ng failed (exit {error.returncode}); try it by hand: espeak-ng hello"
            raise EngineError(msg) from None
        except OSError as error:
            msg = f"espeak-ng cannot be started: {error.strerror}."
            raise EngineError(msg) from error
        return done.stdout
