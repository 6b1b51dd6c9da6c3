"""The circuit breaker's state machine, on a clock of the test's own."""

from __future__ import annotations

import pytest
from antiphon_runtime import Breaker, BreakerRules
from antiphon_runtime.breaker import Ticket

pytestmark = pytest.mark.unit

RULES = BreakerRules(failures=3, slow_s=3.0, retry_s=30.0, spread=0.1)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def breaker_at(clock: Clock, chance: float = 0.5) -> Breaker:
    return Breaker(RULES, now=clock, chance=lambda: chance)


def state_of(breaker: Breaker) -> str:
    return breaker.state


def admitted(breaker: Breaker) -> Ticket:
    ticket = breaker.admit()
    assert ticket is not None
    return ticket


def fail(breaker: Breaker, times: int = 1, waited_s: float = 0.0) -> None:
    for _ in range(times):
        breaker.failed(admitted(breaker), waited_s)


def test_failures_in_a_row_open_it() -> None:
    breaker = breaker_at(Clock())
    fail(breaker, 2)
    breaker.succeeded(admitted(breaker))
    fail(breaker, 2)
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"
    assert breaker.admit() is None


@pytest.mark.parametrize(("waited_s", "state"), [(2.9, "closed"), (3.0, "open")])
def test_one_failure_that_kept_somebody_waiting_opens_it(waited_s: float, state: str) -> None:
    breaker = breaker_at(Clock())
    fail(breaker, waited_s=waited_s)
    assert state_of(breaker) == state


def test_when_it_is_due_one_call_of_many_is_its_trial() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    fail(breaker, 3)
    clock.now_s += 29.9
    assert breaker.admit() is None
    assert breaker.due_in_s == pytest.approx(0.1)
    clock.now_s += 0.1
    assert breaker.admit() is not None
    assert state_of(breaker) == "half_open"
    assert breaker.admit() is None


def test_a_trial_that_succeeds_closes_it_for_good() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    fail(breaker, 3)
    clock.now_s += 30
    breaker.succeeded(admitted(breaker))
    assert state_of(breaker) == "closed"
    fail(breaker, 2)
    assert state_of(breaker) == "closed"


def test_a_trial_that_fails_opens_it_for_as_long_again() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    fail(breaker, 3)
    for _ in range(3):
        clock.now_s += 30
        fail(breaker)
        assert state_of(breaker) == "open"
        assert breaker.due_in_s == pytest.approx(30)


def test_after_a_probe_the_next_failure_opens_it_and_a_success_ends_that() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    fail(breaker, 3)
    clock.now_s += 30
    breaker.succeeded(admitted(breaker), as_probe=True)
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"
    clock.now_s += 30
    breaker.succeeded(admitted(breaker), as_probe=True)
    breaker.succeeded(admitted(breaker))
    fail(breaker, 2)
    assert state_of(breaker) == "closed"


def test_a_trial_that_is_given_up_is_left_to_the_next() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    fail(breaker, 3)
    clock.now_s += 30
    breaker.left(admitted(breaker))
    assert state_of(breaker) == "open"
    breaker.succeeded(admitted(breaker))
    assert state_of(breaker) == "closed"


def test_a_call_given_up_while_it_is_closed_says_nothing() -> None:
    breaker = breaker_at(Clock())
    fail(breaker, 2)
    breaker.left(admitted(breaker))
    assert state_of(breaker) == "closed"
    fail(breaker)
    assert state_of(breaker) == "open"


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "left"])
def test_calls_from_before_it_opened_say_nothing_new(verdict: str) -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    old = admitted(breaker)
    fail(breaker, 3)
    clock.now_s += 30
    trial = admitted(breaker)
    if verdict == "succeeded":
        breaker.succeeded(old)
    elif verdict == "failed":
        breaker.failed(old, 60.0)
    else:
        breaker.left(old)
    assert state_of(breaker) == "half_open"
    breaker.succeeded(trial)
    assert state_of(breaker) == "closed"


@pytest.mark.parametrize(("chance", "due_s"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_several_workers_do_not_ask_in_step(chance: float, due_s: float) -> None:
    breaker = breaker_at(Clock(), chance)
    fail(breaker, 3)
    assert breaker.due_in_s == pytest.approx(due_s)
