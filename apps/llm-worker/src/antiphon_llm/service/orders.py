"""Orders: what a model without tools must not answer, for it would say that it has done it."""

from __future__ import annotations

import re

NOT_UNDERSTOOD = "Sorry, I did not understand what to do."

_POLITE = (
    r"(?:(?:hey|okay|ok|please|now|just|can you|could you|would you|will you|i want you to"
    r"|i need you to|i'd like you to)[, ]+)*"
)
_THINGS = r"(?:lights?|lamps?|heating|heater|fan|blinds?|curtains?|tv|television|radio|music|plug)"
_ORDERS = (
    (
        r"(?:set|start|make|create|begin|cancel|stop|pause|delete|extend|add|give me|put)\b.*"
        r"\b(?:timer|alarm|reminder|countdown)s?\b"
    ),
    r"(?:wake me|set an? (?:alarm|timer|reminder))\b",
    r"remind me (?:to|in|at|on|about|that|tomorrow|tonight|later|every)\b",
    r"(?:turn|switch)\b.*\b(?:on|off)\b",
    rf"(?:turn|switch|dim|brighten|open|close|lower|raise|set)\b.*\b{_THINGS}\b",
    r"(?:add|put)\b.*\b(?:to|on|onto)\b.*\blist\b",
    r"(?:take|remove|delete)\b.*\b(?:from|off)\b.*\blist\b",
    r"(?:call|phone|text|email|message) (?:my|the|mum|mom|dad|him|her|them)\b",
    r"(?:play|skip|shuffle)\b.*\b(?:music|song|album|playlist|track|radio)\b",
    r"(?:lock|unlock)\b",
)
_ORDER = re.compile(f"{_POLITE}(?:{'|'.join(_ORDERS)})", re.IGNORECASE)


def is_order(text: str) -> bool:
    """Whether somebody wants something done, in English: a question and a statement are none."""
    return _ORDER.match(text.strip()) is not None
