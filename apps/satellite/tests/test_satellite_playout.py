"""The seam between loop and device: what counts as played."""

import numpy as np
import pytest
from antiphon_satellite.service.playout import Playout

pytestmark = pytest.mark.unit

RATE_HZ = 1_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def playout(clock: Clock) -> Playout:
    made = Playout(lambda: None, lambda: None, clock=clock)
    made.attach(RATE_HZ)
    made.load("u")
    made.push(np.ones(1_000, dtype=np.int16))
    made.flow()
    return made


def test_played_is_what_left_the_device(playout: Playout, clock: Clock) -> None:
    playout.pull(100, delay_s=0.05)
    assert (playout.taken_ms, playout.heard_ms) == (100, 0)
    clock.now_s += 0.05
    assert playout.heard_ms == 0
    clock.now_s += 0.04
    assert playout.heard_ms == 40
    clock.now_s += 10
    assert playout.heard_ms == 100
    assert playout.unheard_s == 0


def test_sound_in_the_device_is_subtracted_over_several_blocks(
    playout: Playout, clock: Clock
) -> None:
    for _ in range(3):
        playout.pull(20, delay_s=0.1)
        clock.now_s += 0.02
    assert (playout.taken_ms, playout.heard_ms) == (60, 0)
    clock.now_s += 0.1
    assert playout.heard_ms == 60


@pytest.mark.parametrize(("pace", "heard_ms"), [(1.0, 10), (2.0, 20), (0.0, 100)])
def test_a_faster_device_hears_faster(
    playout: Playout, clock: Clock, pace: float, heard_ms: int
) -> None:
    playout.attach(RATE_HZ, pace=pace)
    playout.pull(100)
    clock.now_s += 0.01
    assert playout.heard_ms == heard_ms


def test_the_last_block_is_marked_once_and_settled_by_the_device(playout: Playout) -> None:
    playout.close()
    assert not playout.pull(999).last
    playout.settle()
    before = playout.settled
    block = playout.pull(999)
    assert (len(block.samples), block.last) == (1, True)
    pulled = playout.settled
    playout.settle()
    assert (before, pulled, playout.settled) == (False, False, True)
    assert playout.pull(999).utterance_id is None


def test_a_cut_gives_nothing_more(playout: Playout) -> None:
    playout.pull(10)
    playout.cut()
    block = playout.pull(10)
    assert (block.utterance_id, len(block.samples)) == (None, 0)
    assert playout.taken_ms == 10


def test_without_a_device_nothing_is_handed_out(playout: Playout) -> None:
    playout.detach()
    assert len(playout.pull(10).samples) == 0
    playout.push(np.ones(10, dtype=np.int16))
    assert (playout.taken_ms, playout.heard_ms, playout.loaded) == (0, 0, False)
