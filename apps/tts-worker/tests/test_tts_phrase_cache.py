from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm
from antiphon_tts.phrase_cache import MAX_CHARS, Phrase, PhraseCache

pytestmark = pytest.mark.unit

RATE_HZ = 22_050


def phrase(text: str = "Done.", **changes: object) -> Phrase:
    values = {"engine": "piper joe", "voice": None, "speed": 1.0, "text": text} | changes
    return Phrase(**values)  # type: ignore[arg-type]


def sound(level: int = 1_000, samples: int = 1_000) -> Pcm:
    return Pcm(np.full(samples, level, dtype=np.int16), RATE_HZ)


def say(cache: PhraseCache, *phrases: Phrase) -> None:
    for each in phrases:
        cache.keep(each, sound(len(each.text)))
        cache.keep(each, sound(len(each.text)))


def test_what_was_said_twice_is_there_the_third_time_and_after_a_restart(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, 1_000_000)
    cache.keep(phrase(), sound())
    assert cache.find(phrase()) is None
    assert not list(tmp_path.iterdir())
    cache.keep(phrase(), sound())
    assert cache.find(phrase()) == sound()
    assert PhraseCache(tmp_path, 1_000_000).find(phrase()) == sound()


@pytest.mark.parametrize(
    "other",
    [phrase("Done!"), phrase(voice="x"), phrase(speed=1.1), phrase(engine="espeak-ng")],
)
def test_another_text_voice_speed_or_engine_is_another_sound(tmp_path: Path, other: Phrase) -> None:
    cache = PhraseCache(tmp_path, 1_000_000)
    say(cache, phrase())
    assert cache.find(other) is None


def test_what_was_not_said_for_longest_goes_when_it_is_full(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, 5_000)  # two sounds of 2,044 bytes
    one, two, three = phrase("one"), phrase("two"), phrase("three")
    say(cache, one, two)
    assert cache.find(one) is not None
    say(cache, three)
    assert cache.find(two) is None
    assert cache.find(one) is not None
    assert cache.find(three) is not None
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5_000


def test_nothing_readable_is_in_a_name_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path / "phrases", 1_000_000)
    say(cache, phrase("My secret is out"))
    (path,) = (tmp_path / "phrases").iterdir()
    assert "secret" not in path.name
    assert path.stat().st_mode & 0o077 == 0


def test_long_texts_and_a_cache_of_no_size_are_not_taken(tmp_path: Path) -> None:
    assert not PhraseCache(tmp_path, 0).takes(phrase())
    assert not PhraseCache(tmp_path, 1_000).takes(phrase("x" * (MAX_CHARS + 1)))
    assert PhraseCache(tmp_path, 1_000).takes(phrase())
    cache = PhraseCache(tmp_path, 100)
    say(cache, phrase())
    assert cache.find(phrase()) is None


def test_a_damaged_or_missing_file_is_made_anew(tmp_path: Path) -> None:
    cache = PhraseCache(tmp_path, 1_000_000)
    say(cache, phrase(), phrase("gone"))
    (tmp_path / phrase().file_name).write_bytes(b"nonsense")
    (tmp_path / phrase("gone").file_name).unlink()
    assert cache.find(phrase()) is None
    assert cache.find(phrase("gone")) is None
    say(cache, phrase())
    assert cache.find(phrase()) is not None


def test_a_disk_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = PhraseCache(tmp_path / "file" / "phrases", 1_000_000)
    say(cache, phrase())
    assert cache.find(phrase()) is None
