"""How long a client waits before it tries to connect again."""

import pytest
from antiphon_runtime.paho_transport.backoff import Backoff

pytestmark = pytest.mark.unit


class Outage:
    """Attempts on a clock of our own."""

    def __init__(self, shortest_s: float = 0.1, longest_s: float = 5.0) -> None:
        self.now = 1000.0
        self.backoff = Backoff(shortest_s, longest_s, now=lambda: self.now)

    def fail(self, times: int) -> list[float]:
        """Return the pauses after so many attempts that fail."""
        pauses = []
        for _ in range(times):
            self.backoff.on_failure()
            pauses.append(self.backoff.pause_s())
            self.now += pauses[-1]
        return pauses

    def lose(self, held_s: float) -> float:
        """Return the pause after a connection that held so long."""
        self.now += held_s
        self.backoff.on_loss(held_s)
        pause_s = self.backoff.pause_s()
        self.now += pause_s
        return pause_s


def test_pauses_grow_to_a_second_and_after_half_a_minute_to_the_longest() -> None:
    outage = Outage()
    pauses = outage.fail(100)
    assert 0.05 <= pauses[0] <= 0.1
    early, spent = [], 0.0
    for pause in pauses:
        if spent < 29:
            early.append(pause)
        spent += pause
    assert max(early) <= 1
    assert len(early) < 65
    assert min(pauses[-20:]) >= 2.5
    assert max(pauses) <= 5


def test_pauses_are_not_the_same_for_all() -> None:
    assert len({Outage().fail(1)[0] for _ in range(20)}) > 10


def test_a_lost_connection_is_tried_again_soon_however_long_the_last_outage() -> None:
    outage = Outage()
    outage.fail(100)
    assert outage.lose(60) <= 0.1


def test_a_broker_that_restarts_again_and_again_is_followed_closely() -> None:
    outage = Outage()
    for _ in range(20):
        assert outage.lose(0.3) <= 0.1
        outage.fail(2)


def test_a_broker_that_hangs_up_each_time_is_left_in_peace() -> None:
    outage = Outage()
    pauses = [outage.lose(0.01) for _ in range(60)]
    assert max(pauses[:4]) <= 0.1
    assert min(pauses[8:20]) >= 0.5
    assert max(pauses[:30]) <= 1
    assert min(pauses[-3:]) >= 2.5
    assert outage.lose(3) <= 0.1


def test_a_short_longest_pause_is_kept() -> None:
    outage = Outage(0.01, 0.05)
    assert max(outage.fail(20)) <= 0.05
    assert max(outage.lose(0) for _ in range(20)) <= 0.05
