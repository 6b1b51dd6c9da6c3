"""What a person says in passing that is worth keeping: facts and preferences of the household.

The rules are for English, and cautious: what they do not know they drop. They are used with
`keep = "facts"` alone; what somebody asks to be remembered is judged by `utterances` only.
"""

from __future__ import annotations

import re

from antiphon_memory import english
from antiphon_memory.sentences import MAX_CHARS, Fact, parse
from antiphon_memory.utterances import is_acknowledgement, is_question

MAX_WORDS = 20

_ORDER = re.compile(
    r"^(?:please |can you |could you |hey )*(?:remember|forget|remind|note|don't|do not|never"
    r"|let|let's|turn|switch|set|play|stop|tell|call|add|open|close|make|read|wake|start|show|give"
    r"|put the|thanks?|good (?:morning|night|evening|day))\b",
    re.IGNORECASE,
)
_ASKS_BACK = re.compile(
    r"\b(?:isn't|aren't|wasn't|don't|doesn't|right|won't) (?:it|i|they|he|she|we|you)$"
)

# What one says of oneself and the family that `sentences` does not read.
_WHO = r"(?:i|we|my [\w' ]{2,30}?|our [\w' ]{2,30}?|[a-z]{2,15})"
_WEEKDAYS = "|".join(sorted(day for day in english.DAYS if day.endswith("s")))
_KIN = "|".join(sorted(english.PEOPLE - {"i", "we"}))
_TELLING = re.compile(
    rf"^{_WHO} (?:"
    rf"(?:have|has) (?:a|an|one|two|three|four|five|\d+)(?: \w+)? ?(?:{_KIN})s?"
    r"(?: (?:called|named) \w+)?$"
    r"|(?:have|has) (?:diabetes|asthma|epilepsy|hay fever)$"
    r"|is (?:mr|mrs|ms|doctor) \w+$"
    r"|(?:have|has) an? [\w ]{2,20} allergy"
    r"|was born (?:in|on) \w+"
    r"|(?:can not|do not|does not|may not|must not)"
    r" (?:eat|drink|have) (?!(?:it|that|this|any)\b)\w+"
    r"|prefers? (?!(?:it|that|this)\b).+"
    r"|drives? an? \w+(?: \w+)?$"
    r"|(?:speaks?|plays?|studies|study|collects?)"
    r" (?!(?:it|that|this|some|music|an?|now|my)\b)[\w ]+$"
    r"|takes? .* (?:every|each) \w+"
    r"|(?:goes|go|gets?|plays?|visits?|have|has|meets?) .*\b"
    rf"(?:every \w+|on (?:{_WEEKDAYS}))"
    r")"
)
_OF_ONE_TIME = re.compile(
    r"\b(?:it|this|that|these|those|here|there|you|your|today|tonight|tomorrow|yesterday|now|just"
    r"|will|would|could|might|maybe|perhaps|probably|if|think|guess|hope|want|wants|says|said"
    r"|song|idea|question|left(?!-)|ready)\b"
)
_TRAIT = re.compile(
    r"^(?:allergic|intolerant|lactose|gluten|afraid of|scared of|left-handed|right-handed|diabetic"
    r"|color-blind|colorblind|color blind|deaf|blind|retired|vegan|vegetarian)\b"
)
_WORK = "|".join(sorted(english.WORK))
_ROLE = re.compile(rf"^(?:(?:a|an) )?(?:[\w-]+ )?(?:{_WORK})s?$")
_OTHERS = re.compile(r"^(?:my|our|\w+'s) (?:[\w-]+ )?\w+$")
_COUNTABLE = re.compile(
    rf"^have (?:\w+ )?(?:{_KIN}|bicycle|car|bedroom|child|grandchild)(?:s|ren)?$"
)
_PUT_AWAY = re.compile(r"^(?:i|we) (?:always )?(?:keep|store|hid|put) (?:my|our|the) ")
_ONE_PERSON = re.compile(
    r"^\w+ (?:does not|(?:like|love|enjoy|hate|dislike|eat|drink|smoke|take|prefer)s)\b"
)
_AT_HAND = frozenset({"hand", "door", "lock", "bag", "pocket"})
_FOR_GOOD = ("divorced", "vegan")
_LIKED = re.compile(r"^(?:like|eat|drink|smoke) (?!(?:i|my|our|her|his|him|them|idea)\b)\w")


def is_worth_keeping(text: str) -> bool:
    """Whether a sentence tells a lasting fact or a preference of the person or the household."""
    if (
        len(text) > MAX_CHARS
        or len(text.split()) > MAX_WORDS
        or is_question(text)
        or is_acknowledgement(text)
    ):
        return False
    words = english.normal(text)
    if _ORDER.match(text.strip()) or _ASKS_BACK.search(text.rstrip(" ?.!").lower()):
        return False
    fact = parse(text)
    if fact is not None and _lasts(fact, words):
        return True
    bare = " ".join(english.UPDATING.sub(" ", words).split())
    return bool(_TELLING.match(bare)) and not _OF_ONE_TIME.search(bare)


def _lasts(fact: Fact, words: str) -> bool:
    """Whether a fact is one of the household, and holds for longer than a day."""
    if "right now" in words or (_OF_ONE_TIME.search(words) and not fact.updates):
        return False
    attribute, ours = fact.attribute, _is_ours(fact.subject)
    match attribute.split()[0]:
        case "is":
            lasts = ours and _is_lasting_state(fact, words)
        case "place":
            lasts = bool(_PUT_AWAY.match(words)) or _is_looked_for(fact)
        case "like" | "eat" | "drink" | "smoke" as verb:
            # "I do not eat meat" lasts, "I eat lunch" does not.
            lasts = _is_preference(fact, words) and (fact.negated or verb in {"like", "smoke"})
        case "have":
            lasts = bool(_COUNTABLE.match(attribute))
        case "name":
            lasts = _is_named(fact)
        case "leave" | "arrive" | "come":
            lasts = attribute.endswith(" day")
        case "color" | "age" | "home" | "work":
            lasts = ours
        case "one":
            lasts = ours and attribute.endswith(_FOR_GOOD)
        case other:
            lasts = other not in {"day", "date", "time"}
            lasts = lasts and (not fact.negated or " with " in attribute)
    return lasts


def _is_looked_for(fact: Fact) -> bool:
    head = english.head_of(fact.subject)
    return (head in english.THINGS_KEPT or " spare " in fact.subject) and not set(
        fact.value
    ) & _AT_HAND


def _is_named(fact: Fact) -> bool:
    subject = fact.subject
    if fact.negated or "important" in fact.value:
        return False
    return subject == "i" or english.head_of(subject) in english.PEOPLE or "'s" in subject


def _is_preference(fact: Fact, words: str) -> bool:
    ours = _is_ours(fact.subject) and _is_one_of_us(fact.subject, words)
    return ours and bool(_LIKED.match(fact.attribute))


def _is_one_of_us(subject: str, words: str) -> bool:
    """Whether a subject is one of us: of "Mia likes" and "people like", the first."""
    return " " in subject or subject in {"i", "we"} or bool(_ONE_PERSON.match(words))


def _is_ours(subject: str) -> bool:
    """Whether a subject is one of us, or of ours."""
    return (
        subject in {"i", "we"}
        or subject.startswith(("my ", "our "))
        or "'s " in subject
        or english.is_person(subject)
    )


_IS = re.compile(r"^.+? (?:is|are|am) (?:not )?(?P<value>.+)$")


def _is_lasting_state(fact: Fact, words: str) -> bool:
    found = _IS.match(words)
    if found is None:
        return False
    value = found["value"]
    if _TRAIT.match(value):
        return True
    if value.startswith(("my ", "our ")):
        return bool(_OTHERS.match(value)) and fact.subject not in {"i", "we"}
    return bool(_ROLE.match(value)) and not fact.negated
