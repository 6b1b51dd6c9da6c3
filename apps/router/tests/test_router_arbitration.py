"""One wake word at several sites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from antiphon_router import arbitration
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit

SITES = ("kitchen", "hall", "attic")


@asynccontextmanager
async def rooms(how: Literal["first", "energy"]) -> AsyncIterator[dict[str, Room]]:
    settings = RouterSettings(hear_each_other=(("kitchen", "hall"),), arbitration=how)
    async with home(settings) as h:
        yield {site: await Room(h, site).begin() for site in SITES}


def listening(rooms: dict[str, Room]) -> list[str]:
    return [site for site, room in rooms.items() if room.windows]


async def test_the_first_to_hear_answers_alone() -> None:
    async with rooms("first") as r:
        r["hall"].wake(level_dbfs=-40)
        r["kitchen"].wake(level_dbfs=-10)
        r["attic"].wake()
        await settled()
        assert listening(r) == ["hall", "attic"]


async def test_a_later_wake_word_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rooms("first") as r:
        r["hall"].wake()
        await settled()
        monkeypatch.setattr(arbitration, "SAME_WORD_S", -1.0)
        r["kitchen"].wake()
        await settled()
        assert listening(r) == ["kitchen", "hall"]


@pytest.mark.parametrize("first", ["hall", "kitchen"])
async def test_the_loudest_answers(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.setattr(arbitration, "LOUDER_WITHIN_S", 0.02)
    async with rooms("energy") as r:
        levels = {"hall": -40.0, "kitchen": -10.0}
        for site in (first, *(levels.keys() - {first})):
            r[site].wake(level_dbfs=levels[site])
        window = await r["kitchen"].until_window("wake")
        r["hall"].wake(level_dbfs=0.0)
        await settled()
        assert listening(r) == ["kitchen"]
        assert window.phrase == "okay_nabu"


async def test_nobody_waits_for_a_site_that_does_not_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arbitration, "LOUDER_WITHIN_S", 60.0)
    async with rooms("energy") as r:
        r["hall"].appear(streaming=False)
        await settled()
        async with asyncio.timeout(2):
            r["kitchen"].wake(level_dbfs=-40)
            await r["kitchen"].until_window("wake")


async def test_sites_of_no_group_do_not_compete() -> None:
    async with home() as h:
        several = [await Room(h, site).begin() for site in SITES]
        for room in several:
            room.wake()
        await settled()
        assert all(len(room.windows) == 1 for room in several)
