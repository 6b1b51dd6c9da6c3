"""Topics of timers, alarms and reminders."""

from __future__ import annotations

from antiphon_contracts.payloads.timers import (
    TimerChange,
    TimerDone,
    TimerEvent,
    TimerList,
    TimerQuery,
    TimerSet,
)
from antiphon_contracts.roles import PEOPLE, Flow, Role
from antiphon_contracts.topic import RequestTopic, Topic

_ASKERS = Role.ROUTER | Role.TOOLS | PEOPLE

TIMER_DONE = Topic[TimerDone](
    "timer/done",
    1,
    Flow(Role.TIMER, _ASKERS),
    "What became of it.",
    model=TimerDone,
    type="timer.done/1",
)
TIMER_SET = RequestTopic[TimerSet, TimerDone](
    "timer/set",
    1,
    Flow(_ASKERS, Role.TIMER),
    "Sets a timer, an alarm or a reminder.",
    model=TimerSet,
    type="timer.set/1",
    reply=TIMER_DONE,
)
TIMER_CHANGE = RequestTopic[TimerChange, TimerDone](
    "timer/change",
    1,
    Flow(_ASKERS, Role.TIMER),
    "Cancels, pauses, resumes, lengthens, stops or snoozes timers.",
    model=TimerChange,
    type="timer.change/1",
    reply=TIMER_DONE,
)
TIMER_LIST = Topic[TimerList](
    "timer/list",
    1,
    Flow(Role.TIMER, _ASKERS),
    "The timers that fit.",
    model=TimerList,
    type="timer.list/1",
)
TIMER_QUERY = RequestTopic[TimerQuery, TimerList](
    "timer/query",
    1,
    Flow(_ASKERS, Role.TIMER),
    "Asks which timers there are.",
    model=TimerQuery,
    type="timer.query/1",
    reply=TIMER_LIST,
)
TIMER_EVENT = Topic[TimerEvent](
    "timer/event/{site}",
    1,
    Flow(Role.TIMER, Role.ROUTER | Role.SATELLITE | PEOPLE),
    "A timer was set, changed, rings, was stopped or was missed.",
    model=TimerEvent,
    type="timer.event/1",
)
