"""The house: devices, scenes, and how loud a site speaks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from antiphon_contracts import PLAYBACK_CONTROL, PlaybackControl
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.commands.asking import Asking, Command
from antiphon_router.commands.undoing import Undoing
from antiphon_router.vocabulary import ALL_LIGHTS, LIGHTS

STEP = 10.0
"""In percent, by which `louder` and `quieter` change the volume."""
LOUDEST = 100.0
MAX_SITES = 512


class Devices:
    """Switches devices and sets scenes.

    Args:
        asking: asks the tool worker.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def set(self, command: Command) -> str:
        """Switch, dim or colour a device, an area or a group."""
        slots = command.slots
        arguments: dict[str, object] = {
            "target": self._meant(slots["target"], command.site_id),
            "state": slots.get("state", "on"),
        }
        if "brightness" in slots:
            brightness = float(slots["brightness"])
            if not 0 <= brightness <= LOUDEST:
                return phrases.NO_BRIGHTNESS
            arguments["brightness"] = brightness
            if brightness == 0:
                arguments["state"] = "off"
                del arguments["brightness"]
        if "brighter_by" in slots:
            arguments["brighter_by"] = int(slots["brighter_by"])
        if "color" in slots:
            arguments["color"] = slots["color"]
        return await self._asking.say(command, "home_set", **arguments)

    def _meant(self, target: str, site_id: str) -> str:
        """Return the target that is meant: `lights` are those of the room, where it has some."""
        targets = self._asking.vocabulary.targets
        if target != LIGHTS or LIGHTS in targets:
            return target
        rooms = {name: name.removesuffix(LIGHTS) for name in targets if name.endswith(f" {LIGHTS}")}
        own = [name for name, room in rooms.items() if _plain(room) == _plain(site_id)]
        near = [name for name, room in rooms.items() if _letters(room) == _letters(site_id)]
        # "bedroom-2" is the bedroom, unless the house has two of them.
        return next((names[0] for names in (own, near) if len(names) == 1), ALL_LIGHTS)

    async def begin_scene(self, command: Command) -> str:
        """Set a scene."""
        return await self._asking.say(command, "home_scene", scene=command.slots["scene"])


def _plain(name: str) -> str:
    """Return a room's or site's name as it is compared: `Living-Room 2` is `livingroom2`."""
    return "".join(char for char in name.casefold() if char.isalnum())


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalpha())


class Volume:
    """Sets how loud a site's speaker is.

    A satellite does not tell its volume: until somebody sets it here, it is taken for the site's
    own setting, else for the loudest.

    Args:
        bus: for the orders.
        undoing: told what can be taken back.
        usual: a site's volume by its settings, 0 to 1; None is unknown.
    """

    def __init__(self, bus: Bus, undoing: Undoing, usual: Callable[[str], float | None]) -> None:
        self._bus = bus
        self._undoing = undoing
        self._usual = usual
        self._levels: OrderedDict[str, float] = OrderedDict()
        self._muted: dict[str, float] = {}

    def level(self, site_id: str) -> float:
        """Return a site's volume, in percent."""
        if site_id in self._levels:
            return self._levels[site_id]
        usual = self._usual(site_id)
        return LOUDEST if usual is None else usual * 100

    async def change(self, command: Command) -> str:
        """Set the volume, or change it by a step."""
        before = self.level(command.site_id)
        step = float(command.slots.get("by", STEP))
        match command.name:
            case "mute":
                self._muted.setdefault(command.site_id, before)
                self._set(command.site_id, 0.0)
                return phrases.OKAY
            case "unmute":
                self._set(command.site_id, self._muted.get(command.site_id, before) or STEP)
                return phrases.OKAY
            case "volume_up":
                level = min(LOUDEST, before + step)
            case "volume_down":
                level = max(0.0, before - step)
            case _:
                level = float(command.slots["level"])
        if not 0 <= level <= LOUDEST:
            return phrases.NO_VOLUME
        self._set(command.site_id, level)
        self._undoing.note(command, partial(self._take_back, before))
        return f"Volume {phrases.spoken_number(round(level))} percent."

    async def _take_back(self, before: float, command: Command) -> str:
        self._set(command.site_id, before)
        return f"Volume {phrases.spoken_number(round(before))} percent."

    def _set(self, site_id: str, level: float) -> None:
        if level > 0:
            self._muted.pop(site_id, None)
        self._levels[site_id] = level
        self._levels.move_to_end(site_id)
        if len(self._levels) > MAX_SITES:
            forgotten, _ = self._levels.popitem(last=False)
            self._muted.pop(forgotten, None)
        order = PlaybackControl(action="volume", volume=level / 100)
        self._bus.publish(PLAYBACK_CONTROL, order, site_id=site_id)
