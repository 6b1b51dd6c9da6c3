import pytest
from antiphon_tts.utterance import Address, Clause, Utterance
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

GAP_S, IDLE_S = 5.0, 60.0


def begun(now: float = 100.0) -> Utterance:
    return Utterance(Address("kitchen", "u1"), 10, now, GAP_S, IDLE_S)


def taken(utterance: Utterance, now: float) -> list[int]:
    """Take everything that is due."""
    seqs = []
    while utterance.due_at() <= now:
        clause = utterance.take(now)
        if clause is None:
            break
        seqs.append(clause.seq)
    return seqs


def test_clauses_in_order_are_due_at_once() -> None:
    utterance = begun()
    utterance.add(Clause(0, "a"), 100)
    assert taken(utterance, 100) == [0]
    assert not utterance.is_complete
    utterance.add(Clause(1, "b", last=True), 101)
    assert taken(utterance, 101) == [1]
    assert utterance.is_complete


@given(st.permutations(range(6)))
def test_any_order_of_arrival_is_spoken_in_order(order: list[int]) -> None:
    utterance = begun()
    spoken: list[int] = []
    for seq in order:
        utterance.add(Clause(seq, "x", last=seq == 5), 100)
        spoken += taken(utterance, 100)
    assert spoken == [0, 1, 2, 3, 4, 5]
    assert utterance.is_complete
    assert utterance.skipped == 0


def test_a_missing_clause_is_waited_for_and_then_given_up() -> None:
    utterance = begun()
    utterance.add(Clause(0, "a"), 100)
    utterance.add(Clause(2, "c", last=True), 101)
    assert taken(utterance, 102) == [0]
    gap_since = 102
    assert utterance.due_at() == gap_since + GAP_S
    assert taken(utterance, gap_since + GAP_S) == [2]
    assert utterance.skipped == 1
    assert utterance.is_complete


def test_more_clauses_do_not_prolong_the_wait_for_a_missing_one() -> None:
    utterance = begun()
    utterance.add(Clause(1, "b"), 100)
    utterance.add(Clause(2, "c"), 104)
    assert utterance.due_at() == 100 + GAP_S


def test_the_missing_clause_ends_the_wait() -> None:
    utterance = begun()
    utterance.add(Clause(1, "b"), 100)
    utterance.add(Clause(0, "a"), 103)
    assert taken(utterance, 103) == [0, 1]


def test_a_repeated_or_late_clause_is_refused() -> None:
    utterance = begun()
    assert utterance.add(Clause(0, "a"), 100)
    assert not utterance.add(Clause(0, "again"), 100)
    taken(utterance, 100)
    assert not utterance.add(Clause(0, "again"), 100)
    assert utterance.add(Clause(2, "c"), 100)
    assert not utterance.add(Clause(2, "again"), 100)


def test_what_comes_after_the_end_is_not_spoken() -> None:
    utterance = begun()
    utterance.add(Clause(2, "beyond"), 100)
    utterance.add(Clause(0, "a"), 100)
    utterance.add(Clause(1, "b", last=True), 100)
    assert not utterance.add(Clause(3, "beyond"), 100)
    assert taken(utterance, 100) == [0, 1]
    assert utterance.is_complete


def test_an_utterance_without_an_end_is_due_after_the_idle_time() -> None:
    utterance = begun()
    utterance.add(Clause(0, "a"), 100)
    assert taken(utterance, 110) == [0]
    assert utterance.due_at() == 110 + IDLE_S
    assert utterance.take(110 + IDLE_S) is None
    assert not utterance.is_complete
