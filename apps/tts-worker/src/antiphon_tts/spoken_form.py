"""Spoken form: English figures, units, times and dates written out as people say them.

espeak-ng, which turns text into sounds for Piper too, reads "km" letter by letter, "$5.20" as
"dollar five point two zero", and 1984 as a number. Whole numbers, decimals and ordinals it reads
well, so these stay figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NUMBER = r"(?<![\w.,])(?P<number>[-−]?\d+(?:,\d{3})*(?:\.\d+)?)"
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SHORT_MONTHS = {name[:3]: name for name in _MONTHS} | {"Sept": "September"}
_UNITS = {
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "km/h": ("kilometre an hour", "kilometres an hour"),
    "kph": ("kilometre an hour", "kilometres an hour"),
    "mph": ("mile an hour", "miles an hour"),
    "m/s": ("metre a second", "metres a second"),
    "km²": ("square kilometre", "square kilometres"),
    "m²": ("square metre", "square metres"),
    "m³": ("cubic metre", "cubic metres"),
    "km": ("kilometre", "kilometres"),
    "cm": ("centimetre", "centimetres"),
    "mm": ("millimetre", "millimetres"),
    "m": ("metre", "metres"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("millilitre", "millilitres"),
    "mL": ("millilitre", "millilitres"),
    "l": ("litre", "litres"),
    "L": ("litre", "litres"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "kW": ("kilowatt", "kilowatts"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "GHz": ("gigahertz", "gigahertz"),
    "MHz": ("megahertz", "megahertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "Hz": ("hertz", "hertz"),
    "TB": ("terabyte", "terabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "hPa": ("hectopascal", "hectopascals"),
    "dB": ("decibel", "decibels"),
    "ms": ("millisecond", "milliseconds"),
    "min": ("minute", "minutes"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "h": ("hour", "hours"),
}
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
}
_FRACTIONS = {
    "1/2": "one half",
    "½": "one half",
    "1/3": "one third",
    "⅓": "one third",
    "2/3": "two thirds",
    "⅔": "two thirds",
    "1/4": "one quarter",
    "¼": "one quarter",
    "3/4": "three quarters",
    "¾": "three quarters",
}
_BEFORE_A_YEAR = (
    "in|since|of|from|until|till|by|to|year|before|after|around|during|late|early|and|about|"
    + "|".join(_MONTHS)
)
_units = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))


def spoken_form(text: str) -> str:
    """Return English `text` as it is said; what no rule knows stays as it is."""
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    return text


def _date(found: re.Match[str]) -> str:
    year, month, day = (int(part) for part in found.group("year", "month", "day"))
    if not 1 <= month <= len(_MONTHS) or not 1 <= day <= 31:  # noqa: PLR2004  (days of a month)
        return found.group()
    return f"{_MONTHS[month - 1]} {_ordinal(day)}, {_year(str(year))}"


def _short_month(found: re.Match[str]) -> str:
    day = found.group("day")
    name = _SHORT_MONTHS[found.group("month")]
    return f"{name} {_ordinal(int(day))}" if day else name


def _ordinal(number: int) -> str:
    teens = range(11, 14)
    ends = {1: "st", 2: "nd", 3: "rd"}
    end = "th" if number % 100 in teens else ends.get(number % 10, "th")
    return f"{number}{end}"


def _time(found: re.Match[str]) -> str:
    hour, minute, half = found.group("hour", "minute", "half")
    rest = f" {half.replace('.', '').upper()}" if half else ""
    if minute == "00":
        return f"{int(hour)}{rest}" if half else f"{int(hour)} o'clock"
    return f"{int(hour)} {'oh ' + minute[1] if minute[0] == '0' else minute}{rest}"


def _money(found: re.Match[str]) -> str:
    sign, whole, part, scale = found.group("sign", "whole", "part", "scale")
    one, many, small, smalls = _MONEY[sign]
    if scale:
        return f"{whole}{'.' + part if part else ''} {scale} {many}"
    said = f"{whole} {one if whole == '1' else many}"
    if part and int(part) and small:
        cents = int(part.ljust(2, "0"))
        said += f" and {cents} {small if cents == 1 else smalls}"
    return said


def _unit(found: re.Match[str]) -> str:
    number, unit = found.group("number", "unit")
    one, many = _UNITS[unit]
    return f"{number} {one if number.lstrip('-−') == '1' else many}"


def _range(found: re.Match[str]) -> str:
    first, last = found.group("first", "last")
    is_phone = (len(first), len(last)) == (3, 4)
    if is_phone or float(first) >= float(last):
        return found.group()
    return f"{first} to {last}"


def _year(year: str) -> str:
    """Four figures in two pairs: "nineteen eighty-four"."""
    century, rest = year[:2], year[2:]
    if year[1:3] == "00":
        return year
    if rest == "00":
        return f"{century} hundred"
    return f"{century} oh {rest[1]}" if rest[0] == "0" else f"{century} {rest}"


def _year_after(found: re.Match[str]) -> str:
    return found.group("before") + _year(found.group("year")) + found.group("behind")


def _minus(found: re.Match[str]) -> str:
    return f"minus {found.group('number')}"


_Say = Callable[[re.Match[str]], str] | str
_RULES: tuple[tuple[re.Pattern[str], _Say], ...] = (
    (
        re.compile(r"(?<![\w-])(?P<year>[12]\d{3})-(?P<month>\d\d)-(?P<day>\d\d)(?![\w-])"),
        _date,
    ),
    (
        re.compile(
            r"\b(?P<month>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\b\.?"
            r"(?:\s+(?P<day>[0-3]?\d)\b(?![.:]\d|th|st|nd|rd))?"
        ),
        _short_month,
    ),
    (
        re.compile(
            r"(?<![\w:.])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
            r"(?:\s?(?P<half>[ap]\.?m\b\.?|[AP]\.?M\b\.?))?(?![\w:])"
        ),
        _time,
    ),
    (
        re.compile(
            r"(?P<sign>[$€£¥])\s?(?P<whole>\d+(?:,\d{3})*)(?:\.(?P<part>\d{1,2}))?"
            r"(?:\s(?P<scale>thousand|million|billion|trillion))?(?![\d.]*\d)"
        ),
        _money,
    ),
    (
        re.compile(
            r"(?<![\w.,/-])(?P<first>\d{1,4}(?:\.\d+)?)\s?[-–]\s?(?P<last>\d{1,4}(?:\.\d+)?)(?![\w/-]*\d)"
        ),
        _range,
    ),
    (re.compile(rf"{_NUMBER}\s?(?P<unit>{_units})(?![\w/²³°])"), _unit),
    (
        re.compile(r"(?<![\d/])(?:[123]/[234]|[½⅓⅔¼¾])(?![\d/])"),
        lambda m: _FRACTIONS.get(m[0], m[0]),
    ),
    (
        re.compile(
            rf"(?P<before>\b(?:{_BEFORE_A_YEAR})(?:\s\d{{1,2}}(?:st|nd|rd|th)?,?)?\s)"
            r"(?P<year>1[1-9]\d\d|20\d\d)(?P<behind>s?)(?![\w%°$€£]|[.,:/]\d|\s?(?:people|times|points))",
            re.IGNORECASE,
        ),
        _year_after,
    ),
    (re.compile(r"(?<![\w.,)-])[-−](?P<number>\d)"), _minus),
    (re.compile(r"~\s?(?=\d)|≈\s?"), "about "),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"(?<=\d)\s?[×x]\s?(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s?÷\s?(?=\d)"), " divided by "),
)
