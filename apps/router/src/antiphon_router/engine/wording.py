"""Wording: words that are only polite, and words in another order than the grammar's."""

from __future__ import annotations

import re

_POLITE_BEFORE = re.compile(
    r"^(?:(?:hey|hi|hello|okay|ok|um+|uh+|er|erm|hmm|well|so|now|then|alright|all right|right|oh"
    r"|and|but|yes|yeah|yep"
    r"|no(?! (?:more|need|sound|alarm)\b)|nah|nope|oops|whoops|wait"
    r"|sorry|ugh|actually|listen|quick|quickly|please"
    r"|excuse me|right then|darling|dear|love|also|ah|ooh|bitte)[,.!]? )*"
    r"(?:if you (?:can|could|would|don't mind)(?: please)?,? |i was wondering if you (?:can|could) "
    r"|(?:do you think|is there any chance|any chance) (?:you|we) (?:can|could) "
    r"|(?:would it be possible|would you be able|are you able|is it possible) to "
    r"|(?:be a (?:dear|love|darling)|do me a favou?r) and "
    r"|(?:can|could|would|will|won't|can't) (?:you|we)(?: please)?(?: just| quickly| kindly| maybe"
    r"| possibly| go ahead and| be a dear and)* (?!mind)"
    r"|(?:i want|i'd like|i would like|i'd love|we'd like)(?: you)? to "
    r"(?:(?:know|hear|find out) (?=(?:what|which|when|how)\b))?|(?:i|we) need you to "
    r"|go ahead and |go and |let's |just |kindly |try to |you (?:can|could|may|should) |help me "
    r"|(?:can|could|may) (?:i|we) (?:please )?(?:have|get|hear|see) |let me (?:hear|see) "
    r"|remind (?:me|us) (?=(?:what|which|when|how) )"
    r"|peux-tu |pourrais-tu |pouvez-vous )?(?:please )?(?:just |quickly )?",
    re.IGNORECASE,
)
POLITE_AFTER = re.compile(
    r"(?:,? (?:please|and thanks|and thank you|thanks|thank you"
    r"|thank you (?:very|so) much|thanks a lot|cheers|ta"
    r"|for (?:me|us)|would you|will you|could you|can you|won't you|okay|ok|right now|right away"
    r"|straight away|immediately|at once|then|mate|dear|love|darling|sweetheart|pal|buddy"
    r"|real quick|quickly|if you (?:can|could|would|will|like|please|don't mind|wouldn't mind)"
    r"|if (?:possible|that's (?:okay|ok|all right|alright))"
    r"|when you (?:can|get a (?:chance|moment))"
    r"|bitte|danke|merci|s'il te plaît|s'il vous plaît)"
    r"|,? for now|(?<!from)(?<!for),? now)*[ .?!]*$",
    re.IGNORECASE,
)
_KINDLY = re.compile(r"^(?:please )?(?:(?:would|do) you mind|how about) (\w+ing)\b", re.IGNORECASE)
_DOUBLED = ("set", "put", "get", "stop", "dim", "cancel", "shut")
_SIMPLE = (
    *("turn", "switch", "start", "add", "open", "close", "make", "give", "tell", "read", "pause"),
    *("remind", "wake", "remove", "delete", "take", "repeat", "lower", "raise", "change", "mute"),
    *("convert", "clear", "snooze", "play", "run", "time", "show", "check", "write", "note"),
)
_OF_GERUNDS = {f"{verb}{verb[-1]}ing": verb for verb in _DOUBLED} | {
    f"{verb.removesuffix('e')}ing": verb for verb in (*_SIMPLE, "cancel")
}
_PLACE_LAST = re.compile(
    r"^(?P<what>.+?) (?P<how>(?:on|off|out|up|down|open|closed|shut)(?: again)?"
    r"|(?:to|at) (?:\w+ )?\w+%?)"
    r"(?P<place> in the [\w ]+)$",
    re.IGNORECASE,
)
_PLACE_FIRST = re.compile(
    r"^(?P<place>in the [\w ]+?),? (?P<how>(?:turn|switch|put|open|close|shut|dim|set|make)"
    r"(?: on| off)?) (?P<what>(?:(?:all )?(?:the|my) )?\w+)(?P<rest>.*)$",
    re.IGNORECASE,
)


def without_politeness(words: str) -> str:
    """Return the words without those that are only polite."""
    kindly = _KINDLY.match(words)
    if kindly is not None and (verb := _OF_GERUNDS.get(kindly[1].lower())) is not None:
        words = f"{verb}{words[kindly.end() :]}"
    return POLITE_AFTER.sub("", _POLITE_BEFORE.sub("", words))


def with_place_beside(wish: str) -> str:
    """Return the words with the place beside the thing: `lights in the hall off`."""
    if (last := _PLACE_LAST.match(wish)) is not None:
        return f"{last['what']}{last['place']} {last['how']}"
    if (first := _PLACE_FIRST.match(wish)) is not None:
        return f"{first['how']} {first['what']} {first['place']}{first['rest']}"
    return wish
