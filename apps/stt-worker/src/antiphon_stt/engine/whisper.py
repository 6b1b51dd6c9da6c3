"""Whisper on this machine, by faster-whisper and CTranslate2."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime import CancelFlag, install_command
from numpy.typing import NDArray

from antiphon_stt.transcriber import Hints
from antiphon_stt.transcript import MAX_COMPRESSION_RATIO, Segment, Transcript

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

    class _Generated(Protocol):
        sequences_ids: list[list[int]]
        scores: list[float]
        no_speech_prob: float

    class _InnerModel(Protocol):
        is_multilingual: bool

        def generate(
            self, features: object, prompts: list[list[int]], **options: object
        ) -> list[_Generated]: ...

    class _WhisperModel(Protocol):
        """The part of faster_whisper.WhisperModel in use here; it ships no types."""

        model: _InnerModel
        hf_tokenizer: object
        supported_languages: list[str]

        def feature_extractor(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]: ...

        def encode(self, features: NDArray[np.float32]) -> object: ...

        def transcribe(
            self, audio: NDArray[np.float32], **options: object
        ) -> tuple[Iterable[_WhisperSegment], _WhisperInfo]: ...


RATE_HZ = 16_000
WARM_UP_MS = 500
CONTEXT_S = 20.0
DRAFT_CONTEXT_S = 12.0
_FRAMES_S = 100
_SPARE_FRAMES = 200
_MAX_TOKENS_S = 12
_MAX_PROMPT_TOKENS = 200

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
        if hints.cancelled or not len(pcm):
            return Transcript(())
        language = hints.language if model.model.is_multilingual else "en"
        try:
            short = language and _run_short(
                model, pcm, hints, language=language, beam_size=self._beam_size
            )
            return short or _run(
                model,
                pcm,
                cancelled=hints.cancelled,
                language=language,
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
            msg = f"faster-whisper is not installed: {install_command('stt')}"
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


def _run_short(
    model: _WhisperModel, pcm: Pcm, hints: Hints, *, language: str, beam_size: int
) -> Transcript | None:
    """Transcribe with a shorter context than Whisper's 30 s, which costs so much less.

    Whisper is trained on 30 s, padded with silence, and spends the same on a word as on a minute's
    half. Its encoder takes less as well: with 20 s the word error rate on 40 commands and 5
    recordings stayed the same (0.066 against 0.073) at 0.44 of the cost, with 15 s it lost first
    words (16 of 90 commands, with 20 s 13), and below 12 s it begins to repeat itself. What follows
    is padded with zeros, as faster-whisper does: with the spectrum of silence 15 s are as good,
    but behind a wake phrase the last word suffers ("kitchen life").

    Returns:
        None if it does not fit, or comes out as Whisper's endless repetition does.
    """
    from faster_whisper.tokenizer import Tokenizer

    features = model.feature_extractor(pcm.to_float32())
    frames = round((DRAFT_CONTEXT_S if hints.is_draft else CONTEXT_S) * _FRAMES_S)
    if features.shape[-1] + _SPARE_FRAMES > frames:
        return None
    padded = np.pad(features, ((0, 0), (0, frames - features.shape[-1])))
    tokenizer = Tokenizer(
        model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language
    )
    start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    if hints.prompt:
        words = tokenizer.encode(f" {hints.prompt.strip()}")[-_MAX_PROMPT_TOKENS:]
        start = [tokenizer.sot_prev, *words, *start]
    opening = tokenizer.encode(f" {hints.opening}") if hints.opening else []
    start += opening
    (found,) = model.model.generate(
        model.encode(padded),
        [start],
        beam_size=beam_size,
        max_length=len(start) + _MAX_TOKENS_S * int(pcm.duration_ms / 1000.0 + 2),
        return_scores=True,
        return_no_speech_prob=True,
    )
    tokens = found.sequences_ids[0][len(opening) :]
    said = tokenizer.decode(tokens)
    squeezed = len(said.encode()) / len(zlib.compress(said.encode()))
    if squeezed > MAX_COMPRESSION_RATIO:
        return None
    logprob = found.scores[0] * len(tokens) / (len(tokens) + 1)
    segment = Segment(said, logprob, found.no_speech_prob, squeezed, len(tokens))
    return Transcript((segment,) if said.strip() else (), language)


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
