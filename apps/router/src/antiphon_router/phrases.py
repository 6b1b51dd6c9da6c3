"""What the fast path says, and arithmetic as people say it."""

from __future__ import annotations

import ast
import re
from datetime import datetime

NOON, EVENING = 12, 18
ORDINAL_EXCEPTIONS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}

EXACT_BELOW = 1e15
"""Larger floats have digits that nobody worked out."""

NOT_UNDERSTOOD = "Sorry, I did not catch that."
WENT_WRONG = "Sorry, something went wrong."
LOST_IN_CRASH = "Sorry, I had to start again and lost your question. Please ask again."
NOTHING_TO_REPEAT = "I have not said anything yet."
NOTHING_FOUND = "I found nothing like that in my memory."
FORGOTTEN = "I have forgotten it."
OKAY = "Okay."
ONLY_IN_WRITING = "My answer can only be read."
NO_TIME = "A timer needs more than 0 seconds."
TOO_LONG = "That is too long: a year is the most."
NO_TIMER = "There is no timer set."
NOT_RINGING = "Nothing is ringing."
NO_VOLUME = "The volume goes from 0 to 100 percent."
NO_BRIGHTNESS = "The brightness goes from 0 to 100 percent."
REST_IN_WRITING = "The rest of my answer is in writing."

_OPERATORS = (
    (re.compile(r"\b(?:divided by|over)\b|÷"), "/"),
    (re.compile(r"\b(?:multiplied by|times)\b|×|(?<=\d)\s*x\s*(?=\d)"), "*"),
    (re.compile(r"\bto the power of\b|\^"), "**"),
    (re.compile(r"\bplus\b"), "+"),
    (re.compile(r"\bminus\b|−"), "-"),
    (re.compile(r"(?:%|\bpercent|\bper cent) of\b"), "/100*"),
    (re.compile(r"\bsquared\b"), "**2"),
    (re.compile(r"\bcubed\b"), "**3"),
    (re.compile(r"\b(?:the )?square root of (\d+(?:\.\d+)?)"), r"sqrt(\1)"),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"\b(?:equals?|is|are|be|makes?|make|come to|give(?: me)?|altogether)$|=$"), ""),
)
_TIMES_TABLE = re.compile(
    r"\b(?P<many>\w+) (?P<digit>two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)e?s\b",
    re.IGNORECASE,
)
_N = r"(\d+(?:\.\d+)?)"
_WORD_ORDERS = (
    (re.compile(r"\ba (?=\d)"), ""),
    (re.compile(rf"^divide {_N} by {_N}$"), r"\1/\2"),
    (re.compile(rf"^(?:multiply|times) {_N} (?:by|and|with) {_N}$"), r"\1*\2"),
    (
        re.compile(rf"^(?:the )?(?:add|sum of|total of) {_N} (?:and|to|with) {_N}(?: together)?$"),
        r"\1+\2",
    ),
    (re.compile(rf"^(?:the )?product of {_N} and {_N}$"), r"\1*\2"),
    (re.compile(rf"^(?:the )?difference (?:between|of) {_N} and {_N}$"), r"\1-\2"),
    (re.compile(rf"^(?:subtract|take|deduct) {_N} (?:away )?from {_N}$"), r"\2-\1"),
    (re.compile(rf"{_N} (?:take away|subtract|less) {_N}"), r"\1-\2"),
    (re.compile(rf"{_N} (?:times by|lots of|groups of) {_N}"), r"\1*\2"),
    (re.compile(rf"^(?:a |1 )?half (?:of )?{_N}$"), r"1/2*\1"),
    (re.compile(rf"^(?:a |1 )?(?:third|3rd) of {_N}$"), r"1/3*\1"),
    (re.compile(rf"^(?:a |1 )?quarter of {_N}$"), r"1/4*\1"),
    (re.compile(rf"^{_N} quarters of {_N}$"), r"\1/4*\2"),
    (re.compile(rf"^{_N} (?:thirds|3rds) of {_N}$"), r"\1/3*\2"),
    (re.compile(rf"^(?:double|twice) {_N}$"), r"2*\1"),
    (re.compile(rf"^(?:triple|3 times) {_N}$"), r"3*\1"),
)
"""Sums whose words do not stand where the operators do."""
# Possessive: with `+` alone a run of digits before a letter takes time without end.
_ARITHMETIC = re.compile(r"(?:\d++(?:\.\d++)?+|[-+*/() ]|sqrt)++")
_IS_WRITTEN_OTHERWISE = re.compile(
    r"(?<!\d)(?:\d+-\d+-\d+|\d{3,}-\d{4}|\d{1,2}/\d{1,2}/\d{2,4}|24/7|9/11)(?!\d)"
)
"""Dates and telephone numbers, written without spaces, and two sayings."""
_HAS_OPERATION = re.compile(r"\d\s*(?:\*\*|[-+*/])\s*[-(]*(?:\d|sqrt)|sqrt")


def spoken_time(now: datetime) -> str:
    """Return the time of day as a sentence, e.g. `It is 3:07 in the afternoon.`.

    A voice speaks "in the afternoon" more clearly than "PM": of 60 times, Whisper tiny.en misheard
    none this way and four the other.
    """
    hour = now.hour % 12 or 12
    time = f"{hour}:{now.minute:02d}" if now.minute else f"{hour} o'clock"
    return f"It is {time} in the {part_of_day(now.hour)}."


def part_of_day(hour: int) -> str:
    """Return the part of the day of an hour, 0 to 23."""
    return "morning" if hour < NOON else "afternoon" if hour < EVENING else "evening"


def spoken_date(now: datetime) -> str:
    """Return the date as a sentence, e.g. `Today is Saturday, November 21st.`."""
    return f"Today is {now:%A}, {now:%B} {ordinal(now.day)}."


def ordinal(day: int) -> str:
    """Return a day of a month as it is counted: `21st`."""
    return f"{day}{ORDINAL_EXCEPTIONS.get(day, 'th')}"


def as_expression(text: str) -> str | None:
    """Return the arithmetic in `text` as operators and digits, None if it is anything else.

    Numbers must be digits already: `12 times 7` gives `12 * 7`. Dates (`2026-11-21`) and
    telephone numbers (`555-1234`) are none.
    """
    expression = text.lower().strip(" ?.!")
    if _IS_WRITTEN_OTHERWISE.search(expression):
        return None
    for pattern, operator in (*_WORD_ORDERS, *_OPERATORS):
        expression = pattern.sub(operator, expression)
    expression = " ".join(expression.split())
    if not _ARITHMETIC.fullmatch(expression) or not _HAS_OPERATION.search(expression):
        return None
    return expression if _is_well_formed(expression) else None


def times_tables(text: str) -> str:
    """Return `six sevens` as `six times seven`."""
    return _TIMES_TABLE.sub(r"\g<many> times \g<digit>", text)


def _is_well_formed(expression: str) -> bool:
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        return False
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {id(call.func) for call in calls} == {id(name) for name in names}


def spoken_number(value: float) -> str:
    """Return a result as it is spoken: `84`, `minus 0.3`, `1.5 times 10 to the power of 30`."""
    if abs(value) < EXACT_BELOW and value == int(value):
        value = int(value)
    digits, _, power = str(value).partition("e")
    spoken = digits.replace("-", "minus ")
    if power:
        spoken += f" times 10 to the power of {int(power)}".replace("-", "minus ")
    return spoken


_TO_LISTENER = {
    "my": "your",
    "mine": "yours",
    "me": "you",
    "i": "you",
    "am": "are",
    "i'm": "you're",
    "i've": "you've",
    "i'd": "you'd",
    "i'll": "you'll",
    "myself": "yourself",
    "our": "your",
    "we": "you",
    "us": "you",
    "your": "my",
    "yours": "mine",
    "you": "me",
}
_WORD = re.compile(r"[A-Za-z']+")


def to_listener(text: str) -> str:
    """Return what a person said of themselves as it is said back to them: `my` becomes `your`."""
    return _WORD.sub(lambda word: _TO_LISTENER.get(word.group().lower(), word.group()), text)


_VAGUE = {"that", "it", "this", "these", "those", "everything", "anything", "all", "one"}
_PERSONS = {"me", "you", "him", "her", "us", "them", "myself"}


def is_vague(text: str) -> bool:
    """Whether a text says too little to be remembered, or to be looked for and deleted."""
    words = set(_WORD.findall(text.lower()))
    return words <= _VAGUE | _PERSONS and not re.search(r"\d", text)


FEWEST_WORDS_OF_A_FACT = 3
_WH_WORDS = {"what", "when", "where", "who", "whom", "whose", "which", "why", "how"}
_AUXILIARIES = {"is", "are", "was", "were", "do", "does", "did", "can", "could", "would"}
QUESTION_WORDS = _WH_WORDS | _AUXILIARIES


def is_fact(text: str) -> bool:
    """Whether a text can be remembered: no question, no bare name, nothing said of `that`."""
    words = text.lower().split()
    if words[0] in QUESTION_WORDS or words[-1] in _VAGUE:
        return False
    return len(words) >= FEWEST_WORDS_OF_A_FACT or any(char.isdigit() for char in text)
