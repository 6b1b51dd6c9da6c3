"""Speech for tests, by Piper's real voice."""

from __future__ import annotations

from functools import cache

import numpy as np
from antiphon_audio import Pcm, resample
from antiphon_audio.microphone import RATE_HZ
from antiphon_models import ModelStore, default_root
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig

VOICE = "en_US-joe-medium"


@cache
def _voice() -> PiperVoice:
    folder = ModelStore(default_root()).ensure(f"piper-{VOICE}")
    return PiperVoice.load(folder / f"{VOICE}.onnx")


@cache
def say(text: str, pace: float = 1.0) -> NDArray[np.int16]:
    """Return `text` spoken, at 16 kHz; a pace above 1 is slower."""
    chunks = list(_voice().synthesize(text, SynthesisConfig(length_scale=pace)))
    sound = np.concatenate([np.frombuffer(chunk.audio_int16_bytes, np.int16) for chunk in chunks])
    return resample(Pcm(sound, chunks[0].sample_rate), RATE_HZ).samples


def last_loud(sound: NDArray[np.int16]) -> int:
    """Return the last sample that can be heard."""
    return int(np.nonzero(np.abs(sound.astype(np.int32)) > 700)[0][-1])
