"""Abroad: what the fast path says in languages other than English."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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
        sentences: what is said in English, and here.
        units: of durations: one and several.
        last_join: between the last two parts of a list.
        time: hour and minutes.
        date: weekday, day and month.
        weekdays: from Monday on.
        months: from January on.
        started: a timer's length.
        left: what is left of a timer.
        no_timer: there is none.
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
    no_timer: str
    volume: str

    def spoken_time(self, now: datetime) -> str:
        """Return the time of day as a sentence."""
        minutes = f"{now.minute:02d}" if now.minute else ""
        return f"{self.time.format(now.hour, minutes).strip()}."

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
            return self.no_timer
        told = []
        for timer in timers:
            left = self.left.format(self.spoken_duration(timer.left_s))
            told.append(f"{timer.name}: {left}" if timer.name else left)
        text = ", ".join(told)
        return f"{text[:1].upper()}{text[1:]}."

    def said(self, name: str, slots: Mapping[str, str], english: str) -> str:
        """Return what is said instead of the English answer to an intent."""
        if english in self.sentences:
            return self.sentences[english]
        if name == "timer_set":
            return self.started.format(self.spoken_duration(float(slots["length_s"])))
        level = _LEVEL.search(english)
        if name.startswith("volume") and level is not None:
            return self.volume.format(level.group())
        return self.okay


_GERMAN = Language(
    okay="Okay.",
    sentences={
        phrases.NOTHING_TO_REPEAT: "Ich habe noch nichts gesagt.",
        phrases.NO_TIME: "Ein Timer braucht mehr als 0 Sekunden.",
        phrases.TOO_LONG: "Das ist zu lang: ein Jahr ist das Höchste.",
        phrases.NO_VOLUME: "Die Lautstärke geht von 0 bis 100 Prozent.",
        phrases.NO_BRIGHTNESS: "Die Helligkeit geht von 0 bis 100 Prozent.",
        phrases.NO_TIMER: "Es läuft kein solcher Timer.",
    },
    units={
        "day": ("Tag", "Tage"),
        "hour": ("Stunde", "Stunden"),
        "minute": ("Minute", "Minuten"),
        "second": ("Sekunde", "Sekunden"),
    },
    last_join="und",
    time="Es ist {} Uhr {}",
    date="Heute ist {}, der {}. {}.",
    weekdays=["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
    months=[
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    started="{}, ab jetzt.",
    left="noch {}",
    no_timer="Es läuft kein solcher Timer.",
    volume="Lautstärke {} Prozent.",
)
_FRENCH = Language(
    okay="D'accord.",
    sentences={
        phrases.NOTHING_TO_REPEAT: "Je n'ai encore rien dit.",
        phrases.NO_TIME: "Un minuteur dure plus de 0 seconde.",
        phrases.TOO_LONG: "C'est trop long : un an au plus.",
        phrases.NO_VOLUME: "Le volume va de 0 à 100 pour cent.",
        phrases.NO_BRIGHTNESS: "La luminosité va de 0 à 100 pour cent.",
        phrases.NO_TIMER: "Il n'y a pas de tel minuteur.",
    },
    units={
        "day": ("jour", "jours"),
        "hour": ("heure", "heures"),
        "minute": ("minute", "minutes"),
        "second": ("seconde", "secondes"),
    },
    last_join="et",
    time="Il est {} h {}",
    date="Nous sommes le {} {} {}.",
    weekdays=["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    months=[
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    started="{}, c'est parti.",
    left="encore {}",
    no_timer="Il n'y a pas de tel minuteur.",
    volume="Volume {} pour cent.",
)
LANGUAGES: Mapping[str, Language] = {"de": _GERMAN, "fr": _FRENCH}
"""Languages whose answers are not English."""
