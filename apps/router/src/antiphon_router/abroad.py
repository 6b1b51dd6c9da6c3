"""Abroad: what the fast path says in languages other than English.

Each language is a folder of `sentences`; its `answers.toml` is read here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from antiphon_contracts import Timer

from antiphon_router import phrases
from antiphon_router.spoken_times import parts_of_duration

_LEVEL = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Language:
    """A language's short sentences.

    `{}` stands for what differs.

    Attributes:
        okay: what is said to most commands.
        sentences: what is said instead of the English sentences of `phrases`, by their names
            there.
        units: of durations: one and several.
        last_join: between the last two parts of a list.
        time: hour and minutes.
        time_at_one: the same at one o'clock, where that is another sentence.
        date: weekday, day and month.
        weekdays: from Monday on.
        months: from January on.
        started: a timer's length.
        left: what is left of a timer.
        volume: in percent.
    """

    okay: str
    sentences: Mapping[str, str]
    units: Mapping[str, tuple[str, str]]
    last_join: str
    time: str
    date: str
    weekdays: Sequence[str]
    months: Sequence[str]
    started: str
    left: str
    volume: str
    time_at_one: str = ""

    def spoken_time(self, now: datetime) -> str:
        """Return the time of day as a sentence."""
        minutes = f"{now.minute:02d}" if now.minute else ""
        sentence = self.time_at_one if now.hour == 1 and self.time_at_one else self.time
        return f"{sentence.format(now.hour, minutes).strip()}."

    def spoken_date(self, now: datetime) -> str:
        """Return the date as a sentence."""
        return self.date.format(self.weekdays[now.weekday()], now.day, self.months[now.month - 1])

    def spoken_duration(self, seconds: float) -> str:
        """Return a duration, e.g. `1 Stunde und 5 Minuten`."""
        parts = [
            f"{many} {self.units[unit][many != 1]}" for many, unit in parts_of_duration(seconds)
        ]
        if len(parts) > 1:
            parts[-2:] = [f"{parts[-2]} {self.last_join} {parts[-1]}"]
        return ", ".join(parts)

    def spoken_timers(self, timers: Sequence[Timer]) -> str:
        """Return what is left of timers."""
        if not timers:
            return self.sentences["no_timer"]
        told = []
        for timer in timers:
            left = self.left.format(self.spoken_duration(timer.left_s))
            told.append(f"{timer.name}: {left}" if timer.name else left)
        text = ", ".join(told)
        return f"{text[:1].upper()}{text[1:]}."

    def said(self, name: str, slots: Mapping[str, str], english: str) -> str:
        """Return what is said instead of the English answer to an intent."""
        for known, here in self.sentences.items():
            if getattr(phrases, known.upper()) == english:
                return here
        if name == "timer_set":
            return self.started.format(self.spoken_duration(float(slots["length_s"])))
        level = _LEVEL.search(english)
        if name.startswith("volume") and level is not None:
            return self.volume.format(level.group())
        return self.okay


def language(code: str) -> Language | None:
    """Return a language's answers; None for English, whose answers are in the code.

    Args:
        code: two letters, one of `LANGUAGES`.
    """
    if code == ENGLISH:
        return None
    answers = {name: value for name, value in _table(code).items() if name not in _WORDS}
    return Language(**answers)


def joints(code: str) -> tuple[str, ...]:
    """Return what stands between two commands in one breath, longer ones first."""
    return tuple(_table(code)["joints"])


def articles(code: str) -> tuple[str, ...]:
    """Return what stands before a device's name."""
    return tuple(_table(code)["articles"])


def _table(code: str) -> dict[str, Any]:  # TOML holds anything
    return tomllib.loads((_FOLDER / code / "answers.toml").read_text(encoding="utf-8"))


_WORDS = frozenset({"joints", "articles"})
"""What is not answered but understood."""
ENGLISH = "en"
_FOLDER = files("antiphon_router") / "sentences"
LANGUAGES: tuple[str, ...] = tuple(sorted(each.name for each in _FOLDER.iterdir() if each.is_dir()))
"""Languages that the fast path understands, by two letters."""
