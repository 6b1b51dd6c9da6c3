"""Plain text and Markdown, and bytes that become text."""

from __future__ import annotations

import codecs
import re

from antiphon_documents.extraction.document import Document
from antiphon_documents.extraction.draft import Draft, cleaned
from antiphon_documents.extraction.kinds import unknown

SAMPLE_BYTES = 32_000
MAX_ODD_SHARE = 0.02
MAX_ODD_CHARS = 2
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python also calls an encoding what costs quadratic time (punycode) or runs escapes.
_CHARSETS = re.compile(
    r"utf-8|utf-16(-[lb]e)?|utf-32(-[lb]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rut]|mac-\w+|gb\w+"
    r"|big5\w*|shift_jis\w*|euc_\w+|iso2022_\w+|tis-620|hz|johab|ptcp154|kz1048"
)
_DECLARED = re.compile(r"(?i)charset\s*=\s*[\"']?([a-z0-9_.:+-]{1,40})")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_TITLE = re.compile(r"title:[ \t]*(.+)", re.IGNORECASE)
_MAX_FRONT_LINES = 60


def decoded(body: bytes, declared: str = "") -> str:
    """Return bytes as text: by byte order mark, as UTF-8, as declared, or by a guess.

    Args:
        body: the bytes.
        declared: where a `charset=` may stand: a media type, or the first lines of a page.

    Raises:
        ExtractionError: they are no text.
    """
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(charset, "replace")
    named = _DECLARED.search(declared)
    charset = known_charset(named[1]) if named else ""
    if charset and not charset.startswith("utf-8"):
        return body.decode(charset, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode(charset or _guessed(body), "replace")


def known_charset(name: str) -> str:
    """Return Python's name of a character set that is fit for pages, or an empty text."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return found if _CHARSETS.fullmatch(found) else ""


def _guessed(body: bytes) -> str:
    try:
        body[:SAMPLE_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= SAMPLE_BYTES - 4:  # the sample cuts a character
            return "utf-8"
    else:
        return "utf-8"
    import charset_normalizer  # noqa: PLC0415  (seldom needed, and slow to import)

    best = charset_normalizer.from_bytes(body[:SAMPLE_BYTES]).best()
    if best is None:
        raise unknown()
    return known_charset(best.encoding) or "cp1252"


def _readable(text: str) -> str:
    """Return `text`, unless much of it is no text at all."""
    odd = sum(
        character < " " and character not in "\t\n\r\f\v" for character in text[:SAMPLE_BYTES]
    )
    odd += text[:SAMPLE_BYTES].count("\ufffd")
    if odd > MAX_ODD_CHARS + MAX_ODD_SHARE * min(len(text), SAMPLE_BYTES):
        raise unknown()
    return cleaned(text)


def plain(body: bytes, content_type: str, name: str, max_chars: int) -> Document:
    """Return a plain text's paragraphs; empty lines separate them."""
    draft = Draft(max_chars)
    for lines in _readable(decoded(body, content_type)).split("\n\n"):
        draft.paragraph(lines)
    return draft.document(name=name)


def markdown(body: bytes, content_type: str, name: str, max_chars: int) -> Document:
    """Return a Markdown text by its headings; links keep their words only."""
    lines = _readable(decoded(body, content_type)).split("\n")
    title, start = _front_matter(lines)
    reader = _Markdown(max_chars)
    for line in lines[start:]:
        reader.line(line)
    return reader.document(title, name)


def _front_matter(lines: list[str]) -> tuple[str, int]:
    """Return the title that a block of settings at the top gives, and where the text begins."""
    if lines[0].rstrip() != "---":
        return "", 0
    title = ""
    for number, line in enumerate(lines[1:_MAX_FRONT_LINES], start=1):
        if line.rstrip() in {"---", "..."}:
            return title, number + 1
        found = _TITLE.match(line)
        title = found[1].strip().strip("\"'") if found else title
    return "", 0


class _Markdown:
    """Reads line by line: headings with `#` or underlined, fenced code as it stands."""

    def __init__(self, max_chars: int) -> None:
        self._draft = Draft(max_chars)
        self._lines: list[str] = []
        self._fence = ""

    def line(self, line: str) -> None:
        fence = _FENCE.match(line)
        if self._fence:
            self._lines.append(line)
            if fence and fence[1].startswith(self._fence) and not line.strip(fence[1][0] + " "):
                self._flush(keep_lines=True)
        elif fence:
            self._flush()
            self._fence = fence[1]
            self._lines.append(line)
        elif not line.strip():
            self._flush()
        elif not self._is_heading(line):
            self._lines.append(line)

    def document(self, title: str, name: str) -> Document:
        self._flush(keep_lines=bool(self._fence))
        return self._draft.document(title=title, name=name)

    def _is_heading(self, line: str) -> bool:
        hashes = _ATX.match(line)
        if hashes:
            self._flush()
            words = line[hashes.end() :].rstrip()
            self._draft.heading(len(hashes[1]), _LINK.sub(r"\1", words.rstrip("#").rstrip()))
            return True
        rule = line.strip()
        if len(self._lines) == 1 and not rule.strip("=" if rule[0] == "=" else "-"):
            words, self._lines = self._lines[0], []
            self._draft.heading(1 if rule[0] == "=" else 2, _LINK.sub(r"\1", words))
            return True
        return False

    def _flush(self, *, keep_lines: bool = False) -> None:
        text = "\n".join(self._lines)
        self._draft.paragraph(text if keep_lines else _LINK.sub(r"\1", text), keep_lines=keep_lines)
        self._lines = []
        self._fence = ""
