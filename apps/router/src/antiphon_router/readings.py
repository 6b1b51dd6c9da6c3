"""Readings: from what the grammar found to an intent, if its slots make sense."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from antiphon_router import phrases
from antiphon_router.intents import Intent
from antiphon_router.places import zone_of
from antiphon_router.spans import Moment
from antiphon_router.vocabulary import Vocabulary

Found = Mapping[str, str | float | Moment]
"""Slots as the grammar found them: texts, and the values of what was tagged."""

NEEDS = {
    "convert": "convert_units",
    "weather": "get_weather",
    "list_add": "list_add",
    "list_remove": "list_remove",
    "list_show": "list_show",
    "list_clear": "list_clear",
    "note_take": "take_note",
    "notes_read": "read_notes",
    "device": "home_set",
    "scene": "home_scene",
}
"""Intents that only a tool can carry out: without it they are for the language model."""

MAX_NAME_WORDS = 4
MIN_PLAIN_SCENE_WORDS = 2
"""Of a scene's name that is said without `scene`: a single one is an everyday word."""
PERCENT = 100
_NO_NAMES = re.compile(
    r"\b(?:is|are|was|does|do|did|what|how|why|when|who|where|can|could|would|if|that|this|it|on|off"
    r"|timers?|alarms?|reminders?|needs?|wants?|q[a-z]+q|all|every|any|no|not|and then"
    r"|and (?:set|start|put|make|turn|switch|give|add|tell|stop|cancel|remind|wake))\b",
    re.IGNORECASE,
)
_HALF_A_COMMAND = re.compile(r"\b(?:set|start|put on|make) an?$", re.IGNORECASE)
_NO_NAME_BEGINS = re.compile(
    r"(?:to|for|of|on|in|at|by|from|with|until|about|and|or|then|i|you|he|she|we|they|him|her|them|me)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|my|a|an|our|some)\b ?", re.IGNORECASE)
_BETWEEN_ITEMS = re.compile(r",? and |, ?| plus ", re.IGNORECASE)
_BETWEEN_TASKS = re.compile(r",(?: and)? ")
_QUOTES = ' .?!,:;"'
_ITEM_LISTS = re.compile(r"shop|grocer|pack|buy|party")
_NO_ITEM = re.compile(
    r"(?:(?:put|add|stick|pop|get) )?(?:it|that|this|them|something|anything|me|you|us|stuff)",
    re.IGNORECASE,
)
_NO_PLACE = re.compile(
    r"^(?:the|a|my|your|this|that|general|here|degrees?)\b|\blike$|\band\b", re.IGNORECASE
)


def read(name: str, found: Found, vocabulary: Vocabulary) -> Intent | None:
    """Return the intent; None if its slots make none, or if the house cannot do it."""
    if (needed := NEEDS.get(name)) is not None and needed not in vocabulary.tools:
        return None
    slots = _READERS.get(name, _no_slots)(found)
    return None if slots is None else Intent(name, slots)


def _no_slots(_found: Found) -> dict[str, str] | None:
    return {}


def number(value: float) -> str:
    """Return a number without digits that say nothing."""
    return f"{value:.10g}"


def _text(found: Found, slot: str) -> str:
    value = found.get(slot, "")
    return value.strip(_QUOTES) if isinstance(value, str) else ""


def _name(found: Found) -> dict[str, str] | None:
    """Return the name slot; None if it cannot be one."""
    name = _ARTICLE.sub("", _text(found, "name")).strip()
    if "name" not in found:
        return {}
    is_long = len(name.split()) > MAX_NAME_WORDS
    if (
        not name
        or is_long
        or "," in name
        or _HALF_A_COMMAND.search(name)
        or _NO_NAMES.search(name)
        or _NO_NAME_BEGINS.match(name)
    ):
        return None
    return {"name": name.removesuffix("'s").lower()}


def _with_name(found: Found, slots: dict[str, str]) -> dict[str, str] | None:
    name = _name(found)
    return None if name is None else slots | name


def _timer_set(found: Found) -> dict[str, str] | None:
    return _with_name(found, {"length_s": _seconds(found)})


def _seconds(found: Found) -> str:
    value = found.get("duration", found.get("longer", 0.0))
    return number(value) if isinstance(value, float) else "0"


def _which_timer(found: Found) -> dict[str, str] | None:
    is_brief = found.get("duration") == 1.0  # `pause the timer for a second`
    slots = {"length_s": _seconds(found)} if "duration" in found and not is_brief else {}
    if found.get("every"):
        slots["every"] = "yes"
    return _with_name(found, slots)


def _timer_add(found: Found) -> dict[str, str] | None:
    sign = "-" if found.get("sign") == "-" else ""
    return _with_name(found, {"seconds": f"{sign}{_seconds(found)}"})


def _snooze(found: Found) -> dict[str, str] | None:
    return {"seconds": _seconds(found)} if {"duration", "longer"} & found.keys() else {}


def _when(found: Found) -> Moment:
    """Return the moment; its day may have been said apart from its time."""
    when, often = (found.get(slot) for slot in ("when", "often"))
    if not isinstance(when, Moment):
        return Moment()
    if not isinstance(often, Moment):
        return when
    return Moment(
        at=when.at or often.at,
        day=when.day or often.day,
        days=when.days or often.days,
        part=when.part or often.part,
    ).settled


def _alarm_set(found: Found) -> dict[str, str] | None:
    if "duration" in found:
        return {"after_s": _seconds(found)}
    when = _when(found)
    return _with_name(found, when.slots()) if when.at else None


def _alarm_cancel(found: Found) -> dict[str, str] | None:
    slots = _when(found).slots()
    return slots | ({"every": "yes"} if found.get("every") else {})


def _reminder_set(found: Found) -> dict[str, str] | None:
    text = _text(found, "text")
    if not text or (phrases.is_vague(text) and len(text.split()) == 1):
        return None
    if "duration" in found:
        return {"text": text, "after_s": _seconds(found)}
    when = _when(found)
    return {"text": text} | when.slots() | {"at": when.usual_at}


def _reminder_cancel(found: Found) -> dict[str, str] | None:
    slots = _alarm_cancel(found) or {}
    return slots | ({"text": _text(found, "text")} if "text" in found else {})


def _volume_set(found: Found) -> dict[str, str] | None:
    for slot in ("level", "percent", "number"):
        if isinstance(value := found.get(slot), str | float):
            return {"level": number(float(value))}
    return None


def _volume_step(found: Found) -> dict[str, str] | None:
    level = _volume_set(found)
    return {} if level is None else {"by": level["level"]}


def _items(found: Found) -> dict[str, str] | None:
    name = _text(found, "list") or "shopping"
    pattern = _BETWEEN_ITEMS if _ITEM_LISTS.search(name) else _BETWEEN_TASKS
    items = [_ITEM_ARTICLE.sub("", item.strip(_QUOTES)) for item in pattern.split(_raw(found))]
    items = [item for item in items if item]
    if "bare_items" in found and _NO_BARE_ITEMS.search(_raw(found)):
        return None
    if not items or any(_NO_ITEM.fullmatch(item) for item in items):
        return None
    return {"items": "|".join(items), "list": name}


_NO_BARE_ITEMS = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|does|do|did|what|how|why|when|who|whose|which|where"
    r"|can|could|would|should|will|if|i|you|he|she|we|they|it|not|no|take|takes|remove|delete"
    r"|cross|clear|read|show|tell|find|look|check|put|got|get|went|go|goes|off|everything"
    r"|anything|nothing|something)\b|n't\b",
    re.IGNORECASE,
)
"""Words of a sentence about a list; what is to go on it has none where no verb says so."""

_ITEM_ARTICLE = re.compile(
    r"^(?:some|the|more|an?)\b (?!(?:few|couple|dozen|lot|bit)\b)", re.IGNORECASE
)


def _raw(found: Found) -> str:
    value = found.get("items", found.get("bare_items", ""))
    return value if isinstance(value, str) else ""


def _which_list(found: Found) -> dict[str, str] | None:
    return {"list": _text(found, "list") or "shopping"}


def _note(found: Found) -> dict[str, str] | None:
    text = _text(found, "text")
    is_music = text.lower().startswith(("in ", "to ", "with "))
    return None if not text or is_music or phrases.is_vague(text) else {"text": text}


_A_LIGHT = re.compile(
    r"\b(?:lights?|lamps?|bulbs?|leds?|strip|lampe|licht|luz|luces|lámpara|luce|luci|lampada|lumière)\b"
    r"|lamp$|licht$",
    re.IGNORECASE,
)
_OF_COVERS = {"open": "25", "close": "-25"}


def _device(found: Found) -> dict[str, str] | None:
    slots = {"target": _text(found, "target")}
    for slot in ("percent", "number"):
        if isinstance(value := found.get(slot), float):
            slots["brightness"] = number(value)
    for slot in ("state", "color", "brightness", "brighter_by"):
        if slot in found:
            slots[slot] = _text(found, slot)
    is_light = _A_LIGHT.search(slots["target"]) is not None
    if "turned_by" in found:
        if not is_light:
            return None
        slots["brighter_by"] = _text(found, "turned_by")
    if is_light and slots.get("state") in _OF_COVERS:
        # "Lower the lights": what can be lowered and raised else is a blind.
        slots |= {"state": "on", "brighter_by": _OF_COVERS[slots["state"]]}
    return slots if len(slots) > 1 else None


def _scene(found: Found) -> dict[str, str] | None:
    """Return the scene; `it's time for dinner` starts none, `it's movie night` does."""
    plain = _text(found, "plain")
    if plain and len(plain.split()) < MIN_PLAIN_SCENE_WORDS:
        return None
    return {"scene": plain or _text(found, "scene")}


def _place(found: Found) -> str | None:
    place = _text(found, "place")
    if len(place.split()) > MAX_NAME_WORDS or _NO_PLACE.match(place) or _NO_NAMES.search(place):
        return None
    return place


def _weather(found: Found) -> dict[str, str] | None:
    when = _when(found)
    if when.at or when.days:
        return None
    slots = {"day": when.day} if when.day else {}
    if "place" in found:
        place = _place(found)
        if not place:
            return None
        slots["place"] = place[:1].upper() + place[1:]
    return slots


def _time(found: Found) -> dict[str, str] | None:
    zone = zone_of(_text(found, "place"))
    return None if zone is None else {"zone": zone}


_LENGTHS_S = (("weeks", 604_800), ("days", 86_400), ("hours", 3600), ("minutes", 60))


def _of_length(length_s: str | float | Moment, besides: str) -> tuple[str | float | Moment, str]:
    """Return a duration in the largest unit that it is whole in, not in that it is asked for."""
    if isinstance(length_s, float):
        for unit, unit_s in _LENGTHS_S:
            if unit != besides and length_s % unit_s == 0:
                return length_s / unit_s, unit
    return length_s, "seconds"


def _convert(found: Found) -> dict[str, str] | None:
    to_unit, from_unit = _text(found, "to_unit"), _text(found, "from_unit")
    value = found.get("number", 1.0)
    if "duration" in found:
        value, from_unit = _of_length(found["duration"], besides=to_unit)
    if not isinstance(value, float) or not from_unit or from_unit == to_unit:
        return None
    return {"value": number(value), "from_unit": from_unit, "to_unit": to_unit}


_READERS: dict[str, Callable[[Found], dict[str, str] | None]] = {
    "timer_set": _timer_set,
    "timer_left": _which_timer,
    "timer_add": _timer_add,
    "timer_cancel": _which_timer,
    "timer_stop": _which_timer,
    "timer_pause": _which_timer,
    "timer_resume": _which_timer,
    "snooze": _snooze,
    "alarm_set": _alarm_set,
    "alarm_cancel": _alarm_cancel,
    "reminder_set": _reminder_set,
    "reminder_cancel": _reminder_cancel,
    "volume_set": _volume_set,
    "volume_up": _volume_step,
    "volume_down": _volume_step,
    "list_add": _items,
    "list_remove": _items,
    "list_show": _which_list,
    "list_clear": _which_list,
    "note_take": _note,
    "device": _device,
    "scene": _scene,
    "weather": _weather,
    "time": _time,
    "convert": _convert,
}
