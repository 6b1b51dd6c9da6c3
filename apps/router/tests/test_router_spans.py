"""Durations, moments and numbers in what people say."""

from __future__ import annotations

import pytest
from antiphon_router.spans import Moment, Tagger, duration_s
from antiphon_router.vocabulary import spoken_names
from hypothesis import given
from hypothesis import strategies as st
from text_to_num import alpha2digit

pytestmark = pytest.mark.unit


def digits(text: str) -> str:
    return str(alpha2digit(text, "en", 0))


TAGGER = Tagger(digits)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("five minutes", 300),
        ("an hour and a half", 5400),
        ("one and a half hours", 5400),
        ("five and a half minutes", 330),
        ("a minute and a half", 90),
        ("ninety seconds", 90),
        ("a quarter of an hour", 900),
        ("three quarters of an hour", 2700),
        ("half an hour", 1800),
        ("two hours thirty", 9000),
        ("1h 20m", 4800),
        ("1 hour, 5 minutes and 10 seconds", 3910),
        ("2.5 hours", 9000),
        ("another four minutes", 240),
        ("a couple of minutes", 120),
        ("zero seconds", 0),
    ],
)
def test_durations_are_understood(text: str, seconds: float) -> None:
    found = duration_s(digits(text))
    assert found is not None
    assert found[0] == seconds
    assert found[2] == len(digits(text))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("at half past seven", Moment("7:30?")),
        ("half seven", Moment("7:30?")),
        ("at ten to eight", Moment("7:50?")),
        ("quarter to one", Moment("12:45?")),
        ("at seven thirty a.m.", Moment("07:30")),
        ("12 am", Moment("00:00")),
        ("12:15 p.m.", Moment("12:15")),
        ("18:05", Moment("18:05")),
        ("07:30", Moment("07:30")),
        ("midnight", Moment("00:00")),
        ("tomorrow at seven", Moment("7:00?", "tomorrow")),
        ("seven o'clock tomorrow evening", Moment("19:00", "tomorrow", part="evening")),
        ("tonight at ten", Moment("22:00", "today", part="tonight")),
        ("every weekday at 6:45", Moment("6:45?", days=(0, 1, 2, 3, 4))),
        ("on mondays and fridays at noon", Moment("12:00", days=(0, 4))),
        ("on the fifth of may", Moment("", "05-05")),
        ("on December 3rd at 9 am", Moment("09:00", "12-03")),
    ],
)
def test_moments_are_understood(text: str, moment: Moment) -> None:
    tagged = TAGGER.tag(text)
    assert tagged.text == "qwhenaq"
    assert tagged.values["qwhenaq"][0] == moment


@pytest.mark.parametrize("text", ["25 o'clock", "7:75", "at 40", "13 pm", "0 am"])
def test_what_is_no_time_of_day_is_none(text: str) -> None:
    kinds = {type(value) for value, _ in TAGGER.tag(text).values.values()}
    assert Moment not in kinds


FRAGMENTS = "half past seven at 7:30 30 a.m. an hour and minutes every monday on the 5th of may %"
WORDS = st.sampled_from(FRAGMENTS.split())


@given(st.lists(WORDS | st.text(max_size=4), max_size=30).map(" ".join))
def test_what_was_tagged_can_be_restored(text: str) -> None:
    tagged = TAGGER.tag(text)
    plain = Tagger(digits, english=False)
    assert len(tagged.values) <= 30
    assert not any(tag in tagged.restore(tagged.text) for tag in tagged.values)
    assert plain.in_digits(text) is not None


def test_a_name_that_could_be_two_is_none_of_them() -> None:
    said = dict(spoken_names(["desk lamp", "desk lamps", "hall_light", "Fan"]))
    assert said["desk lamp"] == "desk lamp"
    assert said["desk lamps"] == "desk lamps"
    assert said["hall lights"] == "hall_light"
    assert said["light in the hall"] == "hall_light"
    assert said["fan"] == "Fan"
    ambiguous = dict(spoken_names(["the lamp", "lamps"]))
    assert "lamp" not in ambiguous
