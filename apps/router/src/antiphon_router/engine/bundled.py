"""Bundled: the sentences of the package home-assistant-intents, in many languages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from antiphon_router.abroad import joints
from antiphon_router.engine.matching import unlikeliness
from antiphon_router.vocabulary import Vocabulary, spoken_names

if TYPE_CHECKING:
    from hassil import Intents, RecognizeResult
    from hassil.intents import SlotList

Slots = dict[str, str | float]

_DOMAINS = ("light", "switch", "fan", "cover")
_UNITS_S = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_TIMER = re.compile(r"timer|minuteur|minuterie|countdown|wecker|chrono|temporizador", re.IGNORECASE)
"""Without one of these words a sentence that fits by its wildcards is about something else."""
_HALVES = {"half": 0.5, "1/2": 0.5}


class BundledSentences:
    """The package's sentences of one language for what the fast path can do.

    They name devices, not areas: what else there is in an area nobody can tell. Matching takes
    10-75 ms (measured), so it runs off the loop.

    Args:
        language: two letters.
        only: the package's intents to take; None is all that the fast path can do.
    """

    def __init__(self, language: str, only: frozenset[str] | None = None) -> None:
        from hassil import Intents

        source = files("home_assistant_intents") / "data" / f"{language}.json"
        data = orjson.loads(source.read_bytes())
        wanted = frozenset(_READERS) if only is None else only
        data["intents"] = {
            name: intent for name, intent in data["intents"].items() if name in wanted
        }
        self._language = language
        self._between = re.compile(rf",? (?:{'|'.join(joints(language))}) |, ", re.IGNORECASE)
        self._intents: Intents = Intents.from_dict(data)
        self.learn(Vocabulary())

    def learn(self, vocabulary: Vocabulary) -> None:
        """Know the house's names from now on."""
        from hassil.intents import TextSlotList

        pairs = spoken_names(vocabulary.targets)
        devices = [(said, name, {"domain": domain}) for said, name in pairs for domain in _DOMAINS]
        nothing = TextSlotList.from_strings(())
        self._lists: Mapping[str, SlotList] = {
            "name": TextSlotList.from_tuples(devices, allow_template=False),
            "area": nothing,
            "floor": nothing,
        }

    def matches(self, text: str) -> Iterator[tuple[str, Slots]]:
        """Yield what the text may mean, as the fast path's intents, the likeliest first."""
        from hassil import recognize_all

        found = recognize_all(
            text, self._intents, slot_lists=dict(self._lists), language=self._language
        )
        for result in sorted(found, key=_rank):
            read = _READERS[result.intent.name](result)
            if read is not None and not self._names_two_timers(read[1]):
                yield self._with_each_item(*read)

    def _names_two_timers(self, slots: Slots) -> bool:
        """Whether a timer's name would be the words for another timer."""
        return self._between.search(str(slots.get("name", ""))) is not None

    def _with_each_item(self, name: str, slots: Slots) -> tuple[str, Slots]:
        """Return a list's items as they are read elsewhere: with "and" between them."""
        if "items" not in slots:
            return name, slots
        items = self._between.split(str(slots["items"]))
        return name, slots | {"items": " and ".join(items)}


def _rank(result: RecognizeResult) -> tuple[tuple[int, int, int], bool]:
    """Rank likelier ones first; some languages switch a door on and off as well as open it."""
    return unlikeliness(result), result.response != "cover"


def _nothing(name: str) -> Callable[[RecognizeResult], tuple[str, Slots] | None]:
    return lambda _result: (name, {})


def _entities(result: RecognizeResult) -> dict[str, Any]:
    return {name: entity.value for name, entity in result.entities.items()}


def _device(result: RecognizeResult) -> tuple[str, Slots] | None:
    found = _entities(result)
    if "name" not in found:
        return None
    slots: Slots = {"target": str(found["name"])}
    domain = found.get("domain", result.context.get("domain"))
    is_cover = domain == "cover" or result.response == "cover"
    match result.intent.name:
        case "HassTurnOn":
            slots["state"] = "open" if is_cover else "on"
        case "HassTurnOff":
            slots["state"] = "close" if is_cover else "off"
        case _ if "brightness" in found:
            slots["percent"] = float(found["brightness"])
        case _ if "color" in found:
            slots["color"] = str(found["color"])
        case _:
            return None
    return "device", slots


def _length_s(found: Mapping[str, Any]) -> float:
    total_s = 0.0
    for name, unit_s in _UNITS_S.items():
        value = found.get(name, 0)
        total_s += unit_s * _HALVES.get(str(value), 0.0 if str(value) in _HALVES else float(value))
    return total_s


def _timer_set(result: RecognizeResult) -> tuple[str, Slots] | None:
    found = _entities(result)
    if "conversation_command" in found or not _TIMER.search(result.original_text):
        return None  # a command for later is for the language model
    return "timer_set", {"duration": _length_s(found)} | _name(found)


def _name(found: Mapping[str, Any]) -> Slots:
    return {"name": str(found["name"]).strip()} if "name" in found else {}


def _timer(name: str) -> Callable[[RecognizeResult], tuple[str, Slots] | None]:
    def read(result: RecognizeResult) -> tuple[str, Slots] | None:
        found = _entities(result)
        if "area" in found or not _TIMER.search(result.original_text):
            return None
        started = {k.removeprefix("start_"): v for k, v in found.items() if k.startswith("start_")}
        slots = _name(found)
        if length_s := _length_s(started):
            slots["duration"] = length_s
        if name.startswith("timer_add"):
            slots = _name(found) | {"duration": _length_s(found), "sign": name[-1]}
        return name.rstrip("+-"), slots

    return read


def _every_timer(_result: RecognizeResult) -> tuple[str, Slots] | None:
    return "timer_cancel", {"every": "yes"}


def _item(result: RecognizeResult) -> tuple[str, Slots] | None:
    return "list_add", {"items": str(_entities(result).get("item", "")), "list": "shopping"}


def _volume(result: RecognizeResult) -> tuple[str, Slots] | None:
    found = _entities(result)
    if "name" in found or "volume_level" not in found:
        return None
    return "volume_set", {"percent": float(found["volume_level"])}


_READERS: dict[str, Callable[[RecognizeResult], tuple[str, Slots] | None]] = {
    "HassTurnOn": _device,
    "HassTurnOff": _device,
    "HassLightSet": _device,
    "HassStartTimer": _timer_set,
    "HassCancelTimer": _timer("timer_cancel"),
    "HassCancelAllTimers": _every_timer,
    "HassIncreaseTimer": _timer("timer_add+"),
    "HassDecreaseTimer": _timer("timer_add-"),
    "HassPauseTimer": _timer("timer_pause"),
    "HassUnpauseTimer": _timer("timer_resume"),
    "HassTimerStatus": _timer("timer_left"),
    "HassShoppingListAddItem": _item,
    "HassGetCurrentTime": _nothing("time"),
    "HassGetCurrentDate": _nothing("date"),
    "HassSetVolume": _volume,
    "HassNevermind": _nothing("dismiss"),
}
