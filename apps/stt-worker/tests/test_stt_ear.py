from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from antiphon_audio import Pcm, Span, wav
from antiphon_stt.ear import RATE_HZ, Ear, speech_only

pytestmark = pytest.mark.unit


class ScriptedGate:
    """Finds what it was told to find, and notes the lengths that it was asked about."""

    def __init__(self, *spans: Span) -> None:
        self.found = list(spans)
        self.asked_ms: list[float] = []

    def spans(self, pcm: Pcm) -> list[Span]:
        self.asked_ms.append(pcm.duration_ms)
        return self.found


def ear(gate: ScriptedGate | None = None, *, max_audio_s: float = 120.0) -> Ear:
    chosen = gate or ScriptedGate()
    return Ear(lambda: chosen, max_audio_s=max_audio_s, min_audio_ms=200, silence_dbfs=-45.0)


def noise(duration_ms: int, amplitude: float, rate_hz: int = RATE_HZ) -> Pcm:
    count = duration_ms * rate_hz // 1000
    samples = np.random.default_rng(7).uniform(-amplitude, amplitude, count)
    return Pcm.from_float32(samples, rate_hz)


def test_speech_is_handed_on_with_its_surroundings_and_figures() -> None:
    heard = ear(ScriptedGate(Span(1_000, 1_500))).listen(wav.wrap(noise(3_000, 0.1)))
    assert heard.rejected is None
    assert (heard.audio_ms, heard.speech_ms) == (3_000, 500)
    assert heard.speech.duration_ms == 500 + 2 * 400
    assert heard.speech.rate_hz == RATE_HZ
    assert heard.decode_ms > 0


def test_any_rate_is_brought_to_16_khz() -> None:
    gate = ScriptedGate(Span(0, 1_000))
    heard = ear(gate).listen(wav.wrap(noise(1_000, 0.1, rate_hz=22_050)))
    assert heard.speech.rate_hz == RATE_HZ
    assert gate.asked_ms[-1] == pytest.approx(1_000, abs=1)


def test_long_pauses_are_shortened_and_short_ones_kept() -> None:
    pcm = Pcm(np.arange(10_000, dtype=np.int16), 1_000)
    speech = speech_only(
        pcm, [Span(100, 200), Span(300, 400), Span(5_000, 5_100)], pad_ms=150
    ).samples
    expected = np.concatenate((np.arange(550), np.arange(4_850, 5_250)))
    np.testing.assert_array_equal(speech, expected)


def test_speech_at_the_end_is_not_cut_or_padded_beyond_the_sound() -> None:
    pcm = Pcm(np.arange(1_000, dtype=np.int16), 1_000)
    speech = speech_only(pcm, [Span(900, 1_000)], pad_ms=400).samples
    np.testing.assert_array_equal(speech, np.arange(500, 1_000))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not audio at all",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x00" * 5_000,
        b"fLaC" + b"\xff" * 99,
    ],
)
def test_what_is_no_audio_is_undecodable(data: bytes) -> None:
    heard = ear().listen(data)
    assert heard.rejected == "undecodable"
    assert heard.detail.endswith(".")


def test_ten_minutes_are_too_long_and_never_reach_the_gate() -> None:
    recording = io.BytesIO()
    soundfile.write(recording, np.zeros(600 * 8_000, np.int16), 8_000, format="FLAC")
    gate = ScriptedGate()
    heard = ear(gate).listen(recording.getvalue())
    assert heard.rejected == "too_long"
    assert "120 seconds" in heard.detail
    assert gate.asked_ms == []
    # The header says it: 600 s are not unpacked for this.
    assert heard.decode_ms < 100


def test_a_click_is_too_short() -> None:
    heard = ear().listen(wav.wrap(noise(150, 0.5)))
    assert (heard.rejected, heard.audio_ms) == ("too_short", 150)
    assert "150 ms" in heard.detail


@pytest.mark.parametrize(
    ("amplitude", "reason"), [(0.0, "silence"), (0.005, "silence"), (0.3, "noise")]
)
def test_sound_without_speech_is_silence_or_noise_by_its_level(
    amplitude: float, reason: str
) -> None:
    heard = ear().listen(wav.wrap(noise(1_000, amplitude)))
    assert heard.rejected == reason
    assert heard.audio_ms == 1_000
    assert heard.detail


def test_the_gate_is_opened_once_and_warmed_up() -> None:
    gate = ScriptedGate()
    opened = []

    def open_gate() -> ScriptedGate:
        opened.append(gate)
        return gate

    listening = Ear(open_gate, max_audio_s=1, min_audio_ms=0, silence_dbfs=-45)
    listening.load()
    listening.load()
    assert (len(opened), gate.asked_ms) == (1, [500.0])
