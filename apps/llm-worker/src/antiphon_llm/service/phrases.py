"""The worker's own short sentences, in the persona's language as far as it is one of these."""

from __future__ import annotations

CHECKING = {
    "en": "Let me check.",
    "de": "Ich sehe nach.",
    "es": "Déjame comprobarlo.",
    "fr": "Je vérifie.",
    "it": "Controllo subito.",
    "nl": "Ik kijk het even na.",
}
OTHER_MODEL = {
    "en": "My usual model does not answer; this is my small one.",
    "de": "Mein übliches Modell antwortet nicht; das ist mein kleines.",
    "es": "Mi modelo habitual no responde; este es el pequeño.",
    "fr": "Mon modèle habituel ne répond pas; voici le petit.",
    "it": "Il mio solito modello non risponde; questo è quello piccolo.",
    "nl": "Mijn gewone model antwoordt niet; dit is mijn kleine.",
}


def in_language(sentences: dict[str, str], language: str) -> str:
    """Return the sentence in a language of two letters; in English if it is none of these."""
    return sentences.get(language.partition("-")[0].lower(), sentences["en"])
