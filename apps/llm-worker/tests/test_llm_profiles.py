"""How a question becomes a prompt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from antiphon_contracts import EngineError, HistoryMessage, LlmParams, MemoryResult
from antiphon_llm.service.profiles import Sampling, SmallProfile, StandardProfile
from antiphon_llm.service.question import Question

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 3, 16, 10, tzinfo=UTC)


def note(text: str, name: str = "m") -> MemoryResult:
    return MemoryResult(id=name, text=text, score=0.8)


def said(*texts: str) -> tuple[HistoryMessage, ...]:
    return tuple(
        HistoryMessage(role="assistant" if number % 2 else "user", text=text)
        for number, text in enumerate(texts)
    )


def test_small_has_three_examples_and_one_plain_note() -> None:
    question = Question("what colour is my bicycle", NOW, notes=(note("My bicycle is red."),))

    _, prompt = SmallProfile().prepare(question, 2048)

    assert [m.role for m in prompt.messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert prompt.messages[-1].content == "Notes:\n- my bicycle is red\nWhat colour is my bicycle?"
    assert (prompt.temperature, prompt.repeat_penalty, prompt.max_tokens) == (0.0, 1.1, 80)


def test_small_without_notes_asks_the_bare_question() -> None:
    _, prompt = SmallProfile().prepare(Question("Who wrote Hamlet?", NOW), 2048)

    assert prompt.messages[-1].content == "Who wrote Hamlet?"


def test_standard_puts_what_changes_last() -> None:
    question = Question(
        "Where is it?", NOW, notes=(note("the key is in the hall"),), history=said("Hi", "Hello")
    )

    _, prompt = StandardProfile().prepare(question, 4096)

    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[-1].content == (
        "Notes:\n- the key is in the hall\n\nWhere is it?\n\n(It is Sunday, 03 May 2026, 16:10.)"
    )
    _, later = StandardProfile().prepare(Question("Bye", NOW, history=question.history), 4096)
    assert later.messages[:-1] == prompt.messages[:-1]


def test_what_was_said_earlier_stands_before_the_rest_as_a_persons_word() -> None:
    question = Question("Well?", NOW, history=said("Hi", "Hello"), earlier="They met.")

    _, prompt = StandardProfile().prepare(question, 4096)

    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[1].content == "(Earlier in this conversation: They met.)\nHi"


def test_what_was_said_earlier_is_left_out_first() -> None:
    question = Question("Q?", NOW, history=said("word " * 80), earlier="before " * 90)

    kept, _ = StandardProfile().prepare(question, 560)

    assert kept.history == question.history
    assert kept.earlier == ""


def test_a_piece_of_a_document_says_where_it_is_from() -> None:
    piece = MemoryResult(
        id="d", text="Clean the filter\nmonthly.", source="Manual, page 3", kind="document"
    )
    question = Question("How often?", NOW, notes=(note("the key is in the hall"), piece))

    _, prompt = StandardProfile().prepare(question, 4096)

    assert prompt.messages[-1].content.startswith(
        "Notes:\n- the key is in the hall\n- from Manual, page 3: Clean the filter monthly.\n"
    )
    _, short = SmallProfile().prepare(Question("How often?", NOW, notes=(piece,)), 2048)
    assert "- from Manual, page 3: Clean the filter monthly\n" in short.messages[-1].content


def test_neighbours_of_one_role_are_joined() -> None:
    history = (*said("Hi", "Hello", "Are you there?"),)

    _, prompt = StandardProfile().prepare(Question("Well?", NOW, history=history), 4096)

    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]


def test_the_request_wins_over_the_settings() -> None:
    profile = StandardProfile(Sampling(temperature=0.1, max_tokens=50, system="A"))
    plain = Question("Hi", NOW)
    special = Question("Hi", NOW, system="B", params=LlmParams(temperature=0.9, max_tokens=60))

    _, by_settings = profile.prepare(plain, 4096)
    _, by_request = profile.prepare(special, 4096)

    assert by_settings.messages[0].content == "A"
    assert (by_settings.temperature, by_settings.max_tokens) == (0.1, 50)
    assert by_request.messages[0].content == "B"
    assert (by_request.temperature, by_request.max_tokens) == (0.9, 60)


def test_the_oldest_history_goes_first_then_the_worst_notes() -> None:
    history = said(*(f"{number} {'word ' * 80}" for number in range(20)))
    notes = (note("best", "a"), note("long " * 1000, "b"))
    question = Question("Q?", NOW, notes=notes[:1], history=history)

    kept, _ = StandardProfile().prepare(question, 2048)
    assert kept.history == history[-len(kept.history) :]
    assert 0 < len(kept.history) < len(history)
    assert [n.id for n in kept.notes] == ["a"]

    kept, _ = StandardProfile().prepare(Question("Q?", NOW, notes=notes, history=history), 1000)
    assert [n.id for n in kept.notes] == ["a"]
    assert kept.history == ()


@pytest.mark.parametrize("profile", [SmallProfile(), StandardProfile()])
def test_a_question_that_cannot_fit_is_refused(profile: SmallProfile | StandardProfile) -> None:
    with pytest.raises(EngineError, match="too long"):
        profile.prepare(Question("why " * 3000, NOW), 2048)
