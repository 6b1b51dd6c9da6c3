"""openWakeWord by pyopen-wakeword; its models come with the package (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from numpy.typing import NDArray

from antiphon_wake.detector import Lag, Phrase, PhraseStream, Score
from antiphon_wake.engine import tflite

CHUNK = 1280  # samples between two scores, 80 ms
THRESHOLD = 0.5

# Medians over Piper speech at six speeds whose phoneme times were known.
LAGS: Mapping[str, Lag] = {
    "okay_nabu": Lag(sure_ms=380, rise_ms=380, length_ms=675),
    "hey_jarvis": Lag(sure_ms=210, rise_ms=210, length_ms=645),
    "alexa": Lag(sure_ms=155, rise_ms=155, length_ms=440),
    "hey_mycroft": Lag(sure_ms=230, rise_ms=230, length_ms=612),
}
USUAL = Lag(sure_ms=230, rise_ms=230)


class OpenDetector:
    """Hears the phrases that the package brings, and further models of the same make.

    Args:
        models: openWakeWord's .tflite files.
    """

    name = "pyopen-wakeword"
    blocks = True

    def __init__(self, models: Sequence[Path] = ()) -> None:
        self._models = models
        self._found: dict[str, Path] = {}

    @property
    def phrases(self) -> Mapping[str, Phrase]:
        """What can be heard."""
        return {name: Phrase(name, THRESHOLD, LAGS.get(name, USUAL)) for name in self._found}

    def load(self) -> None:
        """Find the models.

        Raises:
            ConfigError: the package or a model is missing or broken.
        """
        try:
            import pyopen_wakeword
        except ImportError as error:
            msg = f"This engine needs pyopen-wakeword: {install_command('wake')}"
            raise ConfigError(msg) from error
        package = Path(pyopen_wakeword.__file__).parent
        builtin = [package / "models" / f"{model.value}.tflite" for model in pyopen_wakeword.Model]
        self._found = {path.stem: path for path in (*builtin, *self._models)}
        for path in self._found.values():
            try:
                tflite.check(path)
                pyopen_wakeword.OpenWakeWord.from_model(path).close()
            except (OSError, RuntimeError, ValueError) as error:
                msg = f"{path.name} cannot be used as a wake word: give openWakeWord's .tflite"
                raise ConfigError(msg) from error

    def open(self, phrases: Sequence[str]) -> PhraseStream:
        """Begin to listen; see the port."""
        return _Stream({name: self._found[name] for name in phrases})


class _Stream:
    """Listens in one stream; the features are computed once for all phrases."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        from pyopen_wakeword import OpenWakeWord, OpenWakeWordFeatures

        self._rest = np.zeros(0, dtype=np.int16)
        self._end = 0
        try:
            self._features = OpenWakeWordFeatures.from_builtin()
            self._models = {name: OpenWakeWord.from_model(path) for name, path in models.items()}
        except (OSError, RuntimeError, ValueError) as error:
            msg = "A wake word's model could not be opened: install antiphon[wake] again."
            raise EngineError(msg, retryable=False) from error

    def push(self, samples: NDArray[np.int16]) -> Iterator[Score]:
        """Return the scores that further sound brings."""
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) // CHUNK * CHUNK
        self._rest = sound[whole:]
        for begin in range(0, whole, CHUNK):
            self._end += CHUNK
            embeddings = list(
                self._features.process_streaming(sound[begin : begin + CHUNK].tobytes())
            )
            for name, model in self._models.items():
                for embedding in embeddings:
                    for score in model.process_streaming(embedding):
                        yield Score(name, score, score, self._end)

    def close(self) -> None:
        """Let go of the models' state."""
        self._features.close()
        for model in self._models.values():
            model.close()
