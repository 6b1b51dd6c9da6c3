"""The grammar engine: hassil, and number words by text2num."""

from __future__ import annotations

import re
from importlib.resources import files

from antiphon_contracts import ConfigError

from antiphon_router import phrases, units
from antiphon_router.abroad import LANGUAGES, articles, joints
from antiphon_router.engine.bundled import BundledSentences
from antiphon_router.engine.compound import Compound
from antiphon_router.engine.matching import Sentences
from antiphon_router.engine.wording import POLITE_AFTER, with_place_beside, without_politeness
from antiphon_router.intents import Intent
from antiphon_router.places import zone_of
from antiphon_router.readings import read
from antiphon_router.spans import Moment, Tagged, Tagger
from antiphon_router.vocabulary import ALL_LIGHTS, LIGHTS, Vocabulary, spoken_names

MAX_CHARS = 300
"""Longer texts are no commands; the matcher's cost grows with them."""

_PLAIN_QUOTES = str.maketrans("\u2018\u2019", "''")
_REQUEST = re.compile(r"(?:please|can you|could you|would you|will you)\b", re.IGNORECASE)
_PLEASE = re.compile(r",? please$", re.IGNORECASE)
_OPENING = re.compile(
    r"^(?:(?:hey|um|uh|well|so|okay|ok),? )?(?:please )?(?:(?:can|could) you (?:please )?)?"
    r"(?:what is|what's|whats|what are|what does|calculate|compute|work out|tell me what"
    r"|tell me|how much is|how much are|how much does|how many is|how many are|what would"
    r"|what (?:do|would|will) (?:you|i|we) get (?:if|when) (?:you|i|we)"
    r"|what (?:happens )?if (?:you|i|we)|if (?:you|i|we)|do you know what|give me"
    r"|figure out|what do|do)(?:,? )",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\b(?:per cento|por ciento|pour cent)\b", re.IGNORECASE)
_EVERY = re.compile(r"\b(?:all|every|each)\b", re.IGNORECASE)
_MAKES = re.compile(r" (?:make|makes|come to|comes to|give|gives|equal|equals)$", re.IGNORECASE)
_OF_ACTS = {
    "forget": re.compile(r"\b(?:timer|alarm|reminder)s?\b", re.IGNORECASE),
    "remember": re.compile(r"^to\b", re.IGNORECASE),
}
"""What is to be forgotten or remembered that may be an act, and not a fact, by intent."""
_NOTHING = re.compile(r"(?!)")
_IT_AND_MORE = re.compile(r"(?:it|that|this)(?:,|,? (?:and|then)\b)", re.IGNORECASE)
_ALSO = re.compile(r",? (?:too|also|as well|again|auch|también|anche|aussi|ook)$")
OF_DEVICES = frozenset({"HassTurnOn", "HassTurnOff", "HassLightSet"})
"""What the package adds to English, whose own sentences cover the rest."""


class HassilGrammar:
    """The fast path's grammar of one language.

    Matching takes a millisecond or two (measured), so it runs on the loop; looking further takes
    up to 75 ms, so it does not.

    Raises:
        ConfigError: there is no grammar for the language.
    """

    def __init__(self, language: str) -> None:
        folder = files("antiphon_router") / "sentences" / language
        if language not in LANGUAGES:
            there_are = ", ".join(LANGUAGES)
            msg = f"there is no fast-path grammar for language {language!r}; there is: {there_are}"
            raise ConfigError(msg)
        sources = {
            path.name: path.read_text(encoding="utf-8")
            for path in sorted(folder.iterdir(), key=lambda path: path.name)
            if path.name.endswith(".yaml")
        }
        self._core_source = sources.pop("core.yaml")
        self._acts_sources = list(sources.values())
        self._language = language
        self._tagger = Tagger(self._in_digits, english=language == "en")
        self._vocabulary = Vocabulary()
        self._has_numbered_names = False
        self._spoken_targets: list[str] = []
        self._spoken_names: frozenset[str] = frozenset()
        self._core: Sentences
        self._acts: Sentences
        self._bundled: BundledSentences
        before = "|".join(word if word.endswith("'") else f"{word} " for word in articles(language))
        self._articles = re.compile(rf"^(?:{before})+")
        self._compound = Compound(joints(language), self._alone, self._is_name)

    def load(self) -> None:
        """Parse the grammar and match once; takes some 2 s, off the loop."""
        self._core = Sentences([self._core_source])
        self._acts = Sentences(self._acts_sources)
        is_own = self._language == "en"
        self._bundled = BundledSentences(self._language, only=OF_DEVICES if is_own else None)
        self.learn(self._vocabulary)
        zone_of("")
        self.recognize("set a warm up timer for five minutes")
        for _ in self._bundled.matches("timer 5"):
            pass  # the first call builds what the others use

    def learn(self, vocabulary: Vocabulary) -> None:
        """Know the house's names from now on."""
        lists = {
            "target": spoken_names(vocabulary.targets),
            "scene": spoken_names(vocabulary.scenes),
            "list": _spoken_lists(vocabulary.lists),
            "from_unit": units.spoken_units(),
            "to_unit": units.spoken_units(),
        }
        named = (*vocabulary.targets, *vocabulary.scenes, *vocabulary.lists)
        self._has_numbered_names = any(char.isdigit() for name in named for char in name)
        self._acts.use(lists)
        self._bundled.learn(vocabulary)
        self._spoken_names = frozenset(said for said, _ in lists["target"])
        self._spoken_targets = [said for said, _ in spoken_names(vocabulary.targets)]
        self._vocabulary = vocabulary

    def recognize(self, text: str) -> Intent | None:
        """Return what the text asks for, None if that is for the language model."""
        words = " ".join(text.translate(_PLAIN_QUOTES).split())
        if not words or len(words) > MAX_CHARS:
            return None
        found = self._of_own(words)
        return None if found is None else self._compound.unfold(found, words)

    def _of_own(self, words: str) -> Intent | None:
        wish = without_politeness(words)
        expression = phrases.as_expression(
            _strip_question(self._tagger.in_digits(phrases.times_tables(wish)))
        )
        if expression is not None:
            return Intent("sum", {"expression": expression})
        for name, slots in self._core.matches(words):
            is_act = _OF_ACTS.get(name, _NOTHING).search(slots.get("text", ""))
            return (self._of_acts(wish) if is_act else None) or self._of_core(name, slots, words)
        if wish != words:
            for name, slots in self._core.matches(wish):
                if "text" not in slots:
                    return Intent(name)
        return self._of_acts(wish)

    def may_find_more(self, text: str) -> bool:
        """Whether to look further where `recognize` found nothing."""
        if len(text) > MAX_CHARS:
            return False
        return self._may_be_bundled(text) or self._compound.may_be(text)

    def look_further(self, text: str) -> Intent | None:
        """Return what the text asks for by the bundled sentences or in parts; blocks."""
        words = " ".join(text.translate(_PLAIN_QUOTES).split())
        found = self._of_bundled(words) or self._compound.find(words)
        return found or (self._compound.find_first(words) if self._language == "en" else None)

    def _alone(self, text: str) -> Intent | None:
        return self._of_own(text) or self._of_bundled(text)

    def _is_name(self, text: str) -> bool:
        wish = self._articles.sub("", without_politeness(text).casefold().strip(" .?!,"))
        return _ALSO.sub("", wish) in self._spoken_names

    def _may_be_bundled(self, text: str) -> bool:
        if self._language != "en":
            return True
        said = text.casefold()
        return any(name in said for name in self._spoken_targets)

    def _of_bundled(self, words: str) -> Intent | None:
        if not self._may_be_bundled(words):
            return None
        for name, slots in self._bundled.matches(POLITE_AFTER.sub("", words)):
            intent = read(name, slots, self._vocabulary)
            if intent is not None:
                return intent
        return None

    def _in_digits(self, text: str) -> str:
        from text_to_num import alpha2digit

        # Its second word would become 100.
        return str(alpha2digit(_PERCENT.sub("%", text), self._language, 0))

    def _of_core(self, name: str, slots: dict[str, str], words: str) -> Intent | None:
        if "text" not in slots:
            return Intent(name)
        wanted = _to_the_letter(slots["text"], words)
        return _about_memory(name, wanted, is_asked=_is_asked(words))

    def _of_acts(self, wish: str) -> Intent | None:
        if not wish:
            return None
        tagged = self._tagger.tag(wish)
        found = self._first_that_makes_sense(tagged)
        if found is None and tagged.values and self._has_numbered_names:
            found = self._first_that_makes_sense(Tagged(self._tagger.in_digits(wish)))
        reordered = with_place_beside(wish) if found is None else wish
        return (
            found
            if reordered == wish
            else self._first_that_makes_sense(self._tagger.tag(reordered))
        )

    def _first_that_makes_sense(self, tagged: Tagged) -> Intent | None:
        for name, slots in self._acts.matches(tagged.text):
            values = _values(tagged, slots)
            if values.get("target") == LIGHTS and _EVERY.search(tagged.text):
                values["target"] = ALL_LIGHTS
            intent = read(name, values, self._vocabulary)
            if intent is not None:
                return intent
        return None


def _values(tagged: Tagged, slots: dict[str, str]) -> dict[str, str | float | Moment]:
    return {
        slot: tagged.values[text][0] if text in tagged.values else _as_said(tagged, slot, text)
        for slot, text in slots.items()
    }


def _as_said(tagged: Tagged, slot: str, text: str) -> str:
    # A duration in a name is none of it: `reading` then refuses the name.
    return text if slot == "name" else tagged.restore(text)


def _spoken_lists(lists: tuple[str, ...]) -> list[tuple[str, str]]:
    spoken = dict(spoken_names(lists))
    for other, name in (
        ("grocery", "shopping"),
        ("groceries", "shopping"),
        ("todo", "to do"),
        ("task", "to do"),
        ("tasks", "to do"),
    ):
        if name in lists:
            spoken.setdefault(other, name)
    return list(spoken.items())


def _about_memory(name: str, text: str, *, is_asked: bool) -> Intent | None:
    """Return the intent if it says clearly enough what to remember or to forget."""
    if name == "forget" and text.lower() in {"it", "that", "this"}:
        return Intent("dismiss")
    if is_asked or phrases.is_vague(text) or _IT_AND_MORE.match(text):
        return None
    if name == "remember" and not phrases.is_fact(text):
        return None
    return Intent(name, {"text": text})


def _is_asked(words: str) -> bool:
    """Whether it is a question, and no request in the form of one."""
    return words.endswith("?") and not _REQUEST.match(words)


def _to_the_letter(found: str, words: str) -> str:
    """Return the end of `words` that `found` was made from: the matcher drops punctuation."""
    left = sum(char.isalnum() for char in found)
    start = len(words)
    while start and left:
        start -= 1
        left -= words[start].isalnum()
    start = words.rfind(" ", 0, start) + 1
    text = words[start:].strip(" .?!,")
    return _PLEASE.sub("", text)


def _strip_question(text: str) -> str:
    """Return the text without the words that ask for a result."""
    asked = _PLEASE.sub("", _OPENING.sub("", text.strip(" ?.!")))
    return _MAKES.sub("", asked)
