"""The wake phrase is taken off a transcript, however it was written."""

from __future__ import annotations

import pytest
from antiphon_stt.wake_phrase import without_phrase

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "written",
    ["Okay, Nabu,", "OK, Naboo.", "Okay Nabu", "Ok, nah boo,", "Okay, now boo,", "Okay, Nablu."],
)
def test_a_phrase_is_taken_off(written: str) -> None:
    assert without_phrase(f"{written} what time is it?", "okay_nabu") == "What time is it?"
    assert without_phrase(written, "okay_nabu") == ""


@pytest.mark.parametrize(
    ("text", "phrase", "left"),
    [
        ("Hey Jarvis, stop.", "hey_jarvis", "Stop."),
        ("Hey, Jarvis!", "hey_jarvis", ""),
        ("Alexa, and what about tomorrow?", "alexa", "And what about tomorrow?"),
        ("Hey Mycroft play some music", "hey_mycroft", "Play some music"),
    ],
)
def test_other_phrases(text: str, phrase: str, left: str) -> None:
    assert without_phrase(text, phrase) == left


@pytest.mark.parametrize(
    "text", ["What time is it?", "Okay.", "Stop.", "No.", "", "Turn on the lamp.", "Never mind."]
)
def test_words_of_the_command_are_kept(text: str) -> None:
    assert without_phrase(text, "okay_nabu") == text


def test_without_a_phrase_nothing_is_taken_off() -> None:
    assert without_phrase("Okay Nabu.", "") == "Okay Nabu."
