"""Whether a spoken answer is a yes. Whatever is not clearly one is a no."""

from __future__ import annotations

import re
import unicodedata

_FILLERS = frozenset({"um", "uh", "er", "well", "oh", "äh", "ähm", "hm", "also", "na", "ach"})
_MORE = frozenset({"yes", "yeah", "ja", "please", "bitte", "thanks", "danke"})

_YES = frozenset(
    {
        # English
        "yes", "yeah", "yep", "yup", "yes please", "yes do it", "yes you may", "yes go ahead",
        "yes sure", "yes of course", "yes i am sure", "yes i'm sure", "yes confirm",
        "yes that's right", "yes that is right", "do it", "do that", "go ahead", "please do",
        "sure", "of course", "certainly", "absolutely", "okay", "ok", "all right", "alright",
        "confirm", "confirmed", "i confirm", "you may", "that's right", "that is right",
        "correct", "yes okay", "yes ok",
        # German
        "ja", "jawohl", "jo", "jep", "ja bitte", "ja gerne", "ja gern", "ja klar", "ja sicher",
        "ja natürlich", "ja mach das", "ja mach es", "ja tu das", "ja tu es", "ja okay", "ja ok",
        "ja genau", "ja darfst du", "ja das darfst du", "ja in ordnung", "ja ich bin sicher",
        "mach das", "mach es", "mach", "tu das", "tu es", "gerne", "gern", "klar", "na klar",
        "sicher", "natürlich", "selbstverständlich", "in ordnung", "einverstanden", "bestätigt",
        "ich bestätige", "genau", "richtig", "du darfst",
    }
)  # fmt: skip


def is_yes(answer: str) -> bool:
    """Return whether an answer, in English or German, says yes and nothing else."""
    plain = unicodedata.normalize("NFC", answer).casefold().replace("’", "'")
    words = re.sub(r"[^\w' ]+", " ", plain).split()
    while words and words[0] in _FILLERS:
        words = words[1:]
    if " ".join(words) in _YES:
        return True
    # "yes, yes", "yes please, thanks": a yes and words that only stress it.
    return bool(words) and words[0] in {"yes", "yeah", "ja"} and set(words) <= _MORE
