from __future__ import annotations

import pytest
from antiphon_memory.passages import citation, joined, places_around, widen
from antiphon_memory.ranking import estimate_tokens
from antiphon_memory.searching import Passage
from antiphon_memory.service import Candidate, Memory

pytestmark = pytest.mark.unit

TEXTS = [
    "One two three four five.",
    "four five. Six seven eight.",
    "seven eight. Nine ten.",
    "Nine ten. Eleven.",
]
PLACES = {("d", ordinal): text for ordinal, text in enumerate(TEXTS)}


def passage(ordinal: int, document: str = "d") -> Candidate:
    made = Passage(
        id=f"{document}{ordinal}",
        text=TEXTS[ordinal],
        source="Counting",
        scope="household",
        ts=1.0,
        document_id=document,
        ordinal=ordinal,
        title="Counting",
        address="https://example.org/counting",
        anchor="#up",
    )
    return Candidate(made, 0.5)


def test_a_place_is_named_as_people_do() -> None:
    assert citation("Manual", ("Manual", "Cleaning", "The filter"), None) == "Manual, The filter"
    assert citation("Manual", ("Cleaning",), 3) == "Manual, page 3"
    assert citation("Manual", ("MANUAL",), None) == "Manual"
    assert citation("Manual", (), None) == "Manual"


def test_a_link_leads_to_the_place() -> None:
    one = passage(0).memory
    assert isinstance(one, Passage)
    assert one.link == "https://example.org/counting#up"


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (TEXTS[0], TEXTS[1], "One two three four five. Six seven eight."),
        ("a b c", "d e f", "a b c\n\nd e f"),
        ("a b  c\n", "b c", "a b  c"),
        ("x the", "the y", "x the\n\nthe y"),
        ("a b a b", "a b a b c", "a b a b c"),
    ],
)
def test_what_overlaps_stands_once(first: str, second: str, whole: str) -> None:
    assert joined(first, second) == whole


def test_neighbours_are_joined_and_the_rest_is_left_alone() -> None:
    told = Candidate(Memory("m", "my bicycle is red", "user", "household", 1.0), 0.9)
    found = [told, passage(1)]
    assert places_around(found, 1) == {("d", 0), ("d", 1), ("d", 2)}
    wide = widen(found, PLACES, context=1, max_tokens=None)
    assert wide[0] is told
    assert wide[1].memory.text == "One two three four five. Six seven eight. Nine ten."
    assert wide[1].memory.id == "d1"


def test_found_neighbours_become_one_at_the_better_rank() -> None:
    wide = widen([passage(2), passage(0, "e"), passage(1)], PLACES, context=1, max_tokens=None)
    assert [one.memory.id for one in wide] == ["d2", "e0"]
    assert wide[0].memory.text == ("One two three four five. Six seven eight. Nine ten. Eleven.")
    assert widen([passage(2)], PLACES, context=0, max_tokens=None)[0].memory.text == TEXTS[2]


def test_neighbours_come_as_far_as_the_budget_goes_and_without_gaps() -> None:
    for budget in range(estimate_tokens(TEXTS[0]), 40):
        (one,) = widen([passage(0)], PLACES, context=3, max_tokens=budget)
        assert estimate_tokens(one.memory.text) <= budget
    (most,) = widen([passage(0)], PLACES, context=3, max_tokens=14)
    assert most.memory.text == "One two three four five. Six seven eight."
