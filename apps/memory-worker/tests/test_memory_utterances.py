from __future__ import annotations

import pytest
from antiphon_memory.utterances import (
    MAX_QUERY_WORDS,
    content_words,
    is_acknowledgement,
    is_question,
    normalise,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        "what colour is my bicycle",
        "What colour is my bicycle?",
        "what's my name",
        "who is my dentist",
        "where did we hide the key",
        "how many eggs do we need",
        "when is Anna's birthday",
        "is my bicycle red",
        "do you know my name",
        "can you tell me the code",
        "and what is the code",
        "Really? Is it?",
        "Wie heißt mein Hund?",
        "¿De qué color es mi bicicleta",
    ],
)
def test_questions_are_known_as_such(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "my bicycle is red",
        "what I like is tea",
        "when I am home I take off my shoes",
        "where the key is: under the mat",
        "do the dishes on Monday",
        "have the car washed on Friday",
        "will power is my thing",
        "how to reset the router: hold the button for ten seconds",
        "My bike is red. Did you know?",
        "whatever is left belongs to Anna",
        "the question is settled",
        "Tom said: who cares",
        "",
    ],
)
def test_statements_are_no_questions(text: str) -> None:
    assert not is_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "ok",
        "Okay.",
        "thanks",
        "Thank you very much!",
        "ok great thanks",
        "yes",
        "got it",
        "I'll remember that my bicycle is red.",
        "Okay, I will remember that.",
        "I've noted that you like tea",
    ],
)
def test_acknowledgements_are_known_as_such(text: str) -> None:
    assert is_acknowledgement(text)


@pytest.mark.parametrize(
    "text",
    ["my bicycle is red", "ok is the name of our dog", "that is it", "I have a cat", "yes men lie"],
)
def test_statements_are_no_acknowledgements(text: str) -> None:
    assert not is_acknowledgement(text)


def test_only_words_with_meaning_are_kept() -> None:
    assert content_words("What colour is MY bicycle's bell, and what's the colour?") == [
        "colour",
        "bicycle",
        "bell",
    ]
    assert content_words("what is it") == []
    assert content_words('"; DROP TABLE NEAR(x) * ^ -- OR') == ["drop", "table", "near", "x"]
    assert content_words("größe café 4711") == ["größe", "café", "4711"]


def test_a_long_text_gives_a_bounded_number_of_words() -> None:
    assert len(content_words(" ".join(f"w{n}" for n in range(1000)))) == MAX_QUERY_WORDS


def test_white_space_and_control_characters_become_one_space() -> None:
    assert normalise("  my\tbicycle\n\x00 is \u2028red ") == "my bicycle is red"
    assert normalise(" \n") == ""
