"""For tests: a clock that they set, a store without a disk, and a house with a timer worker."""

from __future__ import annotations

from antiphon_timer.testing.home import TimerHome, timer_home
from antiphon_timer.testing.virtual import MemoryTimers, VirtualClock, settle

__all__ = ["MemoryTimers", "TimerHome", "VirtualClock", "settle", "timer_home"]
