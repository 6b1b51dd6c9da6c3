import asyncio
import threading
from functools import cache
from typing import Any

import pytest
from antiphon_tools import ToolError
from antiphon_tools.engine import Units
from antiphon_tools.engine.units import _load

pytestmark = pytest.mark.unit

SAID = [
    (5, "miles", "km", "5 miles is 8.05 kilometres"),
    (1, "mile", "kilometres", "1 mile is 1.61 kilometres"),
    (100, "degrees fahrenheit", "celsius", "100 degrees Fahrenheit is 37.8 degrees Celsius"),
    (-40, "°C", "°F", "-40 degrees Celsius is -40 degrees Fahrenheit"),
    (0, "kelvin", "degrees Celsius", "0 kelvins is -273.1 degrees Celsius"),
    (100, "km/h", "mph", "100 kilometres per hour is 62.14 miles per hour"),
    (60, "miles an hour", "kilometres per hour", "60 miles per hour is 96.56 kilometres per hour"),
    (10, "metres per second", "kph", "10 metres per second is 36 kilometres per hour"),
    (2, "Cups", "ml", "2 cups is 500 millilitres"),
    (3, "tbsp", "teaspoons", "3 tablespoons is 9 teaspoons"),
    (1, "pint", "litres", "1 pint is 0.568 litres"),
    (1, "US pint", "litres", "1 pint is 0.473 litres"),
    (8, "fl. oz.", "ml", "8 fluid ounces is 227.3 millilitres"),
    (20, "square metres", "sq ft", "20 square metres is 215.3 square feet"),
    (20, "m²", "square feet", "20 square metres is 215.3 square feet"),
    (20, "cubic feet", "l", "20 cubic feet is 566.3 litres"),
    (12, "stone", "kg", "12 stone is 76.2 kilograms"),
    (5, "pounds", "kilos", "5 pounds is 2.27 kilograms"),
    (40, "mpg", "kilometres per litre", "40 miles per gallon is 14.16 kilometres per litre"),
    (1_000_000_000, "bytes", "GB", "1000000000 bytes is 1 gigabyte"),
    (100, "Mbps", "MB/s", "100 megabits per second is 12.5 megabytes per second"),
    (8, "Mb", "MB", "8 megabits is 1 megabyte"),
    (30, "psi", "bar", "30 pounds per square inch is 2.07 bars"),
    (90, "mins", "hours", "90 minutes is 1.5 hours"),
    (0, "miles", "km", "0 miles is 0 kilometres"),
    (1e15, "light years", "km", "times 10 to the power of 27 kilometres"),
]
REFUSED = [
    ("euros", "dollars", "I cannot convert money, because I do not know the exchange rates."),
    ("pounds", "euros", "I cannot convert money, because I do not know the exchange rates."),
    (
        "miles",
        "kg",
        "Miles measure length and kilograms measure weight, so I cannot turn one into the other.",
    ),
    (
        "cups",
        "grams",
        "Cups measure volume and grams measure weight, so I cannot turn one into the other.",
    ),
    (
        "celsius per hour",
        "kelvin per minute",
        (
            "Degrees Celsius per hour and kelvins per minute measure different things, "
            "so I cannot turn one into the other."
        ),
    ),
]
UNKNOWN = ["bananas", "", "/", "9**9**9", "(((m", "m**99999999", "__import__('os')", "a/b/c/d/e"]


@pytest.fixture(scope="module")
def units() -> Units:
    return Units()


async def test_units_as_people_say_and_write_them(units: Units) -> None:
    for value, before, after, sentence in SAID:
        found = await units.convert(value, before, after, "uk")
        assert found.text.endswith(sentence)
        assert found.text.endswith(found.unit)


async def test_the_measures_and_spelling_of_the_other_shore(units: Units) -> None:
    assert (await units.convert(1, "pint", "liters", "us")).text == "1 pint is 0.473 liters"
    assert (await units.convert(1, "tons", "kg", "us")).value == pytest.approx(907.2)
    assert (await units.convert(1, "ton", "kg", "uk")).value == 1016
    assert (await units.convert(1, "british pint", "l", "us")).value == 0.568


@pytest.mark.parametrize(("before", "after", "sentence"), REFUSED)
async def test_what_cannot_be_converted(
    units: Units, before: str, after: str, sentence: str
) -> None:
    with pytest.raises(ToolError) as caught:
        await units.convert(1, before, after, "uk")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", UNKNOWN)
async def test_what_is_no_unit_is_never_computed(units: Units, name: str) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(ToolError, match="do not know"):
            await units.convert(1, name, "km", "uk")
        with pytest.raises(ToolError, match="do not know"):
            await units.convert(1, "km", name, "uk")


async def test_nothing_is_colder_than_absolute_zero(units: Units) -> None:
    with pytest.raises(ToolError, match="absolute zero"):
        await units.convert(-300, "celsius", "kelvin", "uk")


async def test_the_loop_is_free_while_pint_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on = threading.Event(), threading.Event()

    @cache
    def slow() -> Any:
        loading.set()
        assert go_on.wait(10)
        return _load()

    monkeypatch.setattr("antiphon_tools.engine.units._load", slow)
    units = Units()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(units.warm_up(), name="warm up")
        asked = group.create_task(units.convert(1, "mile", "km", "uk"), name="convert")
        assert await asyncio.to_thread(loading.wait, 10)
        assert not asked.done()
        go_on.set()
    assert asked.result().text == "1 mile is 1.61 kilometres"
    assert slow.cache_info().misses == 1
