"""Setting, changing and asking for timers; what time does to them."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from antiphon_contracts import MAX_TIMERS, TIMER_SET, RemoteError, TimerSet
from antiphon_timer.testing import TimerHome, timer_home
from antiphon_timer.testing.home import PARIS, SATURDAY

pytestmark = pytest.mark.unit

HOUR_S = 3_600.0
DAY_S = 86_400.0


@pytest.fixture
async def home() -> AsyncIterator[TimerHome]:
    async with timer_home() as home:
        yield home


def local(moment: float | None) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment, PARIS).strftime("%a %d %H:%M:%S")


async def test_a_timer_is_set_counts_down_and_rings_once(home: TimerHome) -> None:
    done = await home.set(after_s=300, name="pasta")
    assert (done.error, done.action) == (None, "set")
    [timer] = done.timers
    assert (timer.state, timer.left_s, timer.length_s) == ("running", 300, 300)
    assert timer.due == SATURDAY + 300
    await home.clock.advance(100)
    assert [(one.id, one.left_s) for one in await home.timers()] == [(timer.id, 200)]
    await home.clock.advance(199.9)
    assert home.happened == ["set"]
    await home.clock.advance(0.2)
    assert home.happened == ["set", "ringing"]
    assert home.events[1].data.timer.left_s == pytest.approx(0, abs=0.1)
    await home.clock.advance(70)
    assert home.happened == ["set", "ringing", "stopped"]
    assert home.events[2].data.timer.state == "over"
    assert await home.timers() == []


async def test_several_at_several_sites_are_told_apart(home: TimerHome) -> None:
    await home.set(after_s=600, name="Pasta")
    await home.set(after_s=300)
    await home.set(after_s=300, site="office")
    await home.set(at="07:30", kind="alarm")
    assert [one.left_s for one in await home.timers()] == [300, 600, 13.5 * HOUR_S]
    assert len(await home.timers(everywhere=True)) == 4
    assert [one.name for one in await home.timers(name=" pasta ")] == ["Pasta"]
    assert [one.length_s for one in await home.timers(length_s=300)] == [300]
    assert [one.at for one in await home.timers(at="07:30")] == ["07:30:00"]
    assert [one.kind for one in await home.timers(kind="alarm")] == ["alarm"]
    [elsewhere] = await home.timers(site="office")
    assert [one.site_id for one in await home.timers(ids=(elsewhere.id,))] == ["office"]


async def test_what_is_meant_must_be_one_unless_all_are(home: TimerHome) -> None:
    nothing = await home.do("cancel")
    assert (nothing.error_code, nothing.timers) == ("not_found", ())
    await home.set(after_s=600, name="pasta")
    await home.set(after_s=300)
    unclear = await home.do("cancel")
    assert unclear.error_code == "ambiguous"
    assert [one.name for one in unclear.timers] == ["", "pasta"]
    assert unclear.error == "There are 2: the 5 minute timer, or the pasta timer; say which."
    assert (await home.do("cancel", name="pasta")).timers[0].state == "cancelled"
    await home.set(after_s=900)
    assert len((await home.do("cancel", every=True)).timers) == 2
    assert await home.timers() == []
    assert home.happened.count("cancelled") == 3
    await home.clock.advance(1000)
    assert "ringing" not in home.happened


async def test_a_pause_keeps_what_is_left(home: TimerHome) -> None:
    await home.set(after_s=300)
    await home.clock.advance(100)
    [paused] = (await home.do("pause")).timers
    assert (paused.state, paused.left_s, paused.due) == ("paused", 200, None)
    await home.clock.advance(1000)
    assert (await home.do("pause")).error_code == "not_found"
    [resumed] = (await home.do("resume")).timers
    assert (resumed.state, resumed.left_s) == ("running", 200)
    await home.clock.advance(201)
    assert home.happened == ["set", "paused", "resumed", "ringing"]


async def test_adding_and_taking_away(home: TimerHome) -> None:
    await home.set(after_s=300)
    [longer] = (await home.do("add", seconds=300)).timers
    assert (longer.left_s, longer.length_s) == (600, 600)
    assert (await home.do("add", seconds=-600)).error_code == "bad_time"
    assert (await home.do("add")).error_code == "bad_time"
    assert (await home.do("add", seconds=366 * DAY_S)).error_code == "bad_time"
    assert (await home.do("add", seconds=-540)).timers[0].left_s == 60
    await home.clock.advance(61)
    [again] = (await home.do("add", seconds=120)).timers  # what rings is set anew
    assert (again.state, again.left_s) == ("running", 120)
    await home.do("pause")
    assert (await home.do("add", seconds=30)).timers[0].left_s == 150


async def test_adding_moves_an_alarm_and_its_time_of_day(home: TimerHome) -> None:
    await home.set(at="07:30", kind="alarm")
    [later] = (await home.do("add", seconds=900)).timers
    assert (later.at, local(later.due)) == ("07:45:00", "Sun 22 07:45:00")
    await home.do("cancel")
    await home.set(at="07:30", kind="alarm", days=(0, 6))
    [later] = (await home.do("add", seconds=900)).timers  # this once
    assert (later.at, local(later.due)) == ("07:30:00", "Sun 22 07:45:00")
    await home.clock.advance(14 * HOUR_S)
    [waits] = await home.timers()
    assert local(waits.due) == "Mon 23 07:30:00"


@pytest.mark.parametrize("days", [tuple(range(7)), (6,), (2,)])
@pytest.mark.parametrize(("by_s", "time"), [(900, "07:45:00"), (-900, "07:15:00")])
async def test_an_alarm_that_is_moved_for_once_rings_once_also_after_a_restart(
    home: TimerHome, by_s: float, time: str, days: tuple[int, ...]
) -> None:
    [alarm] = (await home.set(at="07:30", kind="alarm", days=days)).timers
    [moved] = (await home.do("add", seconds=by_s)).timers
    assert local(moved.due).endswith(time)
    await home.stop()
    await home.start()
    assert [one.due for one in await home.timers()] == [moved.due]
    await home.clock.advance(alarm.left_s + HOUR_S)
    assert home.happened.count("ringing") == 1
    [waits] = await home.timers()
    assert local(waits.due).endswith("07:30:00")
    assert (waits.due or 0) - (alarm.due or 0) == (DAY_S if len(days) > 1 else 7 * DAY_S)


async def test_stop_and_snooze(home: TimerHome) -> None:
    assert (await home.do("stop")).error == "Nothing is ringing."
    await home.set(after_s=10)
    await home.set(after_s=12, name="tea")
    await home.clock.advance(15)
    snoozed = (await home.do("snooze", seconds=120)).timers
    assert [(one.state, one.left_s) for one in snoozed] == [("running", 120)] * 2
    assert (await home.do("snooze")).error_code == "not_found"
    await home.clock.advance(121)
    assert home.happened.count("ringing") == 4
    assert (await home.do("snooze", seconds=-1)).error_code == "bad_time"
    [first, second] = (await home.do("snooze")).timers
    assert first.left_s == second.left_s == 540
    await home.clock.advance(541)
    stopped = (await home.do("stop")).timers
    assert {one.state for one in stopped} == {"over"}
    assert await home.timers() == []


async def test_an_alarm_comes_again_on_its_days(home: TimerHome) -> None:
    [alarm] = (await home.set(at="07:30", kind="alarm", days=(4, 0, 0))).timers
    assert (alarm.days, local(alarm.due)) == ((0, 4), "Mon 23 07:30:00")
    await home.clock.advance(37.5 * HOUR_S + 10)
    assert home.happened == ["set", "ringing"]
    await home.do("snooze")
    await home.clock.advance(541)
    [waits] = (await home.do("stop")).timers
    assert (waits.state, local(waits.due)) == ("running", "Fri 27 07:30:00")
    await home.clock.advance(4 * DAY_S)
    assert home.happened.count("ringing") == 3
    assert (await home.do("cancel", kind="alarm")).timers[0].state == "cancelled"


async def test_a_paused_alarm_goes_on_with_its_next_day(home: TimerHome) -> None:
    await home.set(at="07:30", kind="alarm", days=range(7))
    await home.do("pause")
    await home.clock.advance(3 * DAY_S)
    assert home.happened == ["set", "paused"]
    [resumed] = (await home.do("resume")).timers
    assert local(resumed.due) == "Wed 25 07:30:00"
    await home.set(at="19:00", on="2026-11-24", kind="reminder", text="bins")
    await home.do("pause", kind="reminder")
    await home.clock.advance(DAY_S)
    assert (await home.do("resume", kind="reminder")).error_code == "bad_time"


async def test_summer_time_moves_no_alarm(home: TimerHome) -> None:
    home.clock.set_wall(datetime(2026, 3, 28, 12, tzinfo=PARIS).timestamp())
    [skipped] = (await home.set(at="02:30", kind="alarm")).timers
    assert local(skipped.due) == "Sun 29 03:00:00"
    [breakfast] = (await home.set(at="07:30", kind="alarm", days=(6, 0))).timers
    assert local(breakfast.due) == "Sun 29 07:30:00"
    [there] = (await home.set(at="07:30", zone="America/New_York")).timers
    assert there.zone == "America/New_York"
    assert local(there.due) == "Sat 28 12:30:00"
    await home.clock.advance(2 * DAY_S)
    assert home.happened.count("ringing") == 4


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"after_s": 5, "at": "07:30"},
        {"after_s": 5, "days": (1,)},
        {"after_s": 5, "on": "2026-12-24"},
        {"at": "07:30", "days": (1,), "on": "2026-12-24"},
        {"at": "07:30", "on": "2026-11-31"},
        {"at": "17:59", "on": "2026-11-21"},
        {"at": "07:30", "on": "2028-01-01"},
        {"at": "07:30", "on": "9999-12-31"},
        {"at": "07:30", "zone": "Europe/Parris"},
    ],
)
async def test_a_time_that_is_none_is_refused(home: TimerHome, asked: dict[str, Any]) -> None:
    done = await home.set(**asked)
    assert done.error_code == "bad_time"
    assert done.error is not None
    assert done.error.endswith(".")
    assert home.happened == []


async def test_there_is_a_limit(home: TimerHome) -> None:
    for _ in range(MAX_TIMERS):
        assert (await home.set(after_s=100)).error is None
    assert (await home.set(after_s=100)).error_code == "too_many"
    await home.do("cancel", every=True)
    assert (await home.set(after_s=100)).error is None


async def test_a_site_that_is_none_is_refused(home: TimerHome) -> None:
    with pytest.raises(RemoteError):
        await home.house.bus.request(
            TIMER_SET, TimerSet(after_s=1), timeout_s=5, site_id="kitchen/#"
        )
    assert await home.timers(everywhere=True) == []


# Repeated, restarted, late


async def test_a_request_is_carried_out_once_also_after_a_restart(home: TimerHome) -> None:
    first = await home.set(after_s=300, message_id="m1")
    added = await home.do("add", seconds=60, message_id="m2")
    await home.stop()
    await home.start()
    assert await home.set(after_s=300, message_id="m1") == first
    assert await home.do("add", seconds=60, message_id="m2") == added
    [timer] = await home.timers()
    assert timer.left_s == 360
    assert home.happened == ["set", "changed"]


async def test_after_a_restart_it_rings_in_time(home: TimerHome) -> None:
    await home.set(after_s=300)
    await home.stop()
    await home.clock.advance(200)
    home.clock.set_wall(SATURDAY + 9_999_999)  # of no matter within one boot
    await home.start()
    assert (await home.timers())[0].left_s == 100
    await home.clock.advance(101)
    assert home.happened == ["set", "ringing"]


async def test_after_a_reboot_the_wall_clock_counts(home: TimerHome) -> None:
    await home.set(after_s=300)
    home.clock.set_wall(SATURDAY + 5 * DAY_S)  # noticed while it ran
    await home.clock.advance(20)
    await home.stop()
    home.clock.reboot(100)
    await home.start()
    assert (await home.timers())[0].left_s == pytest.approx(180)
    # The clock was behind and is set now: the timer follows.
    home.clock.set_wall(home.clock.wall() + 150)
    assert (await home.timers())[0].left_s == pytest.approx(30)
    await home.clock.advance(31)
    assert home.happened == ["set", "ringing"]


async def test_a_little_late_it_rings_and_later_it_is_missed(home: TimerHome) -> None:
    await home.set(after_s=300, name="pasta")
    await home.set(after_s=350, name="tea")
    await home.set(at="18:05", days=range(7), kind="alarm")
    await home.stop()
    await home.clock.advance(400)
    await home.start()
    await home.clock.advance(1)
    told = {(one.data.event, one.data.timer.name) for one in home.events[3:]}
    assert told == {("missed", "pasta"), ("ringing", "tea"), ("missed", "")}
    waits = {(one.state, one.name, one.kind) for one in await home.timers()}
    assert waits == {
        ("missed", "pasta", "timer"),
        ("missed", "", "alarm"),
        ("ringing", "tea", "timer"),
        ("running", "", "alarm"),
    }
    [alarm] = [one for one in await home.timers(kind="alarm") if one.state == "running"]
    assert local(alarm.due) == "Sun 22 18:05:00"
    await home.stop()
    await home.start()
    assert home.happened.count("missed") == 2


async def test_what_rings_goes_on_ringing_after_a_crash(home: TimerHome) -> None:
    await home.set(after_s=10)
    await home.clock.advance(30)
    await home.stop()
    await home.clock.advance(5)
    await home.start()
    assert [one.state for one in await home.timers()] == ["ringing"]
    await home.clock.advance(30)
    assert [one.state for one in await home.timers()] == ["ringing"]
    await home.clock.advance(10)
    assert home.happened == ["set", "ringing", "stopped"]


async def test_an_event_is_told_again_with_the_same_id_until_the_broker_has_it(
    home: TimerHome,
) -> None:
    await home.set(after_s=10)
    home.house.broker.go_offline()
    await home.clock.advance(11)
    await home.stop()
    home.house.broker.go_online()
    await home.start()
    await home.events.until(2)
    assert home.happened == ["set", "ringing"]
    timer_id = home.events[0].data.timer.id
    assert [one.id for one in home.events] == [f"{timer_id}.0.set", f"{timer_id}.1.ringing"]
    assert await home.store.events() == []


# Clocks that jump


async def test_a_countdown_does_not_care_for_the_wall_clock(home: TimerHome) -> None:
    await home.set(after_s=300)
    home.clock.set_wall(0)
    await home.clock.advance(100)
    home.clock.set_wall(SATURDAY * 2)
    await home.clock.advance(199)
    assert home.happened == ["set"]
    await home.clock.advance(2)
    assert home.happened == ["set", "ringing"]


async def test_an_alarm_follows_the_wall_clock(home: TimerHome) -> None:
    await home.set(at="18:30", kind="alarm")
    home.clock.set_wall(SATURDAY + 1_795)
    await home.clock.advance(4)
    assert home.happened == ["set"]
    await home.clock.advance(2)
    assert home.happened == ["set", "ringing"]


async def test_an_alarm_that_the_clock_jumped_over(home: TimerHome) -> None:
    await home.set(at="18:30", kind="alarm", name="soon")
    await home.set(at="18:10", kind="alarm", name="long past")
    home.clock.set_wall(SATURDAY + 1_830)
    await home.clock.advance(1.1)
    told = {(one.data.event, one.data.timer.name) for one in home.events[2:]}
    assert told == {("ringing", "soon"), ("missed", "long past")}


async def test_a_clock_set_back_rings_nothing_twice(home: TimerHome) -> None:
    await home.set(at="18:30", kind="alarm", days=range(7))
    await home.clock.advance(1_801)
    await home.do("stop")
    home.clock.set_wall(SATURDAY)
    await home.clock.advance(2_000)
    assert home.happened.count("ringing") == 1
    # By days: the clock was wrong, and counts no more.
    home.clock.set_wall(SATURDAY - 20 * DAY_S)
    await home.clock.advance(2_000)
    assert home.happened.count("ringing") == 2
    home.clock.set_wall(SATURDAY + 300 * DAY_S)
    await home.clock.advance(DAY_S)
    assert home.happened.count("ringing") == 3
    assert "missed" not in home.happened


# Trouble


async def test_a_full_disk_refuses_what_is_asked_and_not_what_is_due(home: TimerHome) -> None:
    await home.set(after_s=10)
    home.store.fails = True
    refused = await home.set(after_s=20)
    assert (refused.error_code, refused.timers) == ("failed", ())
    assert refused.error is not None
    assert "disk is full" in refused.error
    await home.clock.advance(11)
    assert home.happened == ["set", "ringing"]
    home.store.fails = False
    await home.clock.advance(10)
    assert [one.state for one in await home.store.timers()] == ["ringing"]


async def test_old_misses_are_forgotten(home: TimerHome) -> None:
    await home.hire_router()
    await home.set(after_s=10)
    await home.stop()
    await home.clock.advance(500)
    await home.start()
    await home.clock.advance(200)
    assert len(await home.timers()) == 1
    await home.stop()
    await home.clock.advance(DAY_S)
    await home.start()
    assert await home.timers() == []
