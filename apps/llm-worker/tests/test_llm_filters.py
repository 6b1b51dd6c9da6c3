"""What is taken out of a model's text, wherever the pieces are cut."""

from __future__ import annotations

import itertools

import pytest
from antiphon_llm.service.filters import (
    Pipeline,
    SecondPerson,
    ThoughtHabit,
    WholeSentences,
    WithoutThoughts,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


def run(pipeline: Pipeline, parts: list[str], *, cut: bool = False) -> str:
    return "".join([*(pipeline.push(part) for part in parts), pipeline.finish(cut=cut)])


CUTS = st.lists(st.integers(0, 200), max_size=40)


@given(CUTS)
def test_thoughts_are_dropped_wherever_the_pieces_are_cut(cuts: list[int]) -> None:
    text = "<think>\nHm < 3, <thin air>? </thinking\n</think>\n\nIt is 2 < 3. <think>x</think> Yes."

    assert run(Pipeline([WithoutThoughts()]), pieces(text, cuts)) == "It is 2 < 3. Yes."


def test_a_thought_without_end_gives_nothing() -> None:
    assert run(Pipeline([WithoutThoughts()]), ["<think>for", " ever"]) == ""


def test_text_that_only_begins_like_a_tag_is_kept() -> None:
    assert run(Pipeline([WithoutThoughts()]), ["a <thi"]) == "a <thi"


def test_plain_text_is_not_held_back() -> None:
    thoughts = WithoutThoughts()

    assert [thoughts.push(part) for part in ("Hel", "lo ", "there")] == ["Hel", "lo ", "there"]


@given(CUTS)
@pytest.mark.parametrize(
    "text",
    [
        "<THINK>hm</Think> Red.",
        "<thinking>It may be blue.</thinking>\nRed.",
        "<reasoning>a</reasoning><thought>b</thought>Red.",
        "[THINK]Let me see.[/THINK]Red.",
    ],
)
def test_other_names_of_thoughts_are_known(text: str, cuts: list[int]) -> None:
    assert run(Pipeline([WithoutThoughts()]), pieces(text, cuts)) == "Red."


@given(CUTS)
def test_a_model_known_to_think_is_heard_only_after_its_closing_tag(cuts: list[int]) -> None:
    habit = ThoughtHabit("deepseek-r1:7b")
    text = "Okay, the user asks for a colour. </think>\n\nIt is red."

    assert run(Pipeline([WithoutThoughts(habit)]), pieces(text, cuts)) == "It is red."
    assert habit.begins_inside


def test_a_closing_tag_alone_is_learnt_from() -> None:
    habit = ThoughtHabit("some-model")
    first = WithoutThoughts(habit)

    assert first.push("Hm, what") == "Hm, what"  # nobody can know yet
    assert first.push(" now?</think>Red.") == "Red."
    second = WithoutThoughts(habit)
    assert second.push("Hm, what") == ""
    assert second.push("?</think>Blue.") == "Blue."


def test_a_model_of_that_name_that_does_not_think_is_heard_and_learnt_from() -> None:
    habit = ThoughtHabit("thinker")
    first = WithoutThoughts(habit)

    assert first.push("It is ") == ""
    assert first.push("red.") + first.finish(cut=False) == "It is red."
    assert WithoutThoughts(habit).push("It ") == "It "


def test_thoughts_that_were_cut_off_are_not_the_answer() -> None:
    thoughts = WithoutThoughts(ThoughtHabit("qwq"))

    assert thoughts.push("I wonder whether") + thoughts.finish(cut=True) == ""


@given(CUTS)
def test_a_cut_answer_ends_with_a_sentence(cuts: list[int]) -> None:
    text = "Dr. Bell made it. It cost 3.50 pounds! And then he went to the"

    shown = run(Pipeline([WholeSentences()]), pieces(text, cuts), cut=True)

    assert shown == "Dr. Bell made it. It cost 3.50 pounds!"


@given(CUTS)
def test_an_answer_that_ended_by_itself_is_whole(cuts: list[int]) -> None:
    text = 'He said "no." Then he left'

    assert run(Pipeline([WholeSentences()]), pieces(text, cuts)) == text


def test_an_unfinished_first_sentence_stays() -> None:
    assert run(Pipeline([WholeSentences()]), ["once upon a"], cut=True) == "once upon a"


def test_the_first_sentence_is_shown_as_it_comes() -> None:
    sentences = WholeSentences()

    assert sentences.push("The capital") == "The capital"
    assert sentences.push(" of France is Paris.") == " of France is Paris"
    assert sentences.push(" It") == "."
    assert sentences.push(" is large") == ""


@given(CUTS)
def test_leading_my_becomes_your(cuts: list[int]) -> None:
    assert run(Pipeline([SecondPerson()]), pieces("My cat is my friend.", cuts)) == (
        "Your cat is my friend."
    )


def test_other_words_stay() -> None:
    assert run(Pipeline([SecondPerson()]), ["My", "thology is Greek."]) == "Mythology is Greek."
    assert run(Pipeline([SecondPerson()]), ["My"]) == "Your"
    assert run(Pipeline([SecondPerson(), WholeSentences()]), ["My dog. B"]) == "Your dog. B"
