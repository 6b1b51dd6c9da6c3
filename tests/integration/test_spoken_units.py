"""Every unit that the router sends to `convert_units` is one that the real tool converts."""

from __future__ import annotations

import pytest
from antiphon_router.units import NAMES
from antiphon_tools.engine.unit_names import Measures
from antiphon_tools.engine.units import Units
from antiphon_tools.tool import ToolError

pytestmark = pytest.mark.integration

BASES = (
    *("meters", "grams", "liters", "kelvin", "square meters", "miles per hour"),
    *("seconds", "megabytes", "joules", "watts", "pascals"),
)
"""One unit of each kind."""


async def told(units: Units, value: float, from_unit: str, to_unit: str, measures: Measures) -> str:
    """Return what the tool says, be it a refusal."""
    try:
        return (await units.convert(value, from_unit, to_unit, measures)).text
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize("measures", ["uk", "us"])
@pytest.mark.parametrize("unit", NAMES)
async def test_each_unit_converts_there_and_back(unit: str, measures: Measures) -> None:
    units = Units()
    said = {base: await told(units, 3.0, unit, base, measures) for base in BASES}
    fitting = [base for base, text in said.items() if " is " in text]
    assert len(fitting) == 1, said
    assert "measure" in said[next(base for base in BASES if base not in fitting)]
    assert (await units.convert(300.0, fitting[0], unit, measures)).text
