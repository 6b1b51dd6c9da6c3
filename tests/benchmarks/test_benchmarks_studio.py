"""The studio with sox, espeak-ng and recorded clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenes import PER_MS, Author, gaps_ms
from studio import NOISES, RATE_HZ, Noise, Studio, Voice, level_db

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", NOISES)
def test_every_noise_has_its_length_and_level(kind: Noise, tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    made = studio.noise(kind, 2.0, dbfs=-35)
    assert len(made) == 2 * RATE_HZ
    assert level_db(made) == pytest.approx(-35, abs=0.3)
    assert np.array_equal(Studio(tmp_path / "again").noise(kind, 2.0, dbfs=-35), made)


def test_speech_is_made_once_and_told_apart_by_voice(tmp_path: Path) -> None:
    author = Author(Studio(tmp_path))
    slow = author.in_one_breath("what time is it", Voice("en-us", 0.9, 100))
    assert len(list(tmp_path.iterdir())) == 2
    wake, speech = slow.marks
    assert (wake.what, wake.start_ms, speech.what) == ("wake", 0, "speech")
    assert wake.end_ms == speech.start_ms
    fast = author.in_one_breath("what time is it", Voice("en-us", 1.3, 100))
    assert fast.duration_ms < slow.duration_ms
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = Author(Studio(tmp_path)).in_one_breath("what time is it", Voice("en-us", 0.9, 100))
    assert np.array_equal(again.samples, slow.samples)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_an_utterance_with_a_pause_is_one(tmp_path: Path) -> None:
    author = Author(Studio(tmp_path))
    whole = author.hesitating(["turn on", "the lamp"], 600, Voice("en-us"))
    (mark,) = whole.marks
    assert (mark.text, mark.start_ms, mark.end_ms) == ("turn on the lamp", 0, whole.duration_ms)
    first = author.speech("turn on", Voice("en-us"))
    pause = whole.samples[first.duration_ms * PER_MS : (first.duration_ms + 600) * PER_MS]
    assert not pause.any()


def test_a_book_is_read_with_pauses_and_without_the_wake_phrase(tmp_path: Path) -> None:
    read = Author(Studio(tmp_path)).reading(20)
    assert read.duration_ms >= 20_000
    assert not read.of("wake")
    assert all(gap >= 0 for gap in gaps_ms(read.marks))
    assert "nabu" not in " ".join(mark.text for mark in read.marks)
