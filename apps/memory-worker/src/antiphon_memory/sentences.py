"""What a sentence says of what, by rules for English; what they cannot read they leave alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from antiphon_memory import english

MAX_CHARS = 200
MAX_WORDS = 24
MAX_VALUE_WORDS = 7

_ADDS = re.compile(r"\b(?:too|also|as well|another|both|either|second|other|more)\b")
# Of another time, of another's mouth, or under a condition.
_UNCERTAIN = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|this (?:morning|afternoon|evening|week|weekend|month)"
    r"|was|were|had|will|would|could|might|may be|may have|maybe|perhaps|probably|if|when|while"
    r"|unless|because|should|wants?|wish|hope|think|thinks|believe|guess|says?|said|sometimes"
    r"|usually|often|until|before|except|last|next|used to|going to|not sure|almost|which|who|but"
    r"|or|than|like to|did)\b|[;:?]|, "
)
_WORDS = 24
MAX_VALUE_WORDS = 7

_ADDS = re.compile(r"\b(?:too|also|as well|another|both|either|second|other|more)\b")
# Of another time, of another's mouth, or under a condition.
_UNCERTAIN = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|this (?:morning|afternoon|evening|week|weekend|month)"
    r"|was|were|had|will|would|could|might|may be|may have|maybe|perhaps|probably|if|when|while"
    r"|unless|because|should|wants?|wish|hope|think|thinks|believe|guess|says?|said|sometimes"
    r"|usually|often|until|before|except|last|next|used to|going to|not sure|almost|which|who|but"
    r"|or|than|like to|did)\b|[;:?]|, "
)
english.PRONOUNS = frozenset(
    [
        "he",
        "she",
        "it",
        "they",
        "this",
        "that",
        "these",
        "those",
        "there",
        "here",
        "what",
        "who",
        "you",
        "your",
        "his",
        "her",
        "its",
        "their",
        "everyone",
        "everything",
        "someone",
        "something",
        "nobody",
        "nothing",
        "all",
        "some",
        "many",
        "one",
        "today",
        "me",
        "us",
    ]
)
english.NO_SUBJECT = frozenset(
    [
        "is",
        "are",
        "am",
        "has",
        "have",
        "do",
        "does",
        "not",
        "can",
        "and",
        "be",
        "been",
        "says",
        "said",
        "like",
        "likes",
    ]
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What one sentence says.

    Attributes:
        subject: of whom or what, in normal words: `my bicycle`.
        attribute: which property: `color`, `name`, `like cheese`.
        value: the words of what it is; `yes` where only a negation could differ.
        negated: whether it says that it is not so.
        updates: whether it says that something has changed: "now", "no longer", "moved".
        several: whether more than one value may hold at once, so that only an update contradicts.
    """

    subject: str
    attribute: str
    value: tuple[str, ...]
    negated: bool = False
    updates: bool = False
    several: bool = False

    @property
    def exact(self) -> bool:
        """Whether every word of the value counts, as in a password."""
        return english.head_of(self.attribute) in english.EXACT


def parse(text: str) -> Fact | None:
    """Return what a sentence says, None if that is not clear enough or more than one thing."""
    if len(text) > MAX_CHARS:
        return None
    words, corrects = _without_former(english.normal(text))
    updates = corrects or bool(english.UPDATING.search(words))
    words = " ".join(english.UPDATING.sub(" ", words).split())
    words, changed = _as_present(words)
    if not words or len(words.split()) > MAX_WORDS:
        return None
    if _ADDS.search(words) or _UNCERTAIN.search(words):
        return None
    for read in (_moved, _called, _preference, _counted, _placed, _timed, _copula):
        fact = read(words)
        if fact is not None:
            fact = replace(fact, value=_bare(fact), updates=updates or changed or fact.updates)
            return fact if _is_clear(fact) else None
    return None


def _bare(fact: Fact) -> tuple[str, ...]:
    """Return the value without "at", "on", "in" where they say nothing."""
    if fact.attribute in {"place", "home"}:
        return fact.value
    return tuple(word for word in fact.value if word not in {"at", "on", "in", "of"}) or fact.value


def _is_clear(fact: Fact) -> bool:
    if not fact.value or len(fact.value) > MAX_VALUE_WORDS:
        return False
    if "and" in fact.value and not set(fact.value) <= english.COLORS | {"and"}:
        return False
    return not set(fact.value) & {"my", "i"} or fact.attribute == "place"


_NO_LONGER_IS = re.compile(r"\b(is|are|am) no longer\b")
_NO_LONGER = re.compile(r"\bno longer\b")
_FORMER = re.compile(r"(?:,? (?:instead of|rather than)|, not) [^,]+$")
_KEPT_THERE = re.compile(r"\b(is|are) (?:parked|kept|hidden|stored|located|lying|standing)(?= )")


def _without_former(words: str) -> tuple[str, bool]:
    """Return a sentence without "instead of red", and whether it had that."""
    bare = _FORMER.sub("", words)
    return bare, bare != words


def _as_present(words: str) -> tuple[str, bool]:
    """Return what is told as a change as what is so since, and whether it was told so."""
    found = _NO_LONGER.search(words)
    words = _NO_LONGER_IS.sub(r"\1 not", words)
    words = _NO_LONGER.sub("do not", words)
    found = found or re.search(r"\b(?:is|are) parked\b", words)
    words = _KEPT_THERE.sub(r"\1", words)
    return words, bool(found)


# One reader for each way of saying something

_PUT = re.compile(
    r"^(?:i|we|\w+) (?:have |has )?(?P<verb>moved|put|hid|hide|keep|keeps|kept|stored?|left|leave"
    r"|parked)(?: back)? (?P<subject>(?:my|our|the) .+?)"
    r" (?:to (?=the|my|our))?(?P<place>(?:in|on|under|at|behind|by|above|the|my|our)\b.*)$"
)
_CHANGED = re.compile(
    r"^(?P<subject>.+?) (?:has |have |was |were |is |got |has been |have been )?(?:changed|switched"
    r"|moved|rescheduled|postponed|renamed|repainted|painted)(?: (?P<to>to|in|on))? (?P<value>.+)$"
)
_PAINTED = re.compile(
    r"^(?:i|we|\w+) (?:have |has )?(?:re)?painted (?P<subject>(?:my|our|the) .+?)"
    rf" (?P<color>(?:(?:{'|'.join(sorted(english.COLORS | english.COLOR_SHADES))})\b ?)+)$"
)


def _moved(words: str) -> Fact | None:
    """Read "we moved the key to the shed", "the password has changed to lion"."""
    painted = _PAINTED.match(words)
    if painted:
        color, subject = painted["color"].split(), english.noun_phrase(painted["subject"])
        if subject and english.are_colors(color):
            return Fact(subject, "color", english.value_words(painted["color"]), updates=True)
    put = _PUT.match(words)
    if put:
        subject = english.noun_phrase(put["subject"])
        place, moved = english.place_words(put["place"]), put["verb"] == "moved"
        return None if subject is None else Fact(subject, "place", place, updates=moved)
    found = _CHANGED.match(words)
    return _changed(found) if found else None


def _changed(found: re.Match[str]) -> Fact | None:
    subject, value = english.noun_phrase(found["subject"]), found["value"]
    if subject is None or value.split()[0] in {"my", "our"}:
        return None
    owned = english.owner_and_property(subject)
    if owned:
        return Fact(*owned, english.value_words(value), updates=True)
    if english.are_colors(value.split()):
        return Fact(subject, "color", english.value_words(value), updates=True)
    when = english.when(value)
    if when:
        return Fact(subject, when, english.value_words(value), updates=True)
    if " moved " not in found.group():
        return None
    attribute = "home" if english.is_person(subject) else "place"
    return Fact(subject, attribute, english.place_words(value), updates=True)


_CALLED = re.compile(r"^(?P<subject>.+?) (?:is|are|am) (?:called|named) (?P<value>.+)$")


def _called(words: str) -> Fact | None:
    """Read "the cat is called Mittens"."""
    found = _CALLED.match(words)
    if not found:
        return None
    subject = english.noun_phrase(found["subject"])
    if subject is None or found["value"].startswith("not "):
        return None
    return Fact(
        subject,
        "name",
        english.value_words(found["value"]),
        several=english.may_have_several(subject),
    )


_PREFERENCE = re.compile(
    r"^(?P<subject>.+?) (?P<not>(?:do|does|can) not )?(?P<verb>like|likes|love|loves|enjoy|enjoys"
    r"|hate|hates|dislike|dislikes|stand|eat|eats|drink|drinks|smoke|smokes|take|takes|have|prefer"
    r"|prefers)"
    r"(?: (?P<object>.+))?$"
)
_WITH = re.compile(
    r"^(?:my |our |the |his |her |their )?(?P<object>\w+)"
    r" (?P<how>with|without|with no) (?P<what>.+)$"
)
_LIKING = {"like": 1, "love": 1, "enjoy": 1, "hate": -1, "dislike": -1, "stand": 1}


def _preference(words: str) -> Fact | None:
    """Read "I like my tea without sugar", "I do not eat meat"."""
    found = _PREFERENCE.match(words)
    if not found:
        return None
    subject, liked = english.noun_phrase(found["subject"]), found["object"] or ""
    negated, verb = bool(found["not"]), found["verb"].removesuffix("s")
    taken = _WITH.match(liked)
    if subject is None:
        return None
    if taken and not negated and verb != "have":
        without = taken["how"] != "with"
        what = " ".join(english.value_words(taken["what"]))
        return Fact(subject, f"{taken['object']} with {what}", ("yes",), negated=without)
    if verb in _LIKING:
        contrary = (_LIKING[verb] < 0) != negated
        return Fact(
            subject, f"like {' '.join(english.value_words(liked))}", ("yes",), negated=contrary
        )
    if verb in {"eat", "drink", "smoke"}:
        return Fact(
            subject, f"{verb} {' '.join(english.value_words(liked))}", ("yes",), negated=negated
        )
    return None


_COUNTED = re.compile(
    r"^(?P<subject>.+?) (?P<verb>has|have|takes?|needs?|owns?|weighs?|costs?) (?P<number>\d[\d.,]*)"
    r" ?(?P<rest>.*)$"
)


def _counted(words: str) -> Fact | None:
    """Read "we have three cats", "the parcel weighs 4 kilos"."""
    found = _COUNTED.match(words)
    subject = english.noun_phrase(found["subject"]) if found else None
    if not found or subject is None:
        return None
    verb = "have" if found["verb"] == "has" else found["verb"].removesuffix("s")
    rest = " ".join(english.value_words(found["rest"]))
    return Fact(subject, f"{verb} {rest}", (found["number"],))


_LIVES = re.compile(
    r"^(?P<subject>.+?) (?P<verb>lives?|stays?|hangs?|stands?|lies?|sits?|works?)"
    r" (?P<value>(?:in|on|under|at|behind|by|above|for|as)\b.+)$"
)


def _placed(words: str) -> Fact | None:
    """Read "my mother lives in Lisbon", "I work as a nurse"."""
    found = _LIVES.match(words)
    subject = english.noun_phrase(found["subject"]) if found else None
    if not found or subject is None:
        return None
    if found["verb"].startswith("work"):
        how = found["value"].split()[0]
        return Fact(subject, f"work {how}", english.value_words(found["value"]), several=True)
    if found["verb"].startswith("live") and english.is_person(subject):
        several = english.may_have_several(subject)
        return Fact(subject, "home", english.place_words(found["value"]), several=several)
    return Fact(
        subject, "place", english.place_words(found["value"]), several=english.is_person(subject)
    )


_TIMED = re.compile(
    r"^(?P<subject>.+?) (?P<verb>(?:is |are )?(?:starts?|begins?|opens?|closes?|ends?|finish(?:es)?"
    r"|expires?|leaves?|arrives?|comes?|collected|emptied|delivered|picked up|served|due))"
    r" (?P<when>(?:at|on|in) .+)$"
)
_ON_SOME_DAYS = re.compile(r"\d (?:on|in|during|every|each) ")
_ONCE = ("start", "open", "close", "end", "expire")
_OTHER_VERBS = {"begin": "start", "finish": "end", "finishe": "end"}


def _timed(words: str) -> Fact | None:
    """Read "school starts at eight", "the bins are collected on Tuesday"."""
    found = _TIMED.match(words)
    subject = english.noun_phrase(found["subject"]) if found else None
    if not found or subject is None:
        return None
    when = english.when(found["when"])
    if when is None or _ON_SOME_DAYS.search(found["when"]):
        return None
    verb = found["verb"].split()[-1].removesuffix("s")
    verb = _OTHER_VERBS.get(verb, verb)
    several = when == "day" or not verb.startswith(_ONCE)
    return Fact(subject, f"{verb} {when}", english.value_words(found["when"]), several=several)


_COPULA = re.compile(r"^(?P<subject>.+?) (?P<verb>is|are|am) (?P<not>not )?(?P<value>.+)$")
_AGE = re.compile(r"^\d+(?: years? old| years? of age| months? old)?$")


def _copula(words: str) -> Fact | None:
    """Read "my bicycle is red", "the key is under the pot", "I am allergic to nuts"."""
    found = _COPULA.match(words)
    subject = english.noun_phrase(found["subject"]) if found else None
    if not found or subject is None:
        return None
    value, negated = found["value"], bool(found["not"])
    owned = english.owner_and_property(subject)
    reversed_owned = (
        english.owner_and_property(value)
        if len(subject.split()) == 1 and english.noun_phrase(value)
        else None
    )
    if owned is None and reversed_owned and not negated:
        owned, value = reversed_owned, subject
    if owned:
        owner, attribute = owned
        several = attribute in {"name", "nickname"} and english.may_have_several(owner)
        several = several or found["verb"] == "are"
        if attribute not in english.DATES and value.split()[0] in english.NO_VALUE:
            return None
        return Fact(owner, attribute, english.value_words(value), negated, several=several)
    kind, several = _kind(subject, value)
    several = several or found["verb"] == "are"
    if kind is None:
        return Fact(subject, f"is {' '.join(english.value_words(value))}", ("yes",), negated)
    values = english.place_words(value) if kind == "place" else english.value_words(value)
    return Fact(subject, kind, values, negated, several=several)


def _kind(subject: str, value: str) -> tuple[str | None, bool]:
    """Return which property a value is of, and whether there may be several."""
    words = value.split()
    if english.are_colors(words):
        return "color", False
    if _AGE.match(value) and english.is_person(subject):
        return "age", False
    when = english.when(value)
    if when:
        return when, False
    if english.is_place(words):
        # On the third floor, and on Baker Street.
        return "place", True
    for states in english.STATES:
        if value in states:
            return f"one of {min(states)}", False
    return None, False
