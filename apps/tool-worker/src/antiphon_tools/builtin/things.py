"""Things of the house that can be set: lamps, sockets, fans and covers, whoever reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from antiphon_tools.builtin.colours import Colour
from antiphon_tools.home_sections import Kind, State
from antiphon_tools.tool import ToolError


@dataclass(frozen=True, slots=True)
class Setting:
    """What a thing shall be.

    Attributes:
        state: what it shall do.
        brightness: in percent.
        colour: of its light.
        brighter_by: points of percent; below 0 is darker.
    """

    state: State
    brightness: int | None = None
    colour: Colour | None = None
    brighter_by: int | None = None

    @property
    def is_for_lights(self) -> bool:
        """Whether only lights can be so."""
        wanted = (self.brightness, self.colour, self.brighter_by)
        return any(each is not None for each in wanted)

    @property
    def is_for_covers(self) -> bool:
        """Whether only covers can be so."""
        return self.state in {"open", "close"}


class Thing(Protocol):
    """Something that can be set.

    Attributes:
        name: what people call it.
        kind: what it is.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  (see the class)

    @property
    def kind(self) -> Kind: ...  # noqa: D102

    def require(self, setting: Setting) -> None:
        """Do nothing if it can be so.

        Raises:
            ToolError: it cannot; the text says why.
        """

    async def set(self, setting: Setting) -> None:
        """Have it set; whether it obeys is not known.

        Raises:
            ToolError: it was not told.
        """


def fits(thing: Thing, setting: Setting) -> bool:
    """Return whether a thing is meant when a whole room is set."""
    if setting.is_for_covers:
        return thing.kind == "cover"
    if setting.is_for_lights:
        return thing.kind == "light"
    return thing.kind != "cover"


def require_kind(thing: Thing, setting: Setting) -> None:
    """Do nothing if a thing of its kind can be so.

    Raises:
        ToolError: it cannot; the text says why.
    """
    if setting.is_for_lights and thing.kind != "light":
        raise ToolError(f"The {thing.name} is no light.", code="bad_arguments")
    if setting.is_for_covers and thing.kind != "cover":
        raise ToolError(f"The {thing.name} cannot be opened or closed.", code="bad_arguments")
    if thing.kind == "cover" and not setting.is_for_covers:
        raise ToolError(f"The {thing.name} can only be opened or closed.", code="bad_arguments")
