"""How people write and say units, and what pint calls them."""

from __future__ import annotations

import re
from typing import Literal

Measures = Literal["uk", "us"]

MONEY = frozenset(
    [
        "euro",
        "euros",
        "eur",
        "€",
        "dollar",
        "dollars",
        "usd",
        "$",
        "£",
        "gbp",
        "sterling",
        "quid",
        "yen",
        "jpy",
        "yuan",
        "renminbi",
        "franc",
        "francs",
        "chf",
        "rupee",
        "rupees",
        "inr",
        "rouble",
        "roubles",
        "ruble",
        "rubles",
        "krona",
        "kronor",
        "krone",
        "kroner",
        "zloty",
        "lira",
        "peso",
        "pesos",
        "real",
        "reais",
        "won",
        "cent",
        "cents",
        "pence",
        "penny",
        "pennies",
        "bitcoin",
        "bitcoins",
        "btc",
        "buck",
        "bucks",
    ]
)

_ANYWHERE = {
    "c": "degree_Celsius",
    "celsius": "degree_Celsius",
    "centigrade": "degree_Celsius",
    "f": "degree_Fahrenheit",
    "fahrenheit": "degree_Fahrenheit",
    "k": "kelvin",
    "kelvin": "kelvin",
    "kelvins": "kelvin",
    "kilo": "kilogram",
    "kilos": "kilogram",
    "kg": "kilogram",
    "kgs": "kilogram",
    "gramme": "gram",
    "grammes": "gram",
    "g": "gram",
    "mg": "milligram",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "st": "stone",
    "stones": "stone",
    "tonne": "metric_ton",
    "tonnes": "metric_ton",
    "metric ton": "metric_ton",
    "metric tons": "metric_ton",
    "m": "meter",
    "km": "kilometer",
    "k m": "kilometer",
    "kms": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "mi": "mile",
    "ft": "foot",
    "foot": "foot",
    "in": "inch",
    "yd": "yard",
    "yds": "yard",
    "nm": "nautical_mile",
    "l": "liter",
    "dl": "deciliter",
    "cl": "centiliter",
    "ml": "milliliter",
    "mils": "milliliter",
    "cc": "milliliter",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "d": "day",
    "kwh": "kilowatt_hour",
    "wh": "watt_hour",
    "kw": "kilowatt",
    "w": "watt",
    "mw": "megawatt",
    "hp": "horsepower",
    "bhp": "horsepower",
    "j": "joule",
    "kj": "kilojoule",
    "cal": "calorie",
    "kcal": "kilocalorie",
    "pa": "pascal",
    "hpa": "hectopascal",
    "kpa": "kilopascal",
    "psi": "pound_force_per_square_inch",
    "pounds per square inch": "pound_force_per_square_inch",
    "atm": "standard_atmosphere",
    "b": "byte",
    "kb": "kilobyte",
    "mb": "megabyte",
    "gb": "gigabyte",
    "tb": "terabyte",
    "mbit": "megabit",
    "gbit": "gigabit",
    "hz": "hertz",
    "ha": "hectare",
    "deg": "degree",
}
_COMPOUND = {
    "mph": "miles per hour",
    "kph": "kilometers per hour",
    "kmh": "kilometers per hour",
    "kmph": "kilometers per hour",
    "mps": "meters per second",
    "fps": "feet per second",
    "mpg": "miles per gallon",
    "mbps": "megabits per second",
    "sqm": "square meters",
    "sqft": "square feet",
    "sq ft": "square feet",
    "sq m": "square meters",
}
_KITCHEN = {
    "cup": "cup",
    "cups": "cup",
    "tablespoon": "tablespoon",
    "tablespoons": "tablespoon",
    "tbsp": "tablespoon",
    "tbsps": "tablespoon",
    "teaspoon": "teaspoon",
    "teaspoons": "teaspoon",
    "tsp": "teaspoon",
    "tsps": "teaspoon",
    "pint": "pint",
    "pints": "pint",
    "pt": "pint",
    "quart": "quart",
    "quarts": "quart",
    "qt": "quart",
    "gallon": "gallon",
    "gallons": "gallon",
    "gal": "gallon",
    "fluid ounce": "fluid_ounce",
    "fluid ounces": "fluid_ounce",
    "fl oz": "fluid_ounce",
    "floz": "fluid_ounce",
    "ton": "ton",
    "tons": "ton",
}
DEFINITIONS = (
    "uk_cup = 250 * milliliter",
    "uk_tablespoon = 15 * milliliter",
    "uk_teaspoon = 5 * milliliter",
)
"""Today's British measuring spoons and cups are metric; the others are in pint."""

_UK = {
    "cup": "uk_cup",
    "tablespoon": "uk_tablespoon",
    "teaspoon": "uk_teaspoon",
    "pint": "imperial_pint",
    "quart": "imperial_quart",
    "gallon": "imperial_gallon",
    "fluid_ounce": "imperial_fluid_ounce",
    "ton": "long_ton",
}
_US = {
    "cup": "cup",
    "tablespoon": "tablespoon",
    "teaspoon": "teaspoon",
    "pint": "pint",
    "quart": "quart",
    "gallon": "gallon",
    "fluid_ounce": "fluid_ounce",
    "ton": "ton",
}
_WHOSE = re.compile(r"^(uk|british|imperial|us|american|metric)\s+(.+)$")
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_POWER_SIGNS = {"²": 2, "2": 2, "^2": 2, "³": 3, "3": 3, "^3": 3}
_SIGN = re.compile(r"^([a-zµ ]+?)\s?(\^?[23]|[²³])$")
_DEGREES = re.compile(r"^(degrees?|deg)\s+(?=(c|f|k|celsius|centigrade|fahrenheit|kelvins?)$)")
_PER = re.compile(r"\s+(?:per|an?|each)\s+|\s*/\s*|(?<=[a-z])p(?=h$)")

_IRREGULAR = {
    "foot": "feet",
    "inch": "inches",
    "stone": "stone",
    "century": "centuries",
    "hertz": "hertz",
    "horsepower": "horsepower",
    "lux": "lux",
    "degree_Celsius": "degrees Celsius",
    "degree_Fahrenheit": "degrees Fahrenheit",
    "pound_force_per_square_inch": "pounds per square inch",
    "tonne": "tonnes",
}
_SINGULAR = {
    "degree_Celsius": "degree Celsius",
    "degree_Fahrenheit": "degree Fahrenheit",
    "pound_force_per_square_inch": "pound per square inch",
    "standard_atmosphere": "atmosphere",
}
_POWER_WORDS = {1: "", 2: "square ", 3: "cubic "}


def is_money(text: str) -> bool:
    """Return whether a unit is a currency."""
    return any(word.strip(".,") in MONEY for word in text.casefold().split())


def factors(text: str) -> list[tuple[str, int]]:
    """Return the parts of a unit as people write it, each with its power.

    `km/h` is `[("km", 1), ("h", -1)]`. The parts are in lower case, but for a sign that means
    another unit in upper case (`Mb` is a megabit).
    """
    plain = " ".join(text.replace("°", " degrees ").replace("_", " ").replace(".", "").split())
    if plain in {"Mb", "Gb", "kb", "Kb"}:
        return [(f"{plain[0].lower()}bit" if plain[0] in "MG" else "kilobit", 1)]
    plain = plain.casefold()
    plain = _COMPOUND.get(plain, plain)
    if plain in _ANYWHERE:
        return [(plain, 1)]
    above, *below = _PER.split(plain)
    return [_power(above), *((name, -power) for name, power in map(_power, below))]


def _power(text: str) -> tuple[str, int]:
    text = _COMPOUND.get(text, text)
    first, _, rest = text.partition(" ")
    if rest and first in _POWERS:
        return rest, _POWERS[first]
    head, _, last = text.rpartition(" ")
    if head and last in _POWERS:
        return head, _POWERS[last]
    signed = _SIGN.match(text)
    return (signed[1], _POWER_SIGNS[signed[2]]) if signed else (text, 1)


def known_name(part: str, measures: Measures) -> str | None:
    """Return pint's name of a part that means something else to pint, or nothing."""
    part = _DEGREES.sub("", part)
    whose = _WHOSE.match(part)
    if whose is not None:
        if whose[2] not in _KITCHEN:
            return _ANYWHERE.get(part)
        table = _US if whose[1] in {"us", "american"} else _UK
        return table[_KITCHEN[whose[2]]]
    if part in _KITCHEN:
        return (_UK if measures == "uk" else _US)[_KITCHEN[part]]
    return _ANYWHERE.get(part)


def spoken(parts: list[tuple[str, int]], measures: Measures, *, one: bool) -> str:
    """Return the name of a unit for people, e.g. `kilometres per hour`.

    Args:
        parts: pint's names with their powers.
        measures: how they are spelt.
        one: singular.
    """
    above = [_said(name, power, measures, one=one) for name, power in parts if power > 0]
    below = [_said(name, -power, measures, one=True) for name, power in parts if power < 0]
    return " per ".join([" ".join(above), *below])


def _said(name: str, power: int, measures: Measures, *, one: bool) -> str:
    if measures == "uk":
        name = name.replace("metric_ton", "tonne")
        name = re.sub(r"(?<!para)(meter|liter)$", lambda m: f"{m[0][:-2]}re", name)
    bare = re.sub(r"^(uk|imperial|long)_", "", name) if measures == "uk" else name
    if one:
        word = _SINGULAR.get(bare, bare)
    else:
        word = _IRREGULAR.get(bare) or f"{_SINGULAR.get(bare, bare)}s"
    return _POWER_WORDS.get(power, "") + word.replace("_", " ")
