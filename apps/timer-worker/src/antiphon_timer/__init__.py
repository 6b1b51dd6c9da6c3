"""The timer worker: timers, alarms and reminders that ring where they were set."""

from __future__ import annotations

from antiphon_timer.clock import Clock, SystemClock
from antiphon_timer.entry import Entry
from antiphon_timer.ledger import Ledger, TimerStore
from antiphon_timer.service import Rules, TimerService
from antiphon_timer.settings import TimerSettings
from antiphon_timer.zones import Zone

__all__ = [
    "Clock",
    "Entry",
    "Ledger",
    "Rules",
    "SystemClock",
    "TimerService",
    "TimerSettings",
    "TimerStore",
    "Zone",
]
