"""Voice activity by Silero VAD v6, run on onnxruntime with one thread.

The weights are the ones that faster-whisper carries (`assets/silero_vad_v6.onnx`, MIT); they are
found without importing faster-whisper. The graph takes a whole row of windows at once and walks its
recurrent state through them, so that a recording costs about half of what single windows cost.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from antiphon_contracts.errors import ConfigError, ContractError
from antiphon_runtime.extras import install_command
from antiphon_runtime.onnx_session import OnnxSession, open_session
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from antiphon_audio.pcm import Pcm

RATE_HZ = 16_000
WINDOW_MS = 32
_WINDOW = 512
_CONTEXT = 64
_STATE_SHAPE = (1, 1, 128)
# 16 s a run: no faster beyond, and the graph's intermediate arrays stay small.
_BATCH_WINDOWS = 512
_ASSET = "silero_vad_v6.onnx"
_NAME = "Silero VAD"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech, milliseconds from the start of the sound."""

    start_ms: int
    end_ms: int


class Vad:
    """The loaded voice-activity model; safe to share between threads.

    Attributes:
        threshold: probability from which a window counts as speech.

    Raises:
        ConfigError: the weights or onnxruntime are not installed, or the weights do not load; the
            text says what mends it.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        # Pip leaves alone what it takes to be there: only so does it bring the file anew.
        remedy = f"{sys.executable} -m pip install --force-reinstall --no-deps faster-whisper"
        self._session = open_session(_asset_path(), name=_NAME, extra="stt", remedy=remedy)

    def probabilities(self, pcm: Pcm) -> NDArray[np.float32]:
        """Probability of speech for each 32 ms, shape (ceil(n / 512),); the end is zero-padded.

        Raises:
            ContractError: the sound is not at 16 kHz.
            EngineError: the model failed.
        """
        if pcm.rate_hz != RATE_HZ:
            raise ContractError(f"Voice detection wants {RATE_HZ} Hz: resample the sound first.")
        padding = -len(pcm.samples) % _WINDOW
        return self.stream().run(np.pad(pcm.to_float32(), (0, padding)))

    def spans(self, pcm: Pcm) -> list[Span]:
        """The stretches of speech in 16 kHz sound, cut at this model's threshold."""
        found = speech_spans(self.probabilities(pcm), threshold=self.threshold)
        # The last window is padded, the sound itself may end before it.
        end_ms = int(pcm.duration_ms)
        return [Span(span.start_ms, min(span.end_ms, end_ms)) for span in found]

    def stream(self) -> VadStream:
        """A fresh stream with its own recurrent state; one for each source of sound."""
        return VadStream(self._session)


class VadStream:
    """Voice activity of sound that arrives in pieces of any size. Made by `Vad.stream`."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, as for a new recording."""
        self._h = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._c = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)
        self._pending = np.zeros(0, dtype=np.int16)

    def push(self, samples: NDArray[np.int16]) -> list[float]:
        """Take 16 kHz samples, shape (n,); return one probability for each window completed."""
        pending = np.concatenate((self._pending, samples))
        whole = len(pending) // _WINDOW * _WINDOW
        self._pending = pending[whole:].copy()
        if not whole:
            return []
        return cast("list[float]", self.run(Pcm(pending[:whole], RATE_HZ).to_float32()).tolist())

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of whole windows: float32 in [-1, 1], length a multiple of 512."""
        step = _BATCH_WINDOWS * _WINDOW
        starts = range(0, len(samples), step)
        found = [self._run_batch(samples[start : start + step]) for start in starts]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)

    def _run_batch(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        # Each window is seen with the 64 samples before it.
        padded = np.concatenate((self._context, samples))
        windows = sliding_window_view(padded, _CONTEXT + _WINDOW)[::_WINDOW]
        inputs = {"input": np.ascontiguousarray(windows), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._session.run(inputs)
        self._context = padded[-_CONTEXT:].copy()
        return probabilities.reshape(-1)


def speech_spans(
    probabilities: Sequence[float] | NDArray[np.float32],
    *,
    threshold: float = 0.5,
    release: float | None = None,
    min_speech_ms: int = 96,
    min_silence_ms: int = 320,
    pad_ms: int = 128,
    window_ms: int = WINDOW_MS,
) -> list[Span]:
    """Stretches of speech, in order and without overlap, all inside the sound.

    Args:
        probabilities: one per window, as from `Vad.probabilities`.
        threshold: speech begins at a window of at least this probability.
        release: and goes on while it is at least this; 0.15 below the threshold by default, as in
            Silero's own reference code.
        min_speech_ms: shorter stretches are dropped (a click).
        min_silence_ms: shorter pauses are bridged (a breath).
        pad_ms: added at both ends, so that soft consonants are not cut.
        window_ms: length of a window.
    """
    release = threshold - 0.15 if release is None else release
    runs = _runs(probabilities, threshold, release)
    raw = [Span(start * window_ms, end * window_ms) for start, end in runs]
    bridged = _join(raw, max_gap_ms=min_silence_ms - 1)
    kept = [span for span in bridged if span.end_ms - span.start_ms >= min_speech_ms]
    end_ms = len(probabilities) * window_ms
    padded = [Span(max(0, s.start_ms - pad_ms), min(end_ms, s.end_ms + pad_ms)) for s in kept]
    return _join(padded, max_gap_ms=0)


def _runs(
    probabilities: Iterable[float], threshold: float, release: float
) -> list[tuple[int, int]]:
    """Window ranges [start, end) of speech with hysteresis."""
    runs: list[tuple[int, int]] = []
    start: int | None = None
    # A last window below any release closes a run that reaches the end.
    for index, probability in enumerate(itertools.chain(probabilities, (float("-inf"),))):
        if start is None:
            start = index if probability >= threshold else None
        elif probability < release:
            runs.append((start, index))
            start = None
    return runs


def _join(spans: Iterable[Span], *, max_gap_ms: int) -> list[Span]:
    joined: list[Span] = []
    for span in spans:
        if joined and span.start_ms - joined[-1].end_ms <= max_gap_ms:
            joined[-1] = Span(joined[-1].start_ms, span.end_ms)
        else:
            joined.append(span)
    return joined


def _asset_path() -> Path:
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "assets" / _ASSET
        if path.is_file():
            return path
    what = f"the weights of {_NAME} ({_ASSET} of faster-whisper) are missing"
    raise ConfigError(f"{what}: {install_command('stt')}")
