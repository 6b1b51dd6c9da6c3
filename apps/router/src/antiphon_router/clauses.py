"""Clauses: cuts a growing text into pieces that can be spoken one after the other."""

from __future__ import annotations

import re

FIRST_CLAUSE_CHARS = 25
"""From this length on the first clause may end at a comma: it is heard sooner."""
LONG_CLAUSE_CHARS = 140
"""From this length on any clause may end at a comma: it can be stopped sooner."""
HARD_LIMIT_CHARS = 400
"""A clause without any mark is cut at a space here."""

_TITLES = {"mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "rev", "hon", "gen", "col", "capt"}
_SHORT_FORMS = {"e.g", "i.e", "cf", "vs", "approx", "est", "no", "nos", "vol", "pp", "op", "ca"}
_BUSINESS = {"dept", "fig", "inc", "ltd", "co", "corp", "ave", "blvd", "rd", "mt", "lt", "sgt"}
_DATES = {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
_ABBREVIATIONS = _TITLES | _SHORT_FORMS | _BUSINESS | _DATES
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n")
_COMMA = re.compile(r"[,;:](?=\s)|\s[–—-](?=\s)")
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)$")
_MERIDIEM = {"a.m", "p.m", "u.s", "u.k"}
_INITIAL = re.compile(r"^[A-Z]$")


class ClauseChunker:
    """Takes text as it is made and gives clauses as soon as they can stand.

    A clause ends with a sentence; the first one, and long ones, also at a comma. Abbreviations
    ("Dr. No"), initials, decimals ("3.5"), times ("3:42") and thousands ("1,000") end none.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Return the clauses that are complete now."""
        self._rest += text
        clauses = []
        while (end := self._boundary()) is not None:
            clause, self._rest = self._rest[:end].strip(), self._rest[end:]
            if clause:
                clauses.append(clause)
                self._first = False
        return clauses

    def flush(self) -> list[str]:
        """Return what is left; the text is complete."""
        rest, self._rest = self._rest.strip(), ""
        return [rest] if rest else []

    def _boundary(self) -> int | None:
        # A long text that comes at once is looked at piece by piece: the cost stays linear.
        for found in _SENTENCE_END.finditer(self._rest, 0, HARD_LIMIT_CHARS + 1):
            if self._ends_sentence(found):
                return self._comma_before(found.end()) or found.end()
        return self._comma_before(min(len(self._rest), HARD_LIMIT_CHARS)) or self._hard_limit()

    def _comma_before(self, limit: int) -> int | None:
        at_least = FIRST_CLAUSE_CHARS if self._first else LONG_CLAUSE_CHARS
        if limit < at_least:
            return None
        found = _COMMA.search(self._rest, at_least, limit)
        # A few words left over after the comma would make a clause that cannot stand.
        if found is None or (not self._first and limit - found.end() < FIRST_CLAUSE_CHARS):
            return None
        return found.end()

    def _hard_limit(self) -> int | None:
        if len(self._rest) < HARD_LIMIT_CHARS:
            return None
        space = self._rest.rfind(" ", 0, HARD_LIMIT_CHARS)
        return space if space > 0 else HARD_LIMIT_CHARS

    def _ends_sentence(self, found: re.Match[str]) -> bool:
        mark = found.group()
        if mark == "\n":
            return True
        if not mark.startswith(".") or mark.startswith(".."):
            return True
        before = self._rest[: found.start()]
        word = _LAST_WORD.search(before)
        if word is None:
            return not re.search(r"(?:^|\n)\s*\d+$", before)  # "1. First item"
        name = word.group(1)
        if name.lower() in _MERIDIEM:
            following = self._rest[found.end() :].lstrip()
            return bool(following) and following[0].isupper()
        if _INITIAL.match(name) and name != "I":
            return False
        return name.lower() not in _ABBREVIATIONS


FENCE = "```"
_MARKDOWN = (
    (re.compile(r"```.*?(?:```|$)", re.DOTALL), " "),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"(?m)^\s{0,3}(?:#{1,6}|[-*+•]|>)\s+"), ""),
    (re.compile(r"(\*\*|__|\*|`|~~)"), ""),
    (re.compile(r"https?://\S+"), "a link"),
)
_UNSPEAKABLE = re.compile("[\U0001f000-\U0010ffff\u2600-\u27bf\ufe0f\u200b-\u200f]")


def speakable(text: str) -> str:
    """Return `text` without Markdown, links and signs that no voice can speak."""
    for pattern, instead in _MARKDOWN:
        text = pattern.sub(instead, text)
    return " ".join(_UNSPEAKABLE.sub("", text).split())


class SpokenClauses:
    """Takes an answer's text as it is made and gives what of its clauses can be spoken."""

    def __init__(self) -> None:
        self._chunker = ClauseChunker()
        self._in_code = False

    def feed(self, text: str) -> list[str]:
        """Return the clauses that are complete now; none is blank."""
        spoken = (self._speakable(clause) for clause in self._chunker.feed(text))
        return [clause for clause in spoken if clause]

    def flush(self) -> str:
        """Return what is left; the text is complete."""
        return " ".join(self._speakable(clause) for clause in self._chunker.flush())

    def _speakable(self, clause: str) -> str:
        """Return what of a clause can be spoken; a block of code may span several."""
        if self._in_code:
            _, closing, clause = clause.partition(FENCE)
            self._in_code = not closing
        if clause.count(FENCE) % 2:
            self._in_code = True
        return speakable(clause)


def first_clause(text: str) -> str:
    """Return the first clause that is spoken of a whole text; empty if there is none."""
    clauses = SpokenClauses()
    return next(iter(clauses.feed(text)), "") or clauses.flush()
