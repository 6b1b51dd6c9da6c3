"""English words that matter to what is a fact, and to whether two facts contradict each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_SUBJECT_WORDS = 7


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYNONYMS = {
    "bike": "bicycle",
    "push-bike": "bicycle",
    "auto": "car",
    "automobile": "car",
    "mum": "mother",
    "mom": "mother",
    "mummy": "mother",
    "dad": "father",
    "daddy": "father",
    "grandma": "grandmother",
    "granny": "grandmother",
    "gran": "grandmother",
    "grandpa": "grandfather",
    "granddad": "grandfather",
    "grandad": "grandfather",
    "kid": "child",
    "kids": "children",
    "tv": "television",
    "telly": "television",
    "fridge": "refrigerator",
    "couch": "sofa",
    "settee": "sofa",
    "cellar": "basement",
    "colour": "color",
    "favourite": "favorite",
    "grey": "gray",
    "wi-fi": "wifi",
    "wlan": "wifi",
    "telephone": "phone",
    "cellphone": "mobile",
    "trash": "rubbish",
    "garbage": "rubbish",
    "doc": "doctor",
    "dr": "doctor",
    "pc": "computer",
    "cab": "taxi",
    "vacation": "holiday",
    "apartment": "flat",
    "passcode": "code",
    "surname": "lastname",
    "spouse": "partner",
    "beneath": "under",
    "underneath": "under",
    "below": "under",
    "inside": "in",
    "within": "in",
    "into": "in",
    "onto": "on",
    "upon": "on",
    "near": "beside",
    "a.m": "am",
    "p.m": "pm",
}
PHRASES = (
    (re.compile(r"\b(?:wi fi|wireless(?: network| lan)?|wifi network|wi-fi network)\b"), "wifi"),
    (re.compile(r"\b(?:mobile|cell) phone\b"), "mobile"),
    (re.compile(r"\bphone number\b"), "phonenumber"),
    (re.compile(r"\btelephone number\b"), "phonenumber"),
    (re.compile(r"\b(?:last|family) name\b"), "lastname"),
    (re.compile(r"\b(?:first|given) name\b"), "name"),
    (re.compile(r"\b(?:e-mail|email|mail) address\b"), "email"),
    (re.compile(r"\b(?:licence|license|number) plate\b"), "plate"),
    (re.compile(r"\bdate of birth\b"), "birthday"),
    (re.compile(r"\bnext to\b"), "beside"),
    (re.compile(r"\bon top of\b"), "on"),
    (re.compile(r"\bpin (?:code|number)\b"), "pin"),
    (re.compile(r"\bliving room\b"), "lounge"),
    (re.compile(r"\bo'clock\b"), ""),
)
"""Applied to lower-case text, in order."""

_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
NUMBERS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}
CONTRACTIONS = (
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\b(we|you|they)'re\b"), r"\1 are"),
    (re.compile(r"\b(i|we|you|they)'ve\b"), r"\1 have"),
    (re.compile(r"\b(he|she|it|that|there|here|name)'s (?!\w+ (?:is|are)\b)"), r"\1 is "),
    (re.compile(r"\b(have|has) got\b"), r"\1"),
    (re.compile(r"\bcan(?:'t|not)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\b(\w+)n't\b"), r"\1 not"),
)

COLORS = _words(
    """
    red green blue yellow black white gray brown orange purple pink violet turquoise silver gold
    golden beige crimson navy teal magenta cyan lime maroon olive cream chartreuse blonde blond
    """
)
COLOR_SHADES = _words("dark light bright pale deep matt shiny and")

SINGLE = _words(
    """
    name lastname password code pin number phonenumber birthday address size age email color plate
    height weight job nickname username combination postcode timezone anniversary
    """
)
"""What a thing has one of: `the wifi password`, `my shoe size`."""

OFTEN_SEVERAL = _words(
    """
    sister brother son daughter child friend cousin aunt uncle neighbour neighbor niece nephew
    colleague teacher grandson granddaughter cat dog pet horse rabbit bird hamster
    """
)
"""Of whom one may well have several, so that two names are no contradiction."""

PEOPLE = OFTEN_SEVERAL | _words(
    """
    i we mother father wife husband partner grandmother grandfather boss doctor dentist plumber
    landlord girlfriend boyfriend children parents
    """
)

UNIQUE_RELATIVES = _words("mother father grandmother grandfather")

NO_PLACE = _words(
    """
    good bad great poor love use trouble danger fire sale charge need pain order style top average
    holiday diet time general
    """
)
"""What is no place after "in" or "on"."""

PRONOUNS = _words(
    """
    he she it they this that these those there here what who you your his her its their everyone
    everything someone something nobody nothing all some many one today me us
    """
)
"""Of which a sentence alone does not say whom they mean."""

NO_SUBJECT = _words("is are am has have do does not can and be been says said like likes")
"""Words that are in no simple noun phrase."""

WORK = _words(
    """
    nurse teacher doctor dentist engineer developer programmer student lawyer writer baker butcher
    farmer gardener driver pilot plumber electrician carpenter painter musician artist actor
    designer architect accountant manager cook chef waiter journalist librarian scientist
    researcher mechanic policeman firefighter soldier priest translator vegetarian vegan diabetic
    """
)

THINGS_KEPT = _words(
    """
    key keys passport passports box stopcock tent tools toolbox glasses documents papers manual
    ladder safe medicine kit batteries charger suitcase suitcases decorations candles torch drill
    mower certificate will licence license presents gifts router lights meter valve blankets
    bandages vaccination insurance
    """
)
"""Of which people ask where they are."""

PLACES = _words("in on under at behind beside above over between outside upstairs downstairs")
DAYS = frozenset(
    f"{day}{end}"
    for day in _words("monday tuesday wednesday thursday friday saturday sunday")
    for end in ("", "s")
)
MONTHS = _words(
    "january february march april may june july august september october november december"
)

NO_VALUE = _words(
    """
    wrong right correct incorrect valid invalid secret safe weak strong long short new old expired
    important working unknown missing easy hard simple good bad same case too on in under ready
    lost gone changed being not no funny nice great really very so quite spelled broken
    """
)
"""How a value that says nothing of a name, a code or a number begins."""

DATES = _words("birthday anniversary")

EXACT = _words("password code pin number phonenumber plate combination username email postcode")
"""What is another one if a word of it is missing."""

STATES = (
    _words("broken fixed repaired working"),
    _words("married single divorced engaged widowed"),
    _words("vegan vegetarian"),
    _words("open closed shut"),
)
"""States that exclude each other."""

SMALL_WORDS = _words("a an the very really quite just that to")
"""Left out where values and whole sentences are compared."""

UPDATING = re.compile(
    r"\b(?:from now on|right now|now|nowadays|these days|actually|in fact|instead|after all"
    r"|any ?more|any longer|meanwhile|again)\b"
)
_OPENING = re.compile(
    r"^(?:(?:no|oh|well|so|hey|please|okay|ok|by the way|sorry|and|also"
    r"|remember(?: that)?|note(?: that)?|you should know(?: that)?)\b[, ]*)+"
)
_WORD = re.compile(r"[^\W_](?:[\w.'’@+/:-]*\w)?")

_CLOCK = re.compile(
    r"^(?:at |to )?(?:half past |quarter (?:past|to) )?(?:\d{1,2}(?!\w)|noon|midnight)"
)
_DATE = re.compile(r"\b\d{1,2}(?:st|nd|rd|th)\b|\b(?:19|20)\d\d\b")


def normal(text: str) -> str:
    """Return the text in lower case, without contractions, one word for each of its synonyms."""
    plain = " ".join(text.lower().replace("’", "'").split()).rstrip(" .!,")
    plain = _OPENING.sub("", plain)
    for pattern, instead in (*CONTRACTIONS, *PHRASES):
        plain = pattern.sub(instead, plain)
    return " ".join(_one_word(word) for word in plain.split())


def _one_word(word: str) -> str:
    end = "," if word.endswith(",") else ""
    bare = word.rstrip(",.!")
    stem, possessive = (bare[:-2], "'s") if bare.endswith("'s") else (bare, "")
    known = SYNONYMS.get(stem, NUMBERS.get(stem, stem))
    return f"{known}{possessive}{end}"


def plain_words(text: str) -> list[str]:
    """Return the words of a sentence that count where two are compared, in order."""
    words = _WORD.findall(UPDATING.sub(" ", normal(text)))
    return [word for word in words if word not in SMALL_WORDS]


def value_words(words: str) -> tuple[str, ...]:
    """Return the words of a value that count."""
    return tuple(word for word in words.split() if word not in SMALL_WORDS)


def are_colors(words: Sequence[str]) -> bool:
    """Whether words are a color or several, and nothing else."""
    return set(words) <= COLORS | COLOR_SHADES and bool(set(words) & COLORS)


def is_person(subject: str) -> bool:
    """Whether a subject is a person, as far as its last word says; one word is taken for a name."""
    return head_of(subject) in PEOPLE or len(subject.split()) == 1 or is_titled(subject.split())


def when(value: str) -> str | None:
    """Return whether a value is a `day`, a `date` or a `time`; None is neither."""
    words = set(value.split())
    if words & DAYS:
        return "day"
    if _CLOCK.match(value):
        return "time"
    return "date" if words & MONTHS or _DATE.search(value) else None


def place_words(words: str) -> tuple[str, ...]:
    """Return the words of a place that count; nobody tells "the attic" from "our attic"."""
    return tuple(word for word in value_words(words) if word not in {"my", "our", "to"})


def is_titled(parts: Sequence[str]) -> bool:
    """Whether it is a title and a name: "Doctor Miller"."""
    return parts[0] in {"aunt", "uncle", "doctor", "mr", "mrs", "ms"} and len(parts) == 2  # noqa: PLR2004  (title and name)


def head_of(subject: str) -> str:
    """Return the last word of a noun phrase."""
    return subject.rsplit(maxsplit=1)[-1]


def is_place(words: Sequence[str]) -> bool:
    """Whether words say where something is."""
    if len(words) == 1:
        return words[0] in {"outside", "upstairs", "downstairs"}
    return words[0] in PLACES and words[1] not in NO_PLACE


_OF = re.compile(r"^the (?P<attribute>\w+) (?:of|for|to) (?P<owner>(?:my|our|the) .+)$")


def noun_phrase(words: str) -> str | None:
    """Return a noun phrase in normal form; None if it is none that can be told from others."""
    if words in UNIQUE_RELATIVES:
        return f"my {words}"
    parts = words.split()
    if not parts or len(parts) > MAX_SUBJECT_WORDS or set(parts) & NO_SUBJECT:
        return None
    if set(parts) & PRONOUNS or parts[0] in {"a", "an", "no", "any", "every", "each"}:
        return None
    owned = parts[0] in {"my", "our", "the"} or any(part.endswith("'s") for part in parts)
    if owned and len(parts) == 1:
        return None
    return words if owned or len(parts) == 1 or is_titled(parts) else None


def owner_and_property(subject: str) -> tuple[str, str] | None:
    """Return owner and property of `my sister's name`, `the wifi password`, `my shoe size`."""
    of = _OF.match(subject)
    if of and of["attribute"] in SINGLE:
        return of["owner"], of["attribute"]
    owner, possessive, owned = subject.rpartition("'s ")
    if not possessive:
        first, _, owned = subject.partition(" ")
        owner = "i" if first == "my" else "we" if first == "our" else first
        if first not in {"my", "our", "the"}:
            return None
    head = owned.split()[-1:]
    if owned.startswith("favorite ") or (head and head[0] in SINGLE):
        if not possessive and owner == "the":
            thing = " ".join(subject.split()[:-1])
            return (thing, head[0]) if thing != "the" else None
        return owner, owned
    return None


def may_have_several(subject: str) -> bool:
    """Whether one may well have several of these people or animals."""
    return head_of(subject) in OFTEN_SEVERAL
