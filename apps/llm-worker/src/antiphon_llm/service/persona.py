"""Who the assistant is: name, way of speaking, examples."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon_llm.service.model import ChatMessage

LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
}


@dataclass(frozen=True, slots=True)
class PersonaCard:
    """What a persona file says; every part may be empty.

    Attributes:
        name: what the assistant is called.
        style: how it speaks, in sentences to the model.
        voice: name of a voice of the TTS worker.
        language: two letters; empty is the language of the question.
        examples: what a person says, and how the assistant answers.
    """

    name: str = ""
    style: str = ""
    voice: str = ""
    language: str = ""
    examples: tuple[tuple[str, str], ...] = ()

    def manner(self) -> str:
        """Return what it adds to a system prompt; begins with a space unless it is empty."""
        known = LANGUAGES.get(self.language.partition("-")[0].lower(), self.language)
        language = f"Always answer in {known}." if known else ""
        return "".join(f" {text}" for text in (" ".join(self.style.split()), language) if text)

    def turns(self) -> tuple[ChatMessage, ...]:
        """Return the examples as messages."""
        return tuple(
            message
            for asked, answered in self.examples
            for message in (ChatMessage("user", asked), ChatMessage("assistant", answered))
        )


NOBODY = PersonaCard()
