"""Scenes: that what they say about their sound is true."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import PER_MS, Mark, Scene, gaps_ms, joined, silence
from studio import RATE_HZ, amplified, at_snr, level_db, trimmed

pytestmark = pytest.mark.unit


def beep(length_ms: int, text: str = "beep") -> Scene:
    time_s = np.arange(length_ms * PER_MS) / RATE_HZ
    samples = (8_000 * np.sin(2 * np.pi * 500 * time_s)).astype(np.int16)
    return Scene(samples, (Mark("speech", text, 0, length_ms),))


def test_marks_move_with_what_stands_before_them() -> None:
    scene = joined([silence(300), beep(200, "one"), silence(150), beep(100, "two")])
    assert [(mark.text, mark.start_ms, mark.end_ms) for mark in scene.marks] == [
        ("one", 300, 500),
        ("two", 650, 750),
    ]
    assert gaps_ms(scene.marks) == [150]
    assert scene.speech_end_ms == scene.duration_ms == 750
    assert not scene.samples[500 * PER_MS : 650 * PER_MS].any()
    assert level_db(scene.samples[650 * PER_MS :]) > -20


def test_sound_is_trimmed_to_what_is_loud() -> None:
    scene = joined([silence(200), beep(400), silence(300)])
    hiss = np.random.default_rng(1).normal(0, 10, len(scene.samples)).astype(np.int16)
    assert len(trimmed(scene.samples + hiss)) == 400 * PER_MS
    assert len(trimmed(silence(100).samples)) == 0


@pytest.mark.parametrize("snr_db", [0, 12, 20])
def test_noise_is_mixed_at_the_ratio_that_was_asked_for(snr_db: float) -> None:
    speech = beep(2_000).samples
    noise = np.random.default_rng(2).normal(0, 3_000, 16_000).astype(np.int16)
    both = at_snr(speech, noise, snr_db, speech_db=level_db(speech))
    found = level_db(speech) - level_db(both - speech)
    assert found == pytest.approx(snr_db, abs=0.2)


def test_what_gets_too_loud_is_clipped() -> None:
    assert abs(amplified(beep(10).samples, 40).astype(int)).max() == 32_768
