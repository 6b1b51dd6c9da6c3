"""Local time, also on the days when the clocks are changed."""

import time
from collections.abc import Iterator
from datetime import date, datetime
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from antiphon_contracts import ConfigError
from antiphon_timer.zones import Zone
from hypothesis import given, settings

pytestmark = pytest.mark.unit


def moment(text: str, offset: str = "") -> float:
    return datetime.fromisoformat(text + offset).timestamp()


@pytest.fixture
def in_paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(params=["Europe/Paris", ""], ids=["named", "system"])
def paris(request: pytest.FixtureRequest, in_paris: None) -> Zone:
    return Zone(request.param)


def test_a_time_comes_today_or_else_tomorrow(paris: Zone) -> None:
    morning = moment("2026-11-21T06:00:00", "+01:00")
    assert paris.next(morning, time_of_day(7, 30)) == morning + 1.5 * 3600
    assert paris.next(morning, time_of_day(6)) == morning + 86_400
    assert paris.next(morning, time_of_day(5, 59, 59)) == morning + 86_399


def test_a_time_that_is_skipped_is_the_next_moment_there_is(paris: Zone) -> None:
    # On 29 March 2026 at 02:00 the clocks say 03:00.
    assert paris.moment(date(2026, 3, 29), time_of_day(2, 30)) == moment(
        "2026-03-29T03:00:00", "+02:00"
    )
    day_before = moment("2026-03-28T12:00:00", "+01:00")
    rang = paris.next(day_before, time_of_day(2, 30))
    assert rang == moment("2026-03-29T03:00:00", "+02:00")
    assert paris.next(rang, time_of_day(2, 30)) == moment("2026-03-30T02:30:00", "+02:00")


def test_a_time_that_comes_twice_is_the_first(paris: Zone) -> None:
    # On 25 October 2026 at 03:00 the clocks say 02:00 again.
    first = moment("2026-10-25T02:30:00", "+02:00")
    assert paris.moment(date(2026, 10, 25), time_of_day(2, 30)) == first
    assert paris.next(first - 60, time_of_day(2, 30)) == first
    assert paris.next(first, time_of_day(2, 30)) == moment("2026-10-26T02:30:00", "+01:00")
    between = moment("2026-10-25T02:10:00", "+01:00")
    assert paris.next(between, time_of_day(2, 30)) == moment("2026-10-26T02:30:00", "+01:00")


def test_an_alarm_keeps_its_local_time_over_a_change(paris: Zone) -> None:
    friday = moment("2026-10-23T08:00:00", "+02:00")
    monday = paris.next(friday, time_of_day(7, 30), days=(0,))
    assert monday == moment("2026-10-26T07:30:00", "+01:00")


def test_weekdays(paris: Zone) -> None:
    friday = moment("2026-11-20T07:30:00", "+01:00")
    at = time_of_day(7, 30)
    assert paris.next(friday, at, days=range(5)) == friday + 3 * 86_400
    assert paris.next(friday, at, days=(4,)) == friday + 7 * 86_400
    assert paris.next(friday - 1, at, days=(4,)) == friday


def test_a_date_is_that_day_or_never(paris: Zone) -> None:
    now = moment("2026-11-21T12:00:00", "+01:00")
    assert paris.next(now, time_of_day(13), on=date(2026, 11, 21)) == now + 3600
    assert paris.next(now, time_of_day(11), on=date(2026, 11, 21)) is None


@pytest.mark.parametrize("name", ["Europe/Parris", "../etc/passwd", "/etc/localtime", "UTC\0"])
def test_no_such_zone(name: str) -> None:
    with pytest.raises(ConfigError, match="no such time zone"):
        Zone(name)


@given(
    st.integers(946_684_800, 2_143_000_000),
    st.times(),
    st.frozensets(st.integers(0, 6)),
    st.sampled_from(
        ["Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]
    ),
)
@settings(max_examples=150, deadline=None)
def test_the_next_time_is_later_and_of_that_time(
    after: int, at: time_of_day, days: frozenset[int], name: str
) -> None:
    at = at.replace(microsecond=0, fold=0)
    zone = Zone(name)
    found = zone.next(after, at, days=days)
    assert found is not None
    assert after < found <= after + 8 * 86_400 + 7_200
    local = zone.local(found)
    if local.time() != at:  # the time was skipped: right after the gap
        before, there = (
            datetime.fromtimestamp(found + shift, ZoneInfo(name)).utcoffset() for shift in (-1, 0)
        )
        assert before is not None
        assert there is not None
        assert before < there
        assert (
            datetime.combine(local.date(), at)
            < local
            <= datetime.combine(local.date(), at) + (there - before)
        )
    assert not days or local.weekday() in days
