"""Smart Turn v3: whether a turn is done, by its sound, on onnxruntime.

The model is Daily's (BSD-2-Clause), a head on Whisper tiny's encoder, and takes what Whisper takes:
the log-mel spectrum of 8 s, the end of the turn at the end, silence before it, at unit variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime.extras import install_command
from antiphon_runtime.onnx_session import OnnxSession, open_session
from numpy.typing import NDArray

from antiphon_stt.turn_detector import AdaptiveSilence, Patience, is_closed, is_open

if TYPE_CHECKING:
    from typing import Protocol

    class _Extractor(Protocol):
        """The part of faster_whisper's FeatureExtractor in use here."""

        def __call__(self, waveform: NDArray[np.float32], padding: int) -> NDArray[np.float32]: ...


MODEL = "smart-turn-v3.2"
FILE = "smart-turn-v3.2-cpu.onnx"
CONTEXT_S = 8
RATE_HZ = 16_000
DONE = 0.9
"""The model's own threshold is 0.5. Of 60 utterances, 40 with a pause inside, that cut off 4, the
words alone 5, a fixed silence of the same median delay 14; with 0.9 it is 2, at a median delay of
488 ms (benchmarks/endpointing.py).
"""
LIKELY = 0.5
"""From here on, what ends like a sentence is waited for less than what does not: of 180
utterances, 120 with a pause inside, 11 were cut off instead of 10, 25 ms sooner in the mean.
"""
_SAMPLES = CONTEXT_S * RATE_HZ
_QUIET_VARIANCE = 1e-7


class SmartTurn:
    """Decides by the sound, and by the words where they break off: see `TurnDetector`.

    Args:
        models: where the weights are.
        patience: how long to wait.
    """

    name = "Smart Turn v3.2"

    def __init__(self, models: ModelStore, patience: Patience) -> None:
        self._models = models
        self._patience = patience
        self._words = AdaptiveSilence(patience)
        self._session: OnnxSession | None = None
        self._extract: _Extractor | None = None

    def load(self) -> None:
        """Load the weights, from this machine only, and run them once.

        Raises:
            ConfigError: they, or the libraries, are missing or broken.
        """
        path = self._models.checked_path(MODEL) / FILE
        try:
            from faster_whisper.feature_extractor import FeatureExtractor
        except ImportError as error:
            msg = f"{self.name} needs the speech-to-text extra: {install_command('stt')}"
            raise ConfigError(msg) from error
        remedy = f"antiphon models fetch {MODEL}"
        self._session = open_session(path, name=self.name, extra="stt", remedy=remedy)
        self._extract = FeatureExtractor(chunk_length=CONTEXT_S)
        self.by_sound(Pcm.silence(500, RATE_HZ))

    def by_sound(self, speech: Pcm) -> float | None:
        """See `TurnDetector`.

        Raises:
            EngineError: the model is not loaded, or failed.
        """
        if self._session is None or self._extract is None:
            raise EngineError("Smart Turn is not loaded.", retryable=True)
        sound = speech.to_float32()[-_SAMPLES:]
        sound = np.pad(sound, (_SAMPLES - len(sound), 0))
        sound = (sound - sound.mean()) / np.sqrt(sound.var() + _QUIET_VARIANCE)
        features = self._extract(sound, padding=0).astype(np.float32)
        (found,) = self._session.run({"input_features": features[None]})
        return float(found.reshape(-1)[0])

    def patience_ms(self, text: str, done: float | None) -> int:
        """See `TurnDetector`."""
        if done is None:
            return self._words.patience_ms(text, done)
        if is_open(text):
            return self._patience.long
        if done >= DONE:
            return self._patience.short
        if done >= LIKELY and is_closed(text):
            return (self._patience.short + self._patience.medium) // 2
        return self._patience.medium
