"""What kind of thing was said: a fact, a question or an acknowledgement; and which words matter.

The rules are for English. For other languages only the question mark speaks, and no word is
dropped as a stop word.
"""

from __future__ import annotations

import re

MAX_QUERY_WORDS = 64

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?？؟;])\s+")
_QUESTION_MARK = re.compile(r"[?？؟][\s\"'”’)]*$")

_AUXILIARY = (
    r"(?:is|are|was|were|am|do|does|did|can|could|will|would|should|shall|has|have|had|might|must"
    r"|isn't|aren't|wasn't|don't|doesn't|didn't|can't|won't)"
)
_PERSON = r"(?:i|you|he|she|it|we|they)"
_SUBJECT = (
    r"(?:i|you|he|she|it|we|they|my|your|his|her|its|our|their|the|this|that|these|those|there"
    r"|anyone|anybody|someone|somebody|everyone|everybody|any)"
)
# "what is …", "what colour is …", "how many eggs do …"; but not "what I like is …", which tells.
_ASKED_BY_PRONOUN = re.compile(
    r"(?:(?:and|so|but|hey|please|ok|okay)[,\s]+)?"
    r"(?:(?:what|who|whom|whose|where|when|why|how|which)"
    rf"(?:'s|'re|\s+(?:(?!{_SUBJECT}\b)[^\W_]+\s+){{0,2}}{_AUXILIARY})\b"
    r"|(?:at|in|on|to|for|from|with)\s+(?:what|whom|which)\b)",
    re.IGNORECASE,
)
# "is my bicycle red", "do you know …"; but not "do the dishes", "have a key cut".
_ASKED_BY_ORDER = re.compile(
    rf"(?:(?:is|are|was|were|am|does|did|can|could|would|should|shall|has|isn't|aren't|wasn't"
    rf"|doesn't|didn't|can't)\s+{_SUBJECT}|(?:do|don't|have|had|will|won't|must)\s+{_PERSON})\b",
    re.IGNORECASE,
)

_ACKNOWLEDGING_WORDS = """
    ok okay k yes yeah yep yup no nope nah thanks thank thx cheers please sure alright right
    fine great good cool nice perfect super wonderful excellent awesome lovely understood noted
    hello hi hey bye goodbye hm hmm mhm uh um oh ah exactly correct indeed sorry welcome got see
"""
_ACKNOWLEDGING = frozenset(_ACKNOWLEDGING_WORDS.split())
_FILLING_WORDS = """
    you very much so it i that is all for now a lot then well this is
"""
_FILLING = frozenset(_FILLING_WORDS.split())
_ASSISTANT_ACKNOWLEDGES = re.compile(
    r"(?:(?:ok|okay|sure|alright|got it|great|yes)[,.!]?\s+)?"
    r"(?:i'll|i will|i've|i have|i'm going to)\s+"
    r"(?:remember(?:ed)?|not(?:e|ed)|sav(?:e|ed)|stor(?:e|ed)|forg(?:et|ot|otten))\b",
    re.IGNORECASE,
)

_STOP_WORDS = """
    a about after again all also am an and any are aren't as at be because been before being
    between both but by can can't could did didn't do does doesn't doing don't down during each
    few for from further had has have having he he's her here hers herself him himself his how
    how's i i'd i'll i'm i've if in into is isn't it it's its itself just know let let's like me
    mine more most much must my myself no nor not of off on once one only or other our ours
    ourselves out over own please remember same say shall she she's should so some such tell
    than that that's the their theirs them themselves then there there's these they they're this
    those through to too under until up us very was wasn't we we're were what what's when when's
    where where's which while who who's whom whose why will with won't would yes you you'd
    you'll you're you've your yours yourself forget
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def normalise(text: str) -> str:
    """Return `text` with every run of white space and control characters as one space, stripped."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _words(text: str) -> list[str]:
    # Not casefold: FTS5 leaves the German sharp s as it is.
    return _WORD.findall(text.replace("’", "'").lower())


def content_words(text: str) -> list[str]:
    """Return the distinct words of `text` that carry meaning, in order, in lower case, at most 64.

    English stop words are dropped, and so is the possessive `'s`.
    """
    kept: dict[str, None] = {}
    for word in _words(text):
        stem = word.removesuffix("'s")
        if word not in STOP_WORDS and stem not in STOP_WORDS:
            kept[stem] = None
        if len(kept) == MAX_QUERY_WORDS:
            break
    return list(kept)


def is_question(text: str) -> bool:
    """Whether `text` only asks: every sentence in it is a question."""
    sentences = [part for part in _SENTENCE_END.split(text.replace("’", "'").strip()) if part]
    return bool(sentences) and all(_asks(sentence) for sentence in sentences)


def _asks(sentence: str) -> bool:
    if sentence.startswith("¿") or _QUESTION_MARK.search(sentence):
        return True
    return bool(_ASKED_BY_PRONOUN.match(sentence) or _ASKED_BY_ORDER.match(sentence))


def is_acknowledgement(text: str) -> bool:
    """Whether `text` says nothing but "ok", "thank you", "I'll remember that"."""
    words = _words(text)
    if _ASSISTANT_ACKNOWLEDGES.match(text.replace("’", "'").strip()):
        return True
    return any(word in _ACKNOWLEDGING for word in words) and all(
        word in _ACKNOWLEDGING or word in _FILLING for word in words
    )
