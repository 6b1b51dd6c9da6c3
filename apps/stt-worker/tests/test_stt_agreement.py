"""Which words of a growing transcript will not change any more."""

from __future__ import annotations

import pytest
from antiphon_stt.agreement import Agreement
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def stable(agreement: Agreement) -> str:
    return agreement.text[: agreement.stable_chars]


def test_what_two_in_a_row_agree_on_is_stable() -> None:
    agreement = Agreement()
    agreement.add("Turn on the")
    assert stable(agreement) == ""
    agreement.add("Turn on the lamb.")
    assert stable(agreement) == "Turn on the"
    agreement.add("Turn on the lamp, please.")
    assert (stable(agreement), agreement.text) == ("Turn on the", "Turn on the lamp, please.")


def test_what_was_stable_stays() -> None:
    agreement = Agreement()
    for text in ("Turn on", "Turn on the", "Burn on the lamp"):
        agreement.add(text)
    assert agreement.text == "Turn on the lamp"
    assert stable(agreement) == "Turn on"


def test_a_whole_transcript_settles_it() -> None:
    agreement = Agreement()
    agreement.add("Burn on")
    agreement.settle("Turn on the lamp.")
    assert stable(agreement) == "Turn on the lamp."


@given(st.lists(st.lists(st.sampled_from(["a", "b,", "C", "d."]), max_size=5).map(" ".join)))
def test_the_stable_part_only_grows(texts: list[str]) -> None:
    agreement, before = Agreement(), ""
    for text in texts:
        agreement.add(text)
        assert stable(agreement).startswith(before)
        before = stable(agreement)
