"""Conversion of units, by pint."""

from __future__ import annotations

import math
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from antiphon_runtime.extras import install_command
from antiphon_runtime.tasks import in_daemon_thread

from antiphon_tools.engine.unit_names import (
    DEFINITIONS,
    Measures,
    factors,
    is_money,
    known_name,
    spoken,
)
from antiphon_tools.tool import ToolError

if TYPE_CHECKING:
    from pint import UnitRegistry

_NAME = re.compile(r"[a-zµåéè _-]{1,40}")
_MAX_PARTS = 3
_HUGE = 1e15
_TINY = 1e-6
_DIMENSIONS = {
    "[length]": "length",
    "[mass]": "weight",
    "[time]": "time",
    "[temperature]": "temperature",
    "[length] ** 2": "area",
    "[length] ** 3": "volume",
    "[length] / [time]": "speed",
    "[length] ** 2 * [mass] / [time] ** 2": "energy",
    "[length] ** 2 * [mass] / [time] ** 3": "power",
    "[mass] / [length] / [time] ** 2": "pressure",
}

Parts = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion gave.

    Attributes:
        value: rounded as people say it.
        unit: the unit's name for people.
        text: the whole as a sentence without a full stop.
    """

    value: float
    unit: str
    text: str


class Units:
    """Converts units; the first conversion of a process loads pint (a second or more)."""

    async def warm_up(self) -> None:
        """Load pint in a thread that nobody waits for at the end; without pint do nothing."""
        with suppress(ToolError):
            await _loaded()

    async def convert(
        self, value: float, from_unit: str, to_unit: str, measures: Measures
    ) -> Conversion:
        """Return `value` in another unit.

        Raises:
            ToolError: a unit is not known, is money, or measures something else.
        """
        if is_money(from_unit) or is_money(to_unit):
            msg = "I cannot convert money, because I do not know the exchange rates."
            raise ToolError(msg)
        return _converted(await _loaded(), value, from_unit, to_unit, measures)


_TURN = threading.Lock()


async def _loaded() -> UnitRegistry[Any]:
    if _load.cache_info().currsize:
        return _load()
    return await in_daemon_thread(_load_in_turn, name="load-units")


def _load_in_turn() -> UnitRegistry[Any]:
    with _TURN:
        return _load()


@cache
def _load() -> UnitRegistry[Any]:
    try:
        import pint
    except ImportError as error:
        msg = f"I cannot convert units without pint: {install_command('tools')}"
        raise ToolError(msg) from error
    registry: UnitRegistry[Any] = pint.UnitRegistry(autoconvert_offset_to_baseunit=False)
    for definition in DEFINITIONS:
        registry.define(definition)
    registry.Quantity(1, "mile").to("kilometer")  # the first one is slow
    return registry


def _converted(
    registry: UnitRegistry[Any], value: float, from_unit: str, to_unit: str, measures: Measures
) -> Conversion:
    import pint

    before = _parts(registry, from_unit, measures)
    after = _parts(registry, to_unit, measures)
    source = registry.Quantity(value, _unit(registry, before))
    target = _unit(registry, after)
    try:
        result = float(source.to(target).magnitude)
        frozen = before == after or "[temperature]" not in source.dimensionality
        if not frozen and source.to("kelvin").magnitude < 0:
            raise ToolError("Nothing is that cold; it would be below absolute zero.")
    except pint.DimensionalityError:
        raise ToolError(_mismatch(registry, before, after, measures)) from None
    except (pint.PintError, OverflowError):
        raise ToolError("I cannot convert between those two units.") from None
    if not math.isfinite(result):
        raise ToolError("That number is too large.")
    is_temperature = source.dimensionality == registry.kelvin.dimensionality
    rounded = _rounded(result, is_temperature=is_temperature)
    unit = spoken(after, measures, one=abs(rounded) == 1)
    given = f"{_digits(value)} {spoken(before, measures, one=abs(value) == 1)}"
    return Conversion(rounded, unit, f"{given} is {_digits(rounded)} {unit}")


def _parts(registry: UnitRegistry[Any], text: str, measures: Measures) -> Parts:
    """Return pint's names for a unit; pint's own parser, which computes powers, sees no text."""
    found = [(_name(registry, part, measures), power) for part, power in factors(text)]
    if len(found) > _MAX_PARTS:
        raise ToolError("I do not know that unit.", code="bad_arguments")
    return found


def _name(registry: UnitRegistry[Any], part: str, measures: Measures) -> str:
    known = known_name(part, measures)
    if known is not None:
        return known
    if _NAME.fullmatch(part):
        name = part.replace(" ", "_").replace("-", "_")
        for candidate in (name, name.removesuffix("es"), name.removesuffix("s")):
            choices = registry.parse_unit_name(candidate) if candidate else ()
            if choices:
                prefix, unit, _ = choices[0]
                return f"{prefix}{unit}"
    raise ToolError(
        "I do not know one of those units; write them out, e.g. kilometres per hour.",
        code="bad_arguments",
    )


def _unit(registry: UnitRegistry[Any], parts: Parts) -> Any:
    container: dict[str, int] = {}
    for name, power in parts:
        container[name] = container.get(name, 0) + power
    return registry.Unit(registry.UnitsContainer(container))


def _mismatch(registry: UnitRegistry[Any], before: Parts, after: Parts, measures: Measures) -> str:
    kinds = [_measured(registry, parts) for parts in (before, after)]
    first, second = (spoken(parts, measures, one=False) for parts in (before, after))
    if all(kinds) and kinds[0] != kinds[1]:
        sentence = f"{first} measure {kinds[0]} and {second} measure {kinds[1]}"
    else:
        sentence = f"{first} and {second} measure different things"
    return f"{sentence[0].upper()}{sentence[1:]}, so I cannot turn one into the other."


def _measured(registry: UnitRegistry[Any], parts: Parts) -> str | None:
    return _DIMENSIONS.get(str(_unit(registry, parts).dimensionality))


def _rounded(value: float, *, is_temperature: bool) -> float:
    """Round as people do: three digits of a small number, whole ones of a large."""
    size = abs(value)
    if is_temperature:
        places = 1
    elif size >= 1000:  # noqa: PLR2004  (see the docstring)
        places = 0
    elif size >= 100:  # noqa: PLR2004
        places = 1
    elif size >= 1 or size < _TINY:
        places = 2
    else:
        places = 2 - math.floor(math.log10(size))
    if 0 < size < _TINY or size >= _HUGE:
        return float(f"{value:.3g}")
    rounded = round(value, places)
    return 0.0 if rounded == 0 else rounded


def _digits(value: float) -> str:
    size = abs(value)
    if value == 0 or _TINY <= size < _HUGE:
        text = f"{value:.9f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')} times 10 to the power of {int(power)}"
