"""`antiphon mute` and `antiphon unmute`: every satellite's microphone, or one's."""

from __future__ import annotations

import asyncio

from antiphon_contracts import CONTROL, HEALTH, Control, EngineError, RequestTimeout
from antiphon_runtime import listen
from rich.console import Console

from antiphon.house import HouseWatch, client_bus, open_bus
from antiphon.output import print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
FIRST_HEALTH_S = 1.5
OBEYED_S = 3.0


async def mute(*, muted: bool, satellite: str | None, broker: str | None) -> None:
    """Mute or unmute, and return when the satellites say that it is so.

    What they say is amiss, such as a mute that cannot be kept, goes to standard error.

    Args:
        muted: what they shall be.
        satellite: one satellite's worker id; None is all of them.
        broker: as given on the command line.

    Raises:
        EngineError: there is no satellite, or not that one.
        RequestTimeout: one did not obey in time.
    """
    watch = HouseWatch()
    bus = client_bus(find_broker(broker))
    bus.install([listen(HEALTH, watch.on_health)])

    def asked() -> list[str]:
        return [
            name
            for name, health in watch.health.items()
            if health.kind == "satellite" and health.state != "gone" and satellite in {None, name}
        ]

    async def until_there() -> None:
        while not asked():
            await watch.change()

    async def until_obeyed() -> None:
        while any(watch.health[name].muted is not muted for name in asked()):
            await watch.change()

    async with open_bus(bus, CONNECT_TIMEOUT_S):
        try:
            async with asyncio.timeout(FIRST_HEALTH_S):
                await until_there()
        except TimeoutError:
            msg = f"there is no satellite {satellite or ''}".rstrip() + ": see `antiphon status`"
            raise EngineError(msg) from None
        order = Control(action="mute" if muted else "unmute")
        await bus.publish(CONTROL, order, worker=satellite or "all")
        try:
            async with asyncio.timeout(OBEYED_S):
                await until_obeyed()
        except TimeoutError:
            _say_notes(watch, asked())
            stubborn = [name for name in asked() if watch.health[name].muted is not muted]
            msg = f"not {order.action}d after {OBEYED_S:g} s: {', '.join(stubborn)}"
            raise RequestTimeout(msg) from None
        _say_notes(watch, asked())


def _say_notes(watch: HouseWatch, satellites: list[str]) -> None:
    console = Console(stderr=True)
    for name in satellites:
        for note in watch.health[name].notes:
            print_line(console, f"{name}: {note}")
