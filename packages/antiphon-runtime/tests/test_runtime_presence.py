"""Who is there: by what health says, and by its silence."""

import pytest
from antiphon_contracts import HEALTH, ContractError, Health, encode, parse
from antiphon_runtime import Presence
from antiphon_runtime.health import until_next_beat_s

pytestmark = pytest.mark.unit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(presence: Presence, worker: str, state: str, **more: object) -> str | None:
    health = Health.model_validate({"worker": worker, "kind": "memory", "state": state, **more})
    return presence.note(parse(encode(HEALTH.message(health, source=worker))), worker)


def test_a_worker_that_falls_silent_is_gone_until_it_is_heard_again() -> None:
    clock = Clock()
    presence = Presence(clock)
    beat(presence, "memory-1", "ready")
    clock.now += 2.4
    assert not presence.is_gone("memory")
    clock.now += 0.2
    assert presence.is_gone("memory")
    beat(presence, "memory-1", "degraded")
    assert not presence.is_gone("memory")


def test_one_of_two_that_beats_is_enough() -> None:
    clock = Clock()
    presence = Presence(clock)
    beat(presence, "memory-1", "ready")
    beat(presence, "memory-2", "gone")
    assert not presence.is_gone("memory")
    clock.now += 3
    assert presence.is_gone("memory")


def test_a_worker_that_is_starting_may_be_silent() -> None:
    clock = Clock()
    presence = Presence(clock)
    beat(presence, "memory-1", "starting")
    clock.now += 60
    assert not presence.is_gone("memory")


def test_our_own_absence_is_nobodys_silence() -> None:
    clock = Clock()
    presence = Presence(clock)
    beat(presence, "memory-1", "ready")
    clock.now += 60
    presence.on_connect()
    assert not presence.is_gone("memory")
    clock.now += 3
    assert presence.is_gone("memory")


def test_a_kind_that_was_never_heard_of_is_absent_once_all_must_have_been_heard() -> None:
    clock = Clock()
    presence = Presence(clock)
    clock.now += 60
    assert not presence.is_absent("memory")
    presence.on_connect()
    clock.now += 2.4
    assert not presence.is_absent("memory")
    clock.now += 0.2
    assert presence.is_absent("memory")
    presence.on_loss()
    assert not presence.is_absent("memory")
    presence.on_connect()
    assert not presence.is_absent("memory")
    clock.now += 3
    beat(presence, "memory-1", "starting")
    assert not presence.is_absent("memory")
    assert presence.is_absent("tools")
    assert not presence.is_gone("tools")
    beat(presence, "memory-1", "gone")
    assert not presence.is_absent("memory")


def test_what_is_no_health_and_what_was_deleted_is_unknown() -> None:
    presence = Presence()
    with pytest.raises(ContractError):
        presence.note({"type": HEALTH.type}, "memory-1")
    beat(presence, "memory-1", "gone")
    presence.forget("memory-1")
    assert not presence.is_gone("memory")
    assert presence.workers == {}


def test_a_worker_that_is_there_anew_is_told() -> None:
    clock = Clock()
    presence = Presence(clock)
    assert beat(presence, "memory-1", "starting", pid=7, counters={"connects": 1}) == "memory"
    assert beat(presence, "memory-1", "ready", pid=7, counters={"connects": 1}) is None
    assert beat(presence, "memory-1", "ready", pid=7, counters={"connects": 2}) == "memory"
    assert beat(presence, "memory-1", "ready", pid=8, counters={"connects": 2}) == "memory"
    clock.now += 3
    assert beat(presence, "memory-1", "ready", pid=8, counters={"connects": 2}) == "memory"
    assert beat(presence, "memory-1", "gone", pid=8, counters={"connects": 2}) is None
    assert beat(presence, "memory-1", "gone", pid=9, counters={"connects": 3}) is None
    assert beat(presence, "memory-1", "ready", pid=9, counters={"connects": 3}) == "memory"


@pytest.mark.parametrize(("now", "wait_s"), [(12.0, 1.0), (12.25, 0.75), (12.999, 0.001)])
def test_beats_of_all_workers_fall_on_the_full_second(now: float, wait_s: float) -> None:
    assert until_next_beat_s(now) == pytest.approx(wait_s)
