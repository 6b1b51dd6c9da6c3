"""microWakeWord by pymicro-wakeword; its models come with the package (Apache-2.0)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from numpy.typing import NDArray

from antiphon_wake.detector import Lag, Phrase, PhraseStream, Score
from antiphon_wake.engine import tflite

if TYPE_CHECKING:
    from pymicro_wakeword import MicroWakeWord

WINDOW = 480  # samples of one feature, 30 ms
STEP = 160  # samples between two

# Medians over Piper speech at six speeds whose phoneme times were known.
LAGS: Mapping[str, Lag] = {
    "okay_nabu": Lag(sure_ms=84, rise_ms=-48, length_ms=675),
    "hey_jarvis": Lag(sure_ms=174, rise_ms=15, length_ms=645),
    "alexa": Lag(sure_ms=230, rise_ms=100, length_ms=440),
    "hey_mycroft": Lag(sure_ms=-28, rise_ms=-172, length_ms=612),
}


class MicroDetector:
    """Hears the phrases that the package brings, and further models of the same make.

    Args:
        models: microWakeWord's .json files, each with its .tflite beside it.
    """

    name = "pymicro-wakeword"
    blocks = False

    def __init__(self, models: Sequence[Path] = ()) -> None:
        self._models = models
        self._found: dict[str, _Model] = {}

    @property
    def phrases(self) -> Mapping[str, Phrase]:
        """What can be heard."""
        return {name: model.phrase for name, model in self._found.items()}

    def load(self) -> None:
        """Find the models.

        Raises:
            ConfigError: the package or a model is missing or broken.
        """
        try:
            import pymicro_wakeword
        except ImportError as error:
            msg = f"Wake words need pymicro-wakeword: {install_command('wake')}"
            raise ConfigError(msg) from error
        package = Path(pymicro_wakeword.__file__).parent
        builtin = [package / "models" / f"{model.value}.json" for model in pymicro_wakeword.Model]
        found = [_read(path) for path in (*builtin, *self._models)]
        self._found = {model.phrase.name: model for model in found}

    def open(self, phrases: Sequence[str]) -> PhraseStream:
        """Begin to listen; see the port."""
        return _Stream([self._found[name] for name in phrases])


@dataclass(slots=True)
class _Model:
    """A model file.

    Attributes:
        phrase: what it hears.
        config: its .json.
        width: windows that are averaged.
    """

    phrase: Phrase
    config: Path
    width: int

    def open(self) -> MicroWakeWord:
        """Return a new instance, whose score is that of the newest window alone."""
        from pymicro_wakeword import MicroWakeWord

        given = MicroWakeWord.from_config(self.config)
        own = MicroWakeWord(
            given.id,
            wake_word=given.wake_word,
            tflite_model=given.tflite_model,
            probability_cutoff=given.probability_cutoff,
            sliding_window_size=1,
            trained_languages=given.trained_languages,
            libtensorflowlite_c_path=given.libtensorflowlite_c_path,
        )
        given.close()
        return own


def _read(path: Path) -> _Model:
    """Read a model's description, and see whether the model can be used."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        how = about["micro"]
        phrase = Phrase(path.stem, float(how["probability_cutoff"]), LAGS.get(path.stem, Lag()))
        tflite.check(path.parent / str(about["model"]))
        model = _Model(phrase, path, max(1, int(how["sliding_window_size"])))
        model.open().close()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        msg = (
            f"{path.name} cannot be used as a wake word: give the .json of a microWakeWord model, "
            f"with its .tflite beside it ({type(error).__name__})"
        )
        raise ConfigError(msg) from error
    return model


@dataclass(slots=True)
class _Voice:
    """One phrase's model while it listens."""

    name: str
    model: MicroWakeWord
    newest: deque[float]
    features: int = field(default=0)

    def push(self, feature: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the average and the newest score, at each of the model's strides."""
        newest = self.model.process_streaming_prob(feature)
        self.features += 1
        if self.features % self.model.stride or newest is None:
            return None
        self.newest.append(newest)
        if len(self.newest) < (self.newest.maxlen or 1):
            return None
        return sum(self.newest) / len(self.newest), newest


class _Stream:
    """Listens in one stream; the features are computed once for all phrases."""

    def __init__(self, models: Sequence[_Model]) -> None:
        from pymicro_wakeword import MicroWakeWordFeatures

        self._features = MicroWakeWordFeatures()
        self._end = WINDOW - STEP
        try:
            self._voices = [
                _Voice(model.phrase.name, model.open(), deque(maxlen=model.width))
                for model in models
            ]
        except (OSError, RuntimeError, ValueError) as error:
            msg = "A wake word's model could not be opened: install antiphon[wake] again."
            raise EngineError(msg, retryable=False) from error

    def push(self, samples: NDArray[np.int16]) -> Iterator[Score]:
        """Return the scores that further sound brings."""
        for feature in self._features.process_streaming(samples.tobytes()):
            self._end += STEP
            for voice in self._voices:
                scores = voice.push(feature)
                if scores is not None:
                    yield Score(voice.name, *scores, self._end)

    def close(self) -> None:
        """Let go of the models' state."""
        for voice in self._voices:
            voice.model.close()
