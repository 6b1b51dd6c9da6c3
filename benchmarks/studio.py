"""Sound made to order for tests and benchmarks: speech in several voices, noise, babble, music.

All of it is 16 kHz mono, made once and kept in the user's cache folder under the hash of what it
was made from. Speech is trimmed by its energy, so that where it begins and ends is known.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from antiphon_audio import Pcm, resample, wav
from antiphon_contracts import ConfigError
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_tts.engine import piper
from antiphon_tts.settings import TtsSettings
from numpy.typing import NDArray
from platformdirs import user_cache_path

RATE_HZ = 16_000
RECIPE = 1
"""Part of every cached sound's name: raise it when a recipe changes."""
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
SPEECH_DBFS = -23.0
"""Level at which speech is made: a person a metre from the microphone."""
TRIM_DB = 35.0
"""Windows this far under the loudest one at either end are no speech."""
TRIM_WINDOW = RATE_HZ // 100

Noise = Literal["white", "pink", "brown", "babble", "tones", "music"]
NOISES: tuple[Noise, ...] = ("white", "pink", "brown", "babble", "tones", "music")
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        name: `piper`, or a voice of espeak-ng such as `en-us+f3`.
        speed: 1.0 is the voice's own.
        cents: shift of pitch, in hundredths of a semitone; makes another person of a voice.
    """

    name: str = "piper"
    speed: float = 1.0
    cents: int = 0


PIPER = Voice()
ESPEAK = Voice("en-us")


def level_db(samples: Samples) -> float:
    """Return the level of 16-bit sound in dB of full scale; -120 is silence."""
    power = float(np.mean(np.square(samples.astype(np.float64) / 32768))) if len(samples) else 0.0
    return 10 * float(np.log10(max(power, 1e-12)))


def amplified(samples: Samples, gain_db: float) -> Samples:
    """Return the sound louder by so much; what is too loud is clipped."""
    scaled = samples.astype(np.float64) * 10 ** (gain_db / 20)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


def added(one: Samples, other: Samples) -> Samples:
    """Return both together, as long as the first."""
    both = one.astype(np.int32)
    length = min(len(one), len(other))
    both[:length] += other[:length]
    return np.clip(both, -32768, 32767).astype(np.int16)


def at_snr(speech: Samples, noise: Samples, snr_db: float, *, speech_db: float) -> Samples:
    """Return speech with noise under it; the noise is repeated as often as needed."""
    times = -(-len(speech) // len(noise))
    under = np.tile(noise, times)[: len(speech)]
    return added(speech, amplified(under, speech_db - snr_db - level_db(noise)))


def trimmed(samples: Samples) -> Samples:
    """Return sound without what is quiet before and after it."""
    whole = samples[: len(samples) // TRIM_WINDOW * TRIM_WINDOW].reshape(-1, TRIM_WINDOW)
    power = np.mean(np.square(whole.astype(np.float64)), axis=1)
    loud = np.flatnonzero(power > power.max(initial=0) / 10 ** (TRIM_DB / 10))
    if not len(loud):
        return samples[:0]
    return samples[loud[0] * TRIM_WINDOW : (loud[-1] + 1) * TRIM_WINDOW]


class Studio:
    """Makes sound, or finds it where it was made before.

    Args:
        folder: the cache; None is the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or user_cache_path("antiphon") / "bench-sound"
        self._piper: Any = None

    # Speech

    def speech(self, text: str, voice: Voice = PIPER) -> Samples:
        """Return a text as a voice speaks it, without silence around it.

        Raises:
            ConfigError: the voice is not installed.
        """
        made_from = {"speech": text, **asdict(voice)}
        return self._cached(made_from, lambda: self._spoken(text, voice))

    def _spoken(self, text: str, voice: Voice) -> Samples:
        samples = self._by_piper(text, voice) if voice.name == "piper" else _by_espeak(text, voice)
        if voice.cents:
            samples = _run_sox(samples, "pitch", str(voice.cents))
        samples = trimmed(samples)
        return amplified(samples, SPEECH_DBFS - level_db(samples))

    def _by_piper(self, text: str, voice: Voice) -> Samples:
        if self._piper is None:
            models = ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
            self._piper = piper(TtsSettings(), models)
            self._piper.load()
        pieces = list(self._piper.synthesize(text, voice=None, speed=voice.speed))
        together = np.concatenate([piece.samples for piece in pieces])
        return resample(Pcm(together, pieces[0].rate_hz), RATE_HZ).samples

    def recorded(self) -> list[tuple[Samples, str]]:
        """Return LibriVox clips of a person who reads, each with its transcript.

        Raises:
            ConfigError: they are not installed.
        """
        try:
            lines = (LIBRIVOX / "transcription").read_text().splitlines()
            found = [_clip(line) for line in lines if line.strip()]
        except OSError as error:
            msg = f"{LIBRIVOX} cannot be read: apt install pocketsphinx-testdata"
            raise ConfigError(msg) from error
        return [
            (amplified(samples, SPEECH_DBFS - level_db(samples)), text) for samples, text in found
        ]

    # Anything else

    def noise(self, kind: Noise, length_s: float, *, dbfs: float = -40.0) -> Samples:
        """Return noise of a kind at a level.

        Raises:
            ConfigError: sox or the recordings are not installed.
        """
        made = self._cached(
            {"noise": kind, "length_s": length_s}, lambda: self._make(kind, length_s)
        )
        return amplified(made, dbfs - level_db(made))

    def _make(self, kind: Noise, length_s: float) -> Samples:
        length = round(length_s * RATE_HZ)
        if kind == "babble":
            return self._babble(length)
        if kind == "tones":
            return _tones(length)
        if kind == "music":
            return _music(length)
        # -R has sox make the same noise each time.
        effect = ("synth", f"{length_s}", f"{kind}noise", "vol", "0.25")
        return _sox("-R", "-n", "-r", f"{RATE_HZ}", "-c", "1", *RAW, "-", *effect)

    def _babble(self, length: int, voices: int = 6) -> Samples:
        """Six readers at once: nobody can be understood."""
        clips = [samples for samples, _ in self.recorded()]
        random = np.random.default_rng(4)
        total = np.zeros(length, dtype=np.float64)
        for _ in range(voices):
            order = random.permutation(len(clips))
            line = np.concatenate([clips[index] for index in order])
            line = np.tile(line, -(-length // len(line)) + 1)
            begin = int(random.integers(len(line) - length))
            total += line[begin : begin + length]
        return np.clip(total / voices, -32768, 32767).astype(np.int16)

    def _cached(self, made_from: dict[str, Any], make: Callable[[], Samples]) -> Samples:
        described = json.dumps({"recipe": RECIPE, **made_from}, sort_keys=True)
        path = self._folder / f"{hashlib.sha256(described.encode()).hexdigest()[:32]}.wav"
        if path.exists():
            return wav.read(path).samples
        samples = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as part:
            part.write(wav.wrap(Pcm(samples, RATE_HZ)))
        Path(part.name).replace(path)  # whole, whoever else makes it at the same time
        return samples


# Programmes

RAW = ("-t", "raw", "-b", "16", "-e", "signed-integer")


def _sox(*arguments: str, sound: bytes = b"") -> Samples:
    try:
        done = subprocess.run(["sox", *arguments], input=sound, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        msg = "sox is missing or failed: apt install sox"
        raise ConfigError(msg) from error
    return np.frombuffer(done.stdout, dtype="<i2").astype(np.int16)


def _run_sox(samples: Samples, *effect: str) -> Samples:
    form = ("-r", f"{RATE_HZ}", "-c", "1", *RAW)
    return _sox(*form, "-", *form, "-", *effect, sound=samples.astype("<i2").tobytes())


def _by_espeak(text: str, voice: Voice) -> Samples:
    pace = round(165 * voice.speed)
    try:
        done = subprocess.run(
            ["espeak-ng", "-v", voice.name, "-s", str(pace), "--stdin", "--stdout"],
            input=text.encode(),
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        msg = "espeak-ng is missing or failed: apt install espeak-ng"
        raise ConfigError(msg) from error
    # It writes to a pipe: the sizes in its header are not the sound's.
    sound = np.frombuffer(done.stdout[44:], dtype="<i2").astype(np.int16)
    return resample(Pcm(sound, 22_050), RATE_HZ).samples


def _clip(line: str) -> tuple[Samples, str]:
    text, _, name = line.removesuffix(")").rpartition("(")
    words = text.replace("<s>", "").replace("</s>", "").strip()
    return trimmed(wav.unwrap((LIBRIVOX / f"{name}.wav").read_bytes()).samples), words


# Sound that nobody makes with a mouth


def _tones(length: int) -> Samples:
    """Beeps, sweeps and a telephone's two tones, with silence between them."""
    out = np.zeros(length)
    random = np.random.default_rng(5)
    at = 0
    while at < length:
        count = min(int(RATE_HZ * random.uniform(0.1, 1.5)), length - at)
        time_s = np.arange(count) / RATE_HZ
        low, high = np.sort(random.uniform(120, 3_500, 2))
        sweep = low * time_s + (high - low) * time_s**2 / (2 * max(time_s[-1], 0.01))
        choices = (
            np.sin(2 * np.pi * low * time_s),
            np.sin(2 * np.pi * sweep),
            (np.sin(2 * np.pi * 440 * time_s) + np.sin(2 * np.pi * 480 * time_s)) / 2,
        )
        out[at : at + count] = choices[int(random.integers(len(choices)))]
        at += count + int(RATE_HZ * random.uniform(0.05, 0.8))
    return (out * 8_000).astype(np.int16)


SCALE = (0, 2, 4, 5, 7, 9, 11)


def _music(length: int) -> Samples:
    """Chords, a tune and a drum at 100 beats a minute."""
    out = np.zeros(length)
    random = np.random.default_rng(6)
    beat = int(RATE_HZ * 0.6)
    for number, at in enumerate(range(0, length, beat)):
        count = min(beat, length - at)
        time_s = np.arange(count) / RATE_HZ
        root = (0, 5, 7, 3)[number // 4 % 4]
        notes = [root, root + 4, root + 7, 12 + SCALE[int(random.integers(len(SCALE)))]]
        for semitone in notes:
            base_hz = 196 * 2 ** (semitone / 12)
            for overtone in (1, 2, 3, 4):
                wave = np.sin(2 * np.pi * base_hz * overtone * time_s)
                out[at : at + count] += wave * np.exp(-2.5 * time_s) / overtone**1.5
        hit = random.normal(0, 1, count) * np.exp(-40 * time_s)
        out[at : at + count] += hit * (1.5 if number % 2 else 0.7)
    return (out / max(1.0, float(np.abs(out).max())) * 16_000).astype(np.int16)
