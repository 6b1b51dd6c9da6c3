"""Colours by name and in the forms that lamps understand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from antiphon_tools.tool import ToolError

Warmth = Literal["warm", "neutral", "cool"]

# Names of CSS Color Module Level 4 that people say, with its values.
_NAMES = {
    "red": "ff0000",
    "green": "00ff00",
    "blue": "0000ff",
    "yellow": "ffff00",
    "orange": "ffa500",
    "purple": "800080",
    "violet": "ee82ee",
    "pink": "ffc0cb",
    "magenta": "ff00ff",
    "cyan": "00ffff",
    "turquoise": "40e0d0",
    "teal": "008080",
    "lime": "00ff00",
    "gold": "ffd700",
    "amber": "ffbf00",
    "coral": "ff7f50",
    "salmon": "fa8072",
    "lavender": "e6e6fa",
    "indigo": "4b0082",
    "navy": "000080",
    "crimson": "dc143c",
    "maroon": "800000",
    "olive": "808000",
    "beige": "f5f5dc",
    "white": "ffffff",
}
_WARMTHS: dict[str, Warmth] = {
    "warm": "warm",
    "warm white": "warm",
    "soft white": "warm",
    "neutral": "neutral",
    "neutral white": "neutral",
    "cool": "cool",
    "cool white": "cool",
    "cold": "cool",
    "cold white": "cool",
    "daylight": "cool",
}
KELVIN: dict[Warmth, int] = {"warm": 2700, "neutral": 4000, "cool": 6000}
_HEX = re.compile(r"#?([0-9a-f]{6})")


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour, or a white.

    Attributes:
        name: as it was said, lower case.
        hex: six digits, lower case.
        warmth: which white it is; None is a colour.
    """

    name: str
    hex: str
    warmth: Warmth | None = None

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, each 0 to 255."""
        return (int(self.hex[:2], 16), int(self.hex[2:4], 16), int(self.hex[4:], 16))


def colour(said: str) -> Colour:
    """Return the colour of a name or of `#rrggbb`.

    Raises:
        ToolError: it is none that is known.
    """
    plain = " ".join(said.casefold().split())
    if plain in _WARMTHS:
        return Colour(plain, "ffffff", _WARMTHS[plain])
    digits = _HEX.fullmatch(plain)
    if digits is not None:
        return Colour("that colour", digits[1])
    if plain not in _NAMES:
        raise ToolError("I do not know that colour.", code="bad_arguments")
    return Colour(plain, _NAMES[plain])
