from __future__ import annotations

import numpy as np
import pytest
from antiphon.asking import Asked
from antiphon.demo import QUESTIONS, SLIP_WER, Question, Result, judge
from antiphon_audio import Pcm
from antiphon_contracts import PlainAnswer, Route

pytestmark = pytest.mark.unit

SOUND = Pcm(np.zeros(160, np.int16), 16_000)
SUM = Question("What is twelve times seven?", ("fast",), ("84",))


def asked(
    answer: str, route: Route = "fast", *, speech: Pcm | None = SOUND, error: str | None = None
) -> Asked:
    plain = PlainAnswer(turn_id="t", transcript="", answer=answer, route=route, error=error)
    return Asked(plain, speech, 100.0)


def test_a_right_answer_has_no_faults() -> None:
    assert judge(SUM, asked("That is 84."), "that is eighty-four") == []


@pytest.mark.parametrize("answer", ["That is 184.", "That is 8.", "That is 840."])
def test_a_number_that_only_holds_the_right_digits_is_wrong(answer: str) -> None:
    (fault,) = judge(SUM, asked(answer), answer)
    assert "'84'" in fault


def test_one_of_the_expected_words_is_enough_and_its_case_and_ending_do_not_matter() -> None:
    question = Question("Who invented the telephone?", ("llm",), ("bell", "meucci"))
    assert judge(question, asked("It was Bell's idea.", "llm"), "it was bell's idea") == []
    (fault,) = judge(question, asked("Labelling.", "llm"), "labelling")
    assert "bell or meucci" in fault


def test_whatever_else_is_wrong_is_named() -> None:
    (error,) = judge(SUM, asked("84", error="it broke"), "84")
    assert error == "error: it broke"
    (route,) = judge(SUM, asked("84", "llm"), "84")
    assert route == "route is llm, not fast"
    (silent,) = judge(SUM, asked("84", speech=None), "")
    assert silent == "no audio"
    (other,) = judge(SUM, asked("That is 84."), "who knows what this was")
    assert other.startswith("what was spoken is not the answer")


def test_a_slip_of_the_transcriber_is_forgiven() -> None:
    answer = "I will remember that your bicycle is red."
    assert judge(QUESTIONS[2], asked(answer), "I will remember that your bicycle was red") == []


def test_a_name_misheard_is_wrong_but_for_one_answer_in_a_run() -> None:
    question = Question("Who invented the telephone?", ("llm",), ("bell",))
    answer = asked("Alexander Graham Bell was the inventor of the telephone.", "llm")
    heard = "Alexander Graham Belwazie and Ventra of the telephone."
    assert judge(question, answer, heard, max_wer=SLIP_WER) == []
    (fault,) = judge(question, answer, heard)
    assert fault.startswith("what was spoken is not the answer")


def test_a_result_is_readable_by_machines() -> None:
    result = Result(SUM, asked("That is 84."), None, "that is 84", 0.12345, ["wrong"])
    found = result.as_json()
    assert found["question"] == SUM.text
    assert found["wer"] == 0.123
    assert found["faults"] == ["wrong"]
    assert found["audio"] is None
    assert found["speech_end_to_first_audio_ms"] == 100.0
