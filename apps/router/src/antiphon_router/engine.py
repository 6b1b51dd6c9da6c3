"""The grammar engine: hassil, and number words by text2num."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from antiphon_contracts import ConfigError

from antiphon_router import phrases
from antiphon_router.service import Intent

MAX_CHARS = 300
"""Longer texts are no commands; the matcher's cost grows with them."""


class HassilGrammar:
    """The fast path's grammar of one language.

    Matching takes 0.1-0.5 ms (measured), so it runs on the loop.

    Raises:
        ConfigError: there is no grammar for the language.
    """

    def __init__(self, language: str) -> None:
        source = files("antiphon_router") / "sentences" / f"{language}.yaml"
        if not source.is_file():
            msg = f"there is no fast-path grammar for language {language!r}; there is: en"
            raise ConfigError(msg)
        self._language = language
        self._source = source.read_text(encoding="utf-8")
        self._intents: Any = None

    def load(self) -> None:
        """Parse the grammar and match once; takes some 0.2 s, off the loop."""
        import io

        from hassil import Intents

        self._intents = Intents.from_yaml(io.StringIO(self._source))
        self.recognize("warm up")

    def recognize(self, text: str) -> Intent | None:
        """Return what the text asks for, None if that is for the language model."""
        from hassil import recognize_best
        from text_to_num import alpha2digit

        words = text.strip()
        if not words or len(words) > MAX_CHARS:
            return None
        expression = phrases.as_expression(_strip_question(alpha2digit(words, self._language)))
        if expression is not None:
            return Intent("sum", {"expression": expression})
        found = recognize_best(words, self._intents, best_slot_name="text")
        if found is None:
            return None
        slots = {name: str(entity.text).strip(" .?!") for name, entity in found.entities.items()}
        if found.intent.name == "remember" and phrases.is_question(slots.get("text", "")):
            return None
        return Intent(found.intent.name, slots)


def _strip_question(text: str) -> str:
    """Return the text without the words that ask for a result."""
    lowered = text.lower().strip()
    for opening in (
        "what is",
        "what's",
        "whats",
        "what are",
        "what does",
        "calculate",
        "compute",
        "how much is",
        "how much are",
        "tell me what",
    ):
        if lowered.startswith(opening + " "):
            return lowered.removeprefix(opening)
    return lowered
