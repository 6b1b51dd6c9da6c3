"""Whisper on this machine, by faster-whisper and CTranslate2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime import CancelFlag
from numpy.typing import NDArray

from antiphon_stt.service import Hints
from antiphon_stt.transcript import Segment, Transcript

if TYPE_CHECKING:
    from typing import Protocol

    class _WhisperSegment(Protocol):
        text: str
        tokens: list[int]
        avg_logprob: float
        no_speech_prob: float
        compression_ratio: float

    class _WhisperInfo(Protocol):
        language: str

    class _InnerModel(Protocol):
        is_multilingual: bool

    class _WhisperModel(Protocol):
        """The part of faster_whisper.WhisperModel in use here; it ships no types."""

        model: _InnerModel
        supported_languages: list[str]

        def transcribe(
            self, audio: NDArray[np.float32], **options: object
        ) -> tuple[Iterable[_WhisperSegment], _WhisperInfo]: ...


RATE_HZ = 16_000
WARM_UP_MS = 500

_MODEL_FILES = ("config.json", "model.bin", "tokenizer.json")
# What CTranslate2 and faster-whisper raise for weights or input that they cannot work with.
_WHISPER_ERRORS = (RuntimeError, ValueError, KeyError, IndexError, TypeError, OSError, MemoryError)


class FasterWhisper:
    """Whisper by CTranslate2 on the CPU; see `Transcriber`. All methods block.

    Args:
        models: where the weights are.
        model: `tiny.en` (the catalogue's `whisper-tiny.en`), a folder, or a hub name `org/repo`.
        language: what will be spoken; checked against the model when it is loaded.
        compute_type: CTranslate2's number format.
        beam_size: search width.
        threads: compute threads.
    """

    def __init__(
        self,
        models: ModelStore,
        model: str,
        *,
        language: str | None = None,
        compute_type: str = "int8",
        beam_size: int = 1,
        threads: int = 1,
    ) -> None:
        self.name = f"faster-whisper {Path(model).name} {compute_type}"
        is_named = "/" in model or model.startswith("whisper-")
        self._model_name = model if is_named else f"whisper-{model}"
        self._models = models
        self._language = language
        self._compute_type = compute_type
        self._beam_size = beam_size
        self._threads = threads
        self._model: _WhisperModel | None = None

    def load(self) -> None:
        """Load the weights, from this machine only, and run them once.

        Raises:
            ConfigError: they are missing or broken, or do not know the language.
        """
        folder = self._models.checked_path(self._model_name)
        for name in _MODEL_FILES:
            if not (folder / name).is_file():
                raise self._broken(folder, f"{name} is missing")
        model = self._open(folder)
        if self._language and self._language not in model.supported_languages:
            msg = (
                f"The model {self._model_name} does not know the language {self._language!r}: "
                "set ANTIPHON_STT_MODEL=base for other languages than English."
            )
            raise ConfigError(msg)
        try:
            _run(model, _warm_up_sound(), language=self._language or "en", max_new_tokens=4)
        except _WHISPER_ERRORS as error:
            raise self._broken(folder, "they do not run") from error
        self._model = model

    def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript:
        """See `Transcriber`. When cancelled, what was made out so far is returned.

        Raises:
            EngineError: the model is not loaded or failed.
        """
        model = self._model
        if model is None:
            raise EngineError("The speech model is not loaded.", retryable=True)
        try:
            return _run(
                model,
                pcm,
                cancelled=hints.cancelled,
                language=hints.language if model.model.is_multilingual else "en",
                initial_prompt=hints.prompt or None,
                beam_size=self._beam_size,
            )
        except _WHISPER_ERRORS as error:
            raise EngineError("The speech model failed on this recording.") from error

    def close(self) -> None:
        """Free the memory."""
        self._model = None

    def _open(self, folder: Path) -> _WhisperModel:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            msg = "faster-whisper is not installed: pip install 'antiphon[stt]'"
            raise ConfigError(msg) from error
        self._check_tokenizer(folder)
        try:
            model: _WhisperModel = WhisperModel(
                str(folder),
                device="cpu",
                compute_type=self._compute_type,
                cpu_threads=self._threads,
                local_files_only=True,
            )
        except _WHISPER_ERRORS as error:
            raise self._broken(folder, "they cannot be loaded") from error
        return model

    def _check_tokenizer(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        try:
            Tokenizer.from_file(str(folder / "tokenizer.json"))
        # tokenizers raises a bare Exception for a file that it cannot read.
        except Exception as error:
            raise self._broken(folder, "tokenizer.json cannot be read") from error

    def _broken(self, folder: Path, why: str) -> ConfigError:
        mend = f"run `antiphon models fetch {self._model_name}`"
        if not folder.is_relative_to(self._models.root):
            mend = (
                "put them there again, or run `antiphon models fetch whisper-tiny.en` and set "
                "ANTIPHON_STT_MODEL=tiny.en"
            )
        return ConfigError(f"The weights of {self._model_name} are broken ({why}): {mend}.")


def _run(
    model: _WhisperModel, pcm: Pcm, *, cancelled: CancelFlag | None = None, **options: object
) -> Transcript:
    """Transcribe greedily, once, without timestamps: the cheapest way for commands.

    A single temperature, because falling back to others costs up to 5 s on sound without words.
    """
    found, info = model.transcribe(
        pcm.to_float32(),
        temperature=0.0,
        without_timestamps=True,
        condition_on_previous_text=False,
        **{"beam_size": 1, **options},
    )
    segments = []
    for segment in found:
        segments.append(
            Segment(
                text=segment.text,
                avg_logprob=segment.avg_logprob,
                no_speech_prob=segment.no_speech_prob,
                compression_ratio=segment.compression_ratio,
                tokens=len(segment.tokens),
            )
        )
        if cancelled:
            break
    return Transcript(tuple(segments), info.language)


def _warm_up_sound() -> Pcm:
    """A hum with the pitch of a voice; silence would end before the decoder ran."""
    time_s = np.arange(WARM_UP_MS * RATE_HZ // 1000) / RATE_HZ
    return Pcm.from_float32(0.2 * np.sin(2 * np.pi * 140.0 * time_s), RATE_HZ)
