"""Piper, the neural voice.

piper-tts is GPL-3.0-or-later. It is an optional extra, and this module is the only one that imports
it; a process that does so is under the GPL as a whole. Everything else of Antiphon is Apache-2.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime.extras import install_command

from antiphon_tts.settings import TtsSettings

log = structlog.get_logger(__name__)

_WARM_UP = "Yes, I am here."
_RATE_HZ = 22_050
_MAX_VOICES = 3
# What the bus may name: an installed voice, never a path.
_VOICE = re.compile(r"[a-z]{2,3}_[A-Z]{2}-[a-z0-9_]{1,40}-(x_low|low|medium|high)")


def piper(settings: TtsSettings, models: ModelStore) -> Piper:
    """Return Piper with the voice `settings.voice`; nothing is loaded yet."""
    return Piper(settings.voice, models, threads=settings.threads)


class _Session:
    """An ONNX session whose runs can be told to stop.

    Args:
        session: runs the model.
        options: returns those of the step under way.
    """

    def __init__(self, session: Any, options: Callable[[], Any]) -> None:
        self._session = session
        self._options = options

    def run(self, outputs: Any, inputs: Any) -> Any:
        """Run the model; raises `Fail` if it is told to stop."""
        return self._session.run(outputs, inputs, self._options())


class Piper:
    """See `antiphon_tts.voice.Synthesizer`. One piece of sound for each sentence.

    Args:
        voice: name of an installed voice, or the path of an `.onnx` file with its `.onnx.json`.
        models: where voices are installed, as `piper-<voice>`.
        threads: compute threads.
    """

    def __init__(self, voice: str, models: ModelStore, *, threads: int = 1) -> None:
        self.name = f"piper {Path(voice).stem if voice.endswith('.onnx') else voice}"
        self.rate_hz = _RATE_HZ
        self.language = ""
        self._own = voice
        self._models = models
        self._threads = threads
        self._voices: dict[str, Any] = {}
        self._running: Any = None  # the options of the step under way

    def load(self) -> None:
        """Load the voice and speak a sentence into the void: the first one costs the most.

        Raises:
            ConfigError: Piper or the voice is not installed.
            EngineError: the voice's files do not load.
        """
        loaded = self._voices[self._own] = self._load(self._own)
        self.rate_hz = loaded.config.sample_rate
        self.language = loaded.config.espeak_voice.partition("-")[0]
        for _ in self.synthesize(_WARM_UP, voice=None, speed=1.0):
            pass

    def close(self) -> None:
        """Give back the voices' memory."""
        self._voices.clear()

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        """Yield the sound of each sentence; a voice that is not installed is spoken by our own.

        Raises:
            EngineError: Piper failed, or was interrupted.
        """
        from onnxruntime import RunOptions
        from onnxruntime.capi.onnxruntime_pybind11_state import (
            Fail,
            InvalidArgument,
            RuntimeException,
        )
        from piper import SynthesisConfig

        spoken_by = self._find(voice)
        pace = SynthesisConfig(length_scale=spoken_by.config.length_scale / speed)
        try:
            for sentence in self._steps(spoken_by.synthesize(text, pace), RunOptions()):
                samples = np.asarray(sentence.audio_int16_array, dtype=np.int16)
                yield Pcm(samples, sentence.sample_rate)
        except (Fail, InvalidArgument, RuntimeException, RuntimeError, ValueError) as error:
            msg = f"Piper could not speak ({type(error).__name__})."
            raise EngineError(msg) from error

    def interrupt(self) -> None:
        """End what is being made now with EngineError, within some milliseconds."""
        running = self._running
        if running is not None:
            running.terminate = True

    def _steps(self, sentences: Iterator[Any], options: Any) -> Iterator[Any]:
        """Yield the sentences; only while one is made it can be interrupted."""
        while True:
            self._running = options
            try:
                sentence = next(sentences, None)
            finally:
                self._running = None
            if sentence is None:
                return
            yield sentence

    def _find(self, voice: str | None) -> Any:
        if voice is None or voice == self._own:
            return self._voices[self._own]
        if voice not in self._voices:
            self._voices[voice] = self._load_foreign(voice)
            while len(self._voices) > _MAX_VOICES:
                # Our own was the first to come in and stays.
                del self._voices[list(self._voices)[1]]
        return self._voices[voice]

    def _load_foreign(self, voice: str) -> Any:
        if not _VOICE.fullmatch(voice):
            log.warning("voice.not_available", detail="the name is not one of a Piper voice")
            return self._voices[self._own]
        try:
            return self._load(voice)
        except (ConfigError, EngineError) as error:
            log.warning("voice.not_available", detail=str(error))
            return self._voices[self._own]

    def _load(self, voice: str) -> Any:
        try:
            import onnxruntime
            from onnxruntime.capi.onnxruntime_pybind11_state import (
                Fail,
                InvalidGraph,
                InvalidProtobuf,
                NoSuchFile,
                RuntimeException,
            )
            from piper import PiperConfig, PiperVoice
        except ImportError as error:
            msg = f"piper-tts is not installed: {install_command('tts')}"
            raise ConfigError(msg) from error
        weights = self._weights(voice)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that wait in a spin take from others what they gain: two of them on a busy core
        # cost half as much again as two that sleep (305 to 227 ms of processor for a short answer).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            table = json.loads(weights.with_name(weights.name + ".json").read_text("utf-8"))
            session = onnxruntime.InferenceSession(
                str(weights), sess_options=options, providers=["CPUExecutionProvider"]
            )
            stoppable: Any = _Session(session, lambda: self._running)
            return PiperVoice(session=stoppable, config=PiperConfig.from_dict(table))
        except (
            *(Fail, InvalidGraph, InvalidProtobuf, NoSuchFile, RuntimeException),
            *(OSError, ValueError, KeyError, TypeError, AttributeError),
        ) as error:
            msg = f"the voice {weights.stem} does not load ({type(error).__name__}): fetch it again"
            raise EngineError(msg) from error

    def _weights(self, voice: str) -> Path:
        if voice.endswith(".onnx"):
            path = Path(voice).expanduser()
            if not path.is_file():
                msg = f"the voice {path} is no file; set voice to an installed one"
                raise ConfigError(msg)
            return path
        folder = self._models.checked_path(f"piper-{voice}")
        found = sorted(folder.glob("*.onnx"))
        if not found:
            msg = f"{folder} holds no .onnx file: fetch the voice again"
            raise ConfigError(msg)
        return found[0]
