"""`antiphon timers`, with a timer worker in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import structlog
from antiphon import timers
from antiphon.durations import clock_face, parse_duration
from antiphon.timer_commands import timers_app
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime import Bus, RuntimeSettings
from antiphon_timer.testing import TimerHome, timer_home
from typer.testing import CliRunner

pytestmark = pytest.mark.unit

HERE = "mqtt://h"


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TimerHome]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with timer_home() as home:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(home.house.broker.transport(), source="cli")

        monkeypatch.setattr(timers, "client_bus", bus)
        yield home
    structlog.reset_defaults()


async def put(when: str, *, site: str = "default", **fields: Any) -> None:
    given: dict[str, Any] = {"kind": None, "days": None, "text": "", **fields}
    asked = timers.asked_for(when, **given)
    await timers.set_timer(asked, site=site, json=False, broker=HERE)


async def test_set_list_and_change(home: TimerHome, capsys: pytest.CaptureFixture[str]) -> None:
    await timers.show_list(site=None, json=False, broker=HERE)
    assert capsys.readouterr().out == "no timers are set\n"
    await put("5m", name="pasta", site="kitchen")
    await put("1h", name="bread")
    await put("7:30", days="weekdays", zone="Europe/Paris")
    capsys.readouterr()
    await timers.show_list(site=None, json=False, broker=HERE)
    pasta, bread, alarm = capsys.readouterr().out.splitlines()
    assert "running  5:00 left  " in pasta
    assert pasta.endswith("  pasta timer  at kitchen")
    assert "  1:00:00 left  " in bread
    assert alarm.endswith("  alarm  at default  mon,tue,wed,thu,fri")
    await timers.show_list(site="kitchen", json=True, broker=HERE)
    [only] = orjson.loads(capsys.readouterr().out)
    assert only["name"] == "pasta"
    await timers.change("add", "Pasta", seconds=60, broker=HERE)
    assert "6:00 left" in capsys.readouterr().out
    await timers.change("pause", only["id"][-6:], broker=HERE)
    assert "paused  6:00 left  pasta" in capsys.readouterr().out
    with pytest.raises(EngineError, match=r"There are 3: .* say which"):
        await timers.change("cancel", broker=HERE)
    assert len(capsys.readouterr().err.splitlines()) == 3
    with pytest.raises(EngineError, match="no such timer"):
        await timers.change("cancel", "tea", broker=HERE)
    await timers.change("cancel", every=True, broker=HERE)
    assert capsys.readouterr().out.count("cancelled") == 3


async def test_stop_and_snooze(home: TimerHome, capsys: pytest.CaptureFixture[str]) -> None:
    await put("10s")
    await home.clock.advance(15)
    await timers.show_list(site=None, json=False, broker=HERE)
    assert "ringing  0:05 ago" in capsys.readouterr().out
    await timers.change("snooze", seconds=60, broker=HERE)
    assert "running  1:00 left" in capsys.readouterr().out
    await home.clock.advance(61)
    await timers.change("stop", broker=HERE)
    assert "over" in capsys.readouterr().out
    with pytest.raises(EngineError, match="Nothing is ringing"):
        await timers.change("stop", broker=HERE)


@pytest.mark.parametrize(
    ("when", "fields", "kind"),
    [
        ("90s", {}, "timer"),
        ("7:30", {}, "alarm"),
        ("07:30:15", {"text": "call Ada"}, "reminder"),
        ("5m", {"kind": "alarm"}, "alarm"),
    ],
)
def test_what_is_not_said_is_what_fits(when: str, fields: dict[str, str], kind: str) -> None:
    given: dict[str, Any] = {"kind": None, "days": None, "text": "", **fields}
    asked = timers.asked_for(when, **given)
    assert (asked.kind, asked.after_s is None) == (kind, ":" in when)


@pytest.mark.parametrize(
    "given",
    [
        {"when": "soon"},
        {"when": "25:00"},
        {"when": "0s"},
        {"when": "5m", "kind": "egg"},
        {"when": "7:30", "days": "someday"},
        {"when": "7:30", "on": "tomorrow"},
    ],
)
def test_what_cannot_be_read_is_said(given: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"kind": None, "days": None, "text": "", **given}
    with pytest.raises(ConfigError, match=r"written like|kind is|more than 0"):
        timers.asked_for(**fields)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5_400), ("1.5h", 5_400), ("-5m", -300), ("1d 2H", 93_600)],
)
def test_lengths_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5m1h", "1h1h", "5 minutes", "--5m", "1e3s", "٣m5"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "face"),
    [(0, "0:00"), (-0.2, "0:00"), (61, "1:01"), (3_600, "1:00:00"), (-90_000, "-1 d 1:00:00")],
)
def test_lengths_are_shown(seconds: float, face: str) -> None:
    assert clock_face(seconds) == face


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat-mon", (0, 5, 6)),
        ("Monday, wed", (0, 2)),
        ("daily", (0, 1, 2, 3, 4, 5, 6)),
        ("weekend", (5, 6)),
    ],
)
def test_days_are_read(text: str, days: tuple[int, ...]) -> None:
    assert timers.parse_days(text) == days


@pytest.mark.parametrize(
    "command", ["list", "set", "cancel", "pause", "resume", "add", "stop", "snooze"]
)
def test_help_fits_a_narrow_screen(command: str) -> None:
    done = CliRunner().invoke(timers_app, [command, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
