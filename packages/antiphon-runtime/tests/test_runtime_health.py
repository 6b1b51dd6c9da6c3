"""Notes in a worker's health: how long they stay."""

from __future__ import annotations

import time

import pytest
from antiphon_runtime import Bus, HealthReporter
from antiphon_runtime.loop_monitor import LoopMonitor
from antiphon_runtime.testing import MemoryBroker

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


def reporter() -> HealthReporter:
    bus = Bus(MemoryBroker().transport(), source="stt-1")
    health = HealthReporter(bus, "stt-1", "stt", LoopMonitor())
    health.enter("ready")
    return health


def test_a_note_stays_until_it_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    health = reporter()
    health.note("engine", "It is slow.")
    clock.now_s += 100_000
    assert health.snapshot().notes == ("It is slow.",)
    assert health.snapshot().state == "degraded"
    health.clear_note("engine")
    assert health.snapshot().state == "ready"


def test_a_note_for_a_while_goes_unless_it_is_noted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    health = reporter()
    health.note("sites", "Too many.", for_s=10)
    clock.now_s += 9
    health.note("sites", "Too many.", for_s=10)
    clock.now_s += 9
    assert health.snapshot().notes == ("Too many.",)
    clock.now_s += 2
    assert health.snapshot().notes == ()
    assert health.snapshot().state == "ready"
