"""The hook for a lamp, and the earcon."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    AUDIO_OUT,
    DIALOGUE_STATE,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    WAKE_EVENT,
    ConfigError,
    DialogueState,
    EngineError,
    PlaybackControl,
    WakeEvent,
)
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.testing import House
from antiphon_satellite import SatelliteSettings
from antiphon_satellite.devices import Devices
from antiphon_satellite.engine.null import NullMicrophone
from antiphon_satellite.engine.program import Program
from antiphon_satellite.service import Hook
from antiphon_satellite.service.earcon import earcon
from antiphon_satellite.testing import ManualSpeaker
from antiphon_satellite.wiring import build_with

pytestmark = pytest.mark.unit

RATE_HZ = 16_000


async def turn() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


class Room:
    """A satellite in a house, its speaker in the test's hands."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.speaker = ManualSpeaker(RATE_HZ)

    async def state(self, state: Any, reason: str = "", site: str = "default") -> None:
        self.house.say(DIALOGUE_STATE, DialogueState(state=state, reason=reason), site_id=site)
        await turn()

    async def pull(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.speaker.pull(20)
            await turn()

    @property
    def sound(self) -> list[tuple[str | None, int]]:
        return [(name, len(samples)) for name, samples in self.speaker.played]


@asynccontextmanager
async def room(tmp_path: Path, **settings: Any) -> AsyncIterator[Room]:
    async with asyncio.timeout(20), House() as house:
        here = Room(house)
        await house.move_in(
            "satellite",
            SatelliteSettings(**settings),
            lambda worker: build_with(worker, Devices(here.speaker, NullMicrophone())),
            runtime=RuntimeSettings(data_dir=tmp_path),
        )
        await turn()
        yield here


# The hook


class Notebook:
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)


class Lamp:
    """A program that takes as long as the test says."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.may_go = asyncio.Event()
        self.broken = False

    async def show(self, state: str) -> None:
        self.shown.append(state)
        await self.may_go.wait()
        if self.broken:
            raise EngineError("The lamp is broken.")


def state(name: Any) -> Any:
    return DIALOGUE_STATE.message(DialogueState(state=name), source="test", site_id="default")


def wake() -> Any:
    return WAKE_EVENT.message(
        WakeEvent(phrase="okay_nabu", score=0.9, offset_ms=900), source="test", site_id="default"
    )


async def test_changes_are_told_in_order_and_never_waited_for() -> None:
    lamp = Lamp()
    hook = Hook(lamp.show, Notebook())
    async with asyncio.timeout(5), hook.open():
        await hook.on_wake(wake())
        for name in ("listening", "listening", "thinking"):
            await hook.on_state(state(name))
        await turn()
        assert lamp.shown == ["wake"]
        lamp.may_go.set()
        await turn()
        assert lamp.shown == ["wake", "listening", "thinking"]


async def test_of_much_that_waits_the_oldest_is_left_out() -> None:
    lamp = Lamp()
    hook = Hook(lamp.show, Notebook())
    async with asyncio.timeout(5), hook.open():
        for number in range(50):
            await hook.on_state(state(("idle", "listening")[number % 2]))
            await turn()
        lamp.may_go.set()
        await turn()
        assert len(lamp.shown) == 9
        assert lamp.shown[-1] == "listening"


async def test_a_broken_lamp_is_noted_and_tried_again() -> None:
    lamp, book = Lamp(), Notebook()
    lamp.may_go.set()
    lamp.broken = True
    hook = Hook(lamp.show, book)
    async with asyncio.timeout(5), hook.open():
        await hook.on_wake(wake())
        await turn()
        assert "broken" in book.notes["hook"]
        lamp.broken = False
        await hook.on_wake(wake())
        await turn()
        assert book.notes == {}


def script(tmp_path: Path, body: str) -> str:
    path = tmp_path / "lamp"
    path.write_text(f"#!{sys.executable}\nimport sys, time, pathlib\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_the_program_gets_its_arguments_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = script(tmp_path, f"pathlib.Path({str(out)!r}).write_text(repr(sys.argv[1:]))")
    async with asyncio.timeout(20):
        await Program(f"{command} '$HOME; ls' -v", "hall").run("wake")
    assert out.read_text() == repr(["$HOME; ls", "-v", "wake", "hall"])


@pytest.mark.parametrize(
    ("body", "complaint"), [("time.sleep(60)", "longer than"), ("sys.exit(3)", "code 3")]
)
async def test_a_program_that_fails_is_told_of(tmp_path: Path, body: str, complaint: str) -> None:
    timeout_s = 0.2 if "sleep" in body else 20
    async with asyncio.timeout(20):
        with pytest.raises(EngineError, match=complaint):
            await Program(script(tmp_path, body), "hall", timeout_s=timeout_s).run("idle")


async def test_a_program_that_is_not_there_is_told_of() -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        await Program("/nowhere/lamp", "hall").run("idle")


@pytest.mark.parametrize("command", ["lamp 'open", "  "])
def test_a_hook_that_cannot_be_read_is_a_wrong_setting(command: str) -> None:
    with pytest.raises(ConfigError, match="hook"):
        Program(command, "hall")


async def test_the_satellite_runs_its_hook_for_its_own_site(tmp_path: Path) -> None:
    pipe = tmp_path / "said"
    os.mkfifo(pipe)
    command = script(tmp_path, f"open({str(pipe)!r}, 'w').write(' '.join(sys.argv[1:]))")
    async with room(tmp_path, hook=command) as here:
        await here.state("listening", site="kitchen")
        await here.state("thinking")
        assert await asyncio.to_thread(pipe.read_text) == "thinking default"
        event = WakeEvent(phrase="okay_nabu", score=0.9, offset_ms=900)
        here.house.say(WAKE_EVENT, event, site_id="default")
        assert await asyncio.to_thread(pipe.read_text) == "wake default"


# The earcon


async def test_the_earcon_sounds_when_listening_begins_after_a_wake_word(tmp_path: Path) -> None:
    async with room(tmp_path, earcon=True, echo="external") as here:
        await here.pull(100)
        await here.state("listening", "follow_up")
        await here.pull(100)
        assert here.sound == []
        await here.state("idle")
        await here.state("listening", "wake")
        await here.state("listening", "wake")
        source = here.speaker.source
        assert source is not None
        tone = np.concatenate([source.pull(320).samples for _ in range(10)])
        assert np.array_equal(tone, earcon(RATE_HZ))


async def test_the_earcon_goes_over_a_paused_answer_and_counts_for_nothing(
    tmp_path: Path,
) -> None:
    async with room(tmp_path, earcon=True, echo="external", jitter_ms=0) as here:
        statuses = await here.house.hear(PLAYBACK_STATUS)
        frame = wav.wrap(Pcm(np.full(RATE_HZ // 5, 100, dtype=np.int16), RATE_HZ))
        for payload in (frame, b""):
            here.house.bus.publish_raw(AUDIO_OUT, payload, site="default", utterance="u")
        await turn()
        await here.pull(100)
        here.house.say(PLAYBACK_CONTROL, PlaybackControl(action="pause"))
        await here.state("listening", "barge_in")
        await here.pull(400)
        here.house.say(PLAYBACK_CONTROL, PlaybackControl(action="stop"))
        await turn()
        assert statuses[-1].data.played_ms == 100
        assert np.array_equal(here.speaker.sound_of("u")[RATE_HZ // 10 :], earcon(RATE_HZ))


async def test_an_earcon_without_a_canceller_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="earcon"):
        async with room(tmp_path, earcon=True):
            pass


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_the_earcon_is_soft_short_and_does_not_click(rate_hz: int) -> None:
    tone = earcon(rate_hz).astype(int)
    assert len(tone) == round(0.14 * rate_hz)
    assert 1_500 < np.abs(tone).max() < 2_200
    assert abs(tone[0]) <= 1
    assert abs(tone[-1]) <= 2
