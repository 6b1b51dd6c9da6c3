"""`mute` and `unmute` before satellites of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext

import pytest
from antiphon import muting
from antiphon_contracts import (
    CONTROL,
    HEALTH,
    Control,
    EngineError,
    Health,
    Message,
    RequestTimeout,
)
from antiphon_runtime import Bus, RuntimeSettings, listen
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit

BROKER = "mqtt://in.memory"


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The broker that the command finds."""
    monkeypatch.setattr(muting, "FIRST_HEALTH_S", 0.05)
    monkeypatch.setattr(muting, "OBEYED_S", 0.05)
    async with asyncio.timeout(10), House() as house:

        def client_bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(muting, "client_bus", client_bus)
        yield house


async def satellite(house: House, worker: str, *, obeys: bool = True, note: str = "") -> list[str]:
    """Have a satellite of that name; returns what it is told."""
    told: list[str] = []

    async def on_control(message: Message[Control]) -> None:
        told.append(message.data.action)
        if obeys:
            say(muted=message.data.action == "mute")

    def say(*, muted: bool) -> None:
        notes = (note,) if note else ()
        health = Health(worker=worker, kind="satellite", state="ready", muted=muted, notes=notes)
        house.say(HEALTH, health, worker=worker)

    await house.serve(
        *(listen(CONTROL.narrowed(worker=name), on_control) for name in ("all", worker))
    )
    say(muted=False)
    return told


async def test_the_whole_house_is_muted_and_unmuted(house: House) -> None:
    told = [await satellite(house, name) for name in ("satellite-1", "satellite-2")]
    await muting.mute(muted=True, satellite=None, broker=BROKER)
    await muting.mute(muted=False, satellite=None, broker=BROKER)
    assert told == [["mute", "unmute"]] * 2


async def test_one_satellite_is_muted_alone(house: House) -> None:
    told = [await satellite(house, name) for name in ("satellite-1", "satellite-2")]
    await muting.mute(muted=True, satellite="satellite-2", broker=BROKER)
    assert told == [[], ["mute"]]


@pytest.mark.parametrize("obeys", [True, False])
async def test_what_a_satellite_says_of_it_is_told(
    house: House, capsys: pytest.CaptureFixture[str], *, obeys: bool
) -> None:
    await satellite(house, "satellite-1", obeys=obeys, note="It cannot be kept.")
    with nullcontext() if obeys else pytest.raises(RequestTimeout):
        await muting.mute(muted=True, satellite=None, broker=BROKER)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "satellite-1: It cannot be kept.\n")


async def test_one_that_does_not_obey_is_named(house: House) -> None:
    await satellite(house, "satellite-1")
    await satellite(house, "satellite-2", obeys=False)
    with pytest.raises(RequestTimeout, match=r"not muted after 0.05 s: satellite-2$"):
        await muting.mute(muted=True, satellite=None, broker=BROKER)


@pytest.mark.parametrize("name", [None, "satellite-7"])
async def test_where_there_is_no_satellite_it_says_so(house: House, name: str | None) -> None:
    health = Health(worker="satellite-1", kind="satellite", state="gone")
    house.say(HEALTH, health, worker="satellite-1")
    with pytest.raises(EngineError, match=r"there is no satellite.*antiphon status"):
        await muting.mute(muted=True, satellite=name, broker=BROKER)
