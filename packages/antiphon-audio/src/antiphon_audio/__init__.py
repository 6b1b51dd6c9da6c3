"""Sound: PCM, WAV, decoding, resampling, frames and voice activity."""

from __future__ import annotations

from antiphon_audio import wav
from antiphon_audio.decoding import MAX_BYTES, MAX_DURATION_S, AudioTooLong, decode
from antiphon_audio.frames import SILENCE_DBFS, level_dbfs, split
from antiphon_audio.microphone import Place, StreamReader, Stretch, place_of, wrap_frame
from antiphon_audio.pcm import Pcm
from antiphon_audio.resampling import Resampler, resample
from antiphon_audio.vad import WINDOW_MS, Span, Vad, VadStream, speech_spans

__all__ = [
    "MAX_BYTES",
    "MAX_DURATION_S",
    "SILENCE_DBFS",
    "WINDOW_MS",
    "AudioTooLong",
    "Pcm",
    "Place",
    "Resampler",
    "Span",
    "StreamReader",
    "Stretch",
    "Vad",
    "VadStream",
    "decode",
    "level_dbfs",
    "place_of",
    "resample",
    "speech_spans",
    "split",
    "wav",
    "wrap_frame",
]
