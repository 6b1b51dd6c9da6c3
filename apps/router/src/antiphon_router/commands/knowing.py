"""Knowing: what a tool knows: the time elsewhere, sums, units, the weather."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from antiphon_contracts import EngineError

from antiphon_router import phrases
from antiphon_router.commands.asking import Asking, Command
from antiphon_router.commands.resolving import weather_day


class Knowing:
    """Asks the tool worker what it knows.

    Args:
        asking: asks it.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def time_elsewhere(self, command: Command) -> str:
        """Tell the time in another time zone."""
        zone = command.slots["zone"]
        told = await self._asking.call(command, "get_time", timezone=zone)
        iso = told.get("iso") if isinstance(told, dict) else None
        try:
            there = datetime.fromisoformat(str(iso)).astimezone(ZoneInfo(zone))
        except ValueError as error:
            msg = "I could not find out the time there"
            raise EngineError(msg) from error
        place = zone.rpartition("/")[2].replace("_", " ")
        return f"{phrases.spoken_time(there).removesuffix('.')} in {place}."

    async def calculate(self, command: Command) -> str:
        """Work out a sum."""
        expression = command.slots["expression"]
        done = await self._asking.call(command, "calculate", expression=expression)
        result = done.get("result") if isinstance(done, dict) else done
        if isinstance(result, bool) or not isinstance(result, int | float):
            msg = "I could not work that out"
            raise EngineError(msg)
        return f"That is {phrases.spoken_number(result)}."

    async def convert(self, command: Command) -> str:
        """Convert units."""
        slots = command.slots
        said = await self._asking.say(
            command,
            "convert_units",
            value=float(slots["value"]),
            from_unit=slots["from_unit"],
            to_unit=slots["to_unit"],
        )
        return said if said.endswith(".") else f"{said}."

    async def weather(self, command: Command) -> str:
        """Tell the weather."""
        slots = dict(command.slots)
        if "day" in slots:
            slots["day"] = weather_day(slots["day"], self._asking.clock())
        return await self._asking.say(command, "get_weather", **slots)
