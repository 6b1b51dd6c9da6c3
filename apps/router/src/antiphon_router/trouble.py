"""Trouble: every failure becomes a short sentence that can be spoken."""

from __future__ import annotations

from antiphon_contracts import (
    AntiphonError,
    Busy,
    EngineError,
    RemoteError,
    RequestTimeout,
    WorkerGone,
)

_NAMES = {
    "llm": "My language model",
    "memory": "My memory",
    "tools": "My tools",
}


def sentence_for(error: AntiphonError) -> str:
    """Return what is said to the person whose turn failed with `error`."""
    match error:
        case WorkerGone():
            part = next((name for kind, name in _NAMES.items() if f"the {kind} " in str(error)), "")
            return f"{part or 'A part of me'} is offline right now."
        case RequestTimeout():
            return "Sorry, that took too long."
        case Busy():
            return "Sorry, I have too much to do right now. Please ask again in a moment."
        case EngineError() if str(error):
            text = str(error)
            return f"Sorry, {text}" if text.endswith((".", "!", "?")) else f"Sorry, {text}."
        case RemoteError():
            return "Sorry, something went wrong."
        case _:
            return "Sorry, I cannot do that right now."
