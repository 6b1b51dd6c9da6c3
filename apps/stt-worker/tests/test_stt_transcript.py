from __future__ import annotations

import math

import pytest
from antiphon_stt import Segment, Transcript

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "segment",
    [
        Segment(""),
        Segment(" ... "),
        Segment("[BLANK_AUDIO]"),
        Segment("(wind blowing) ♪♪"),
        Segment("*sighs*"),
        Segment("and and and and", compression_ratio=2.41, avg_logprob=-0.1),
        Segment("turn it off", no_speech_prob=0.7, avg_logprob=-1.1),
        Segment(" Thank you for watching!", avg_logprob=-0.7, no_speech_prob=0.1),
        Segment("Thanks for watching.", avg_logprob=-0.2, no_speech_prob=0.55),
        Segment("you", avg_logprob=-0.9),
    ],
)
def test_what_was_made_up_is_not_believed(segment: Segment) -> None:
    assert not segment.believable


@pytest.mark.parametrize(
    "segment",
    [
        Segment("What time is it?", avg_logprob=-0.3, no_speech_prob=0.05, compression_ratio=0.7),
        Segment("Thank you.", avg_logprob=-0.3, no_speech_prob=0.1),
        Segment("Thank you for watching the children.", avg_logprob=-0.9),
        Segment("turn it off", no_speech_prob=0.9, avg_logprob=-0.4),
        Segment("turn it off", no_speech_prob=0.1, avg_logprob=-1.4),
        Segment("stop (please)"),
        Segment("7"),
        Segment("今何時ですか"),
        Segment("no figures at all"),
    ],
)
def test_what_a_person_said_is_believed(segment: Segment) -> None:
    assert segment.believable


def test_only_the_made_up_part_is_dropped() -> None:
    said = Segment(" What time is it?", avg_logprob=-0.2)
    made_up = Segment(" Thank you for watching!", avg_logprob=-0.9)
    believed = Transcript((said, made_up)).believed()
    assert believed.text == "What time is it?"
    assert believed.confidence == pytest.approx(math.exp(-0.2))


def test_confidence_weighs_segments_by_their_tokens() -> None:
    transcript = Transcript((Segment("a", -1.0, tokens=1), Segment("b", -0.2, tokens=3)))
    assert transcript.confidence == pytest.approx(math.exp(-0.4))


def test_confidence_stays_between_0_and_1() -> None:
    assert Transcript(()).confidence == 0.0
    assert Transcript((Segment("a"),)).confidence == 0.0
    assert Transcript((Segment("a", 0.3),)).confidence == 1.0
    assert Transcript((Segment("a", math.nan),)).confidence == 0.0
    assert Transcript((Segment("a", -math.inf),)).confidence == 0.0


def test_segments_are_joined_as_their_language_is_written() -> None:
    assert Transcript((Segment(" one "), Segment(""), Segment("two"))).text == "one two"
    assert Transcript((Segment("今"), Segment("何時")), "ja").text == "今何時"
