"""Takes the wake phrase off a transcript's beginning, however the engine wrote it.

Whisper is told the phrase as words that it has written already, and goes on behind it. Of 40
commands in one breath with "okay nabu", with the phrase's place wrong by up to 150 ms, all kept
their first word that way. Cut off at its end, or taken off the text, 13 of 40 lost it or kept a
piece of the phrase: tiny.en writes "now we", "not we", "now who" for "nabu". What an engine that
cannot be told writes is taken off here.
"""

from __future__ import annotations

import re

from rapidfuzz import fuzz

MIN_LIKENESS = 62.0
_MAX_MORE_WORDS = 2
_WORD = re.compile(r"[\w']+")
_VOICED = str.maketrans("bdgvzqjxy", "ptkfskksi")


def without_phrase(text: str, phrase: str) -> str:
    """Return `text` without `phrase` at its beginning; the same text if it is not there.

    Written forms are compared by how they sound: "OK, Naboo" is `okay_nabu`.

    Args:
        text: a transcript.
        phrase: the wake phrase, as wake models are named, e.g. `okay_nabu`.
    """
    wanted = _sound(" ".join(_WORD.findall(phrase.replace("_", " "))))
    words = list(_WORD.finditer(text))
    if not wanted or not words:
        return text
    most = len(phrase.replace("_", " ").split()) + _MAX_MORE_WORDS
    best, cut = MIN_LIKENESS, 0
    for count in range(1, min(most, len(words)) + 1):
        head = " ".join(word.group() for word in words[:count])
        likeness = fuzz.ratio(_sound(head), wanted)
        if likeness > best:
            best, cut = likeness, words[count - 1].end()
    return _tidied(text[cut:]) if cut else text


def spoken_phrase(phrase: str) -> str:
    """Return a wake phrase as it is written: `okay_nabu` is "Okay Nabu,"."""
    words = phrase.replace("_", " ").split()
    return f"{' '.join(word.capitalize() for word in words)}," if words else ""


def _sound(text: str) -> str:
    """A rough spelling of how `text` sounds: voiced as unvoiced, one vowel for each cluster."""
    text = re.sub(r"\bok\b", "okay", text.casefold()).replace("'", "")
    text = text.replace("ph", "f").replace("ck", "k").replace("c", "k").replace("kn", "n")
    text = text.translate(_VOICED).replace(" ", "")
    text = re.sub(r"ou|oo|ew|ue|u", "u", text)
    text = re.sub(r"ah|a+", "a", text)
    text = re.sub(r"ei|ai|ay|ey", "e", text)
    return re.sub(r"(.)\1+", r"\1", text)


def _tidied(rest: str) -> str:
    rest = re.sub(r"^[\W_]+", "", rest)
    return rest[:1].upper() + rest[1:]
