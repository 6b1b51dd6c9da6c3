from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from antiphon_memory.facts import compare
from antiphon_memory.keeping import is_worth_keeping
from antiphon_memory.sentences import parse

pytestmark = pytest.mark.unit

DATA = Path(__file__).with_name("data")


def lines(name: str) -> Iterator[list[str]]:
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split("\t")


def found_and_wanted(name: str) -> Counter[tuple[str, str]]:
    return Counter((compare(new, old, None) or "none", wanted) for wanted, old, new in lines(name))


def recall(found: Counter[tuple[str, str]], relation: str) -> float:
    wanted = sum(count for (_, label), count in found.items() if label == relation)
    return found[relation, relation] / wanted


@pytest.mark.parametrize("name", ["fact_pairs.tsv", "fact_pairs_held_out.tsv"])
def test_no_labelled_pair_is_taken_for_what_it_is_not(name: str) -> None:
    found = found_and_wanted(name)
    assert sum(found.values()) >= 50
    wrong = {pair for pair in found if pair[0] not in {"none", pair[1]}}
    assert not wrong


def test_most_labelled_pairs_are_understood() -> None:
    ours, held_out = found_and_wanted("fact_pairs.tsv"), found_and_wanted("fact_pairs_held_out.tsv")
    assert sum(ours.values()) >= 120
    assert min(recall(ours, "same"), recall(ours, "supersedes")) >= 0.9
    assert min(recall(held_out, "same"), recall(held_out, "supersedes")) >= 0.8


@pytest.mark.parametrize(
    "new", ["my sister's bicycle is blue", "my helmet is blue", "I have a blue bicycle too"]
)
def test_what_is_about_something_else_replaces_nothing(new: str) -> None:
    assert compare(new, "my bicycle is red", 0.99) is None
    assert compare("my bicycle is blue now", "my bicycle is red", 0.99) == "supersedes"


def test_what_has_nothing_in_common_is_left_alone_whatever_the_rules_read() -> None:
    assert compare("my bicycle is blue", "my bicycle is red", 0.1) is None


@pytest.mark.parametrize("name", ["worth_keeping.tsv", "worth_keeping_held_out.tsv"])
def test_what_is_worth_keeping(name: str) -> None:
    found = Counter((is_worth_keeping(text), label) for label, text in lines(name))
    assert sum(found.values()) >= 60
    assert found[True, "drop"] == 0
    assert found[True, "keep"] >= 0.85 * (found[True, "keep"] + found[False, "keep"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "🚲",
        ", , ,",
        "is is is",
        "the",
        "my",
        "'s 's 's is red",
        "not " * 5000,
        "a, not " * 3000,
        "my " + "very " * 45 + "is red",
        "I play " + "x on y " * 20,
        "\x00",
    ],
)
def test_no_text_is_too_strange_or_takes_long(text: str) -> None:
    begun = time.perf_counter()
    parse(text)
    is_worth_keeping(text)
    assert compare(text, "my bicycle is red", None) is None
    compare(text, text, None)
    assert time.perf_counter() - begun < 0.5
