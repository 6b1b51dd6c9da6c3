"""Trouble: every failure becomes a short sentence that can be spoken."""

from __future__ import annotations

import re

from antiphon_contracts import (
    AntiphonError,
    Busy,
    EngineError,
    RemoteError,
    RequestTimeout,
    WorkerGone,
)

from antiphon_router import phrases

_ADDRESS = re.compile(r" at https?://[^\s,;]*[^\s,;.]")

_OFFLINE = {
    "llm": "My language model is offline right now.",
    "memory": "My memory is offline right now.",
    "tools": "My tools are offline right now.",
    "timer": "My timers are offline right now.",
}


def sentence_for(error: AntiphonError) -> str:
    """Return what is said to the person whose turn failed with `error`."""
    match error:
        case WorkerGone():
            found = (said for kind, said in _OFFLINE.items() if f"the {kind} " in str(error))
            return next(found, "A part of me is offline right now.")
        case RequestTimeout():
            return "Sorry, that took too long."
        case Busy():
            return "Sorry, I have too much to do right now. Please ask again in a moment."
        case EngineError() | RemoteError(code="engine") if str(error):
            return f"Sorry, {_spoken(str(error))}"
        case _:
            return phrases.WENT_WRONG


def _spoken(text: str) -> str:
    """Return the sentence without addresses, nor what mends it: that is to be read."""
    text = _ADDRESS.sub("", text.partition(";")[0])
    first, *rest = text.split(" ", 1)
    if rest and first.istitle() and first != "I":
        # A name that stands at the beginning of such a sentence has an article before it.
        text = f"{first.lower()} {rest[0]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
