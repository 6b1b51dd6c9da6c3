"""What a person is asked before a tool is called: what it would do, and with what.

The words come from the tool's name and the arguments alone, never from a language model's telling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

from antiphon_contracts import ToolSpec
from pydantic import JsonValue

Language = Literal["en", "de"]

MAX_DETAILS = 6
MAX_DEPTH = 4
_KEPT_START, _KEPT_END = 70, 30
_NAME_CHARS = 40

_ASKED: dict[Language, tuple[str, str, str]] = {
    "en": ("Shall I use {tool} of {source}", ", with {details}", "? Please say yes or no."),
    "de": ("Soll ich {tool} von {source} benutzen", ", mit {details}", "? Bitte sag ja oder nein."),
}
_HOUSE = {"en": "the house", "de": "diesem Haus"}
_LONG = {
    "en": "{start} … {end}, {count} characters in all",
    "de": "{start} … {end}, insgesamt {count} Zeichen",
}
_STRANGE = {"en": "{value}, in unusual letters", "de": "{value}, in ungewöhnlichen Buchstaben"}
_EMPTY = {"en": "nothing", "de": "nichts"}
_WORDS = {"en": {True: "yes", False: "no"}, "de": {True: "ja", False: "nein"}}


class TooMuchToAsk(Exception):  # noqa: N818  (no error: the call is refused)
    """A call has more details than a person can judge by ear."""


def question(spec: ToolSpec, arguments: Mapping[str, JsonValue], language: Language) -> str:
    """Return the question, with every argument in it; long values are cut in their middle.

    Raises:
        TooMuchToAsk: there are more than six values, or they nest too deeply.
    """
    found = list(_leaves(arguments, 0))
    if len(found) > MAX_DETAILS:
        raise TooMuchToAsk
    details = ", ".join(f"{plain_name(path)}: {_value(leaf, language)}" for path, leaf in found)
    begun, with_details, end = _ASKED[language]
    source = _HOUSE[language] if spec.source == "installed" else plain_name(spec.source)
    tool = plain_name(spec.name.rpartition(".")[2])
    text = begun.format(tool=tool, source=source)
    return text + (with_details.format(details=details) if details else "") + end


def _leaves(
    value: JsonValue | Mapping[str, JsonValue], depth: int, path: str = ""
) -> Iterator[tuple[str, JsonValue]]:
    if depth > MAX_DEPTH:
        raise TooMuchToAsk
    if isinstance(value, Mapping) and (value or not path):
        for name, item in value.items():
            yield from _leaves(item, depth + 1, f"{path} {name}" if path else name)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _leaves(item, depth + 1, path)
    else:
        yield path, None if isinstance(value, Mapping | list) else value


def _value(value: JsonValue, language: Language) -> str:
    if isinstance(value, bool):
        return _WORDS[language][value]
    text = plain(str(value)) if value is not None else ""
    if not text:
        return _EMPTY[language]
    if len(text) > _KEPT_START + _KEPT_END:
        start, end = text[:_KEPT_START].rstrip(), text[-_KEPT_END:].lstrip()
        text = _LONG[language].format(start=start, end=end, count=len(text))
    return _STRANGE[language].format(value=text) if _mixes_scripts(text) else text


def plain(text: str) -> str:
    """Return a text without what cannot be heard: control and invisible characters, line ends."""
    flat = unicodedata.normalize("NFKC", text)
    heard = (" " if _is_silent(character) else character for character in flat)
    return re.sub(r"\s+", " ", "".join(heard)).strip()


def plain_name(name: str) -> str:
    """Return a name as it is spoken: `git_commit` is `git commit`."""
    return re.sub(r"[\W_]+", " ", plain(name)).strip()[:_NAME_CHARS]


def _is_silent(character: str) -> bool:
    return unicodedata.category(character)[0] in "CZ"


def _mixes_scripts(text: str) -> bool:
    """Return whether letters of other scripts stand beside Latin ones: they may look the same."""
    scripts = {
        unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()
    }
    return "LATIN" in scripts and len(scripts) > 1
