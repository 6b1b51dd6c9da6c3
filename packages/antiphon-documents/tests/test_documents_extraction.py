"""Text out of real files, and a helpful sentence out of all others."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import made_documents
import pypdf
import pytest
from antiphon_documents import (
    KINDS,
    Document,
    ExtractionError,
    Kind,
    Section,
    extract,
    kind_of,
)
from antiphon_documents.extraction.tags import tamed
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

PDF = made_documents.pdf(
    ["The first page\nhas two lines, with a hyphen-\nated word.", "The second page."],
    title="On Pages",
)
EPUB = made_documents.epub(
    {
        "one.xhtml": "<h1>One</h1><p>First&nbsp;words<br/>of <b>it</b>.</p><script/><p>More.</p>",
        "two%20b.xhtml": "<h1>Two</h1><h2>Deep</h2><p>Last words.</p>",
    },
    title="A Book",
    language="de-AT",
)
DOCX = made_documents.docx(
    [
        "Hello there.",
        (1, "Part"),
        (2, "Piece"),
        "Deep words.",
        [["a", "b"], ["c", "d"]],
        (1, "End"),
    ],
    title="A Letter",
)
PAGE = b"""<!DOCTYPE html><html lang="de-DE"><head><title>All of it</title><meta charset="utf-8">
<script>var x = "<p>not a word</p>";</script><style>p { x: y }</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/x">Menu entry</a></li></ul></nav>
<article><h1>Main heading</h1><p>The first paragraph has quite a number of words in it, so that it
counts as text, and some more of them.</p><h2>A second part</h2><p>The second paragraph has quite a
number of words as well, and <a href="/y">a link</a>.</p>
<ul><li>one item</li><li>two items</li></ul><table><tr><td>left</td><td>right</td></tr></table>
<pre>x = 1
  y = 2</pre></article><footer>Copyright by somebody</footer></body></html>"""


def texts(document: Document) -> str:
    return "\n".join(section.text for section in document.sections)


def test_pdf() -> None:
    assert extract(PDF) == Document(
        "On Pages",
        (
            Section((), "The first page has two lines, with a hyphenated word.", 1),
            Section((), "The second page.", 2),
        ),
        "en",
    )


def test_epub() -> None:
    assert extract(EPUB) == Document(
        "A Book",
        (
            Section(("One",), "First words of it.\n\nMore."),
            Section(("Two", "Deep"), "Last words."),
        ),
        "de",
    )


def test_docx() -> None:
    document = extract(DOCX)
    assert document.title == "A Letter"
    assert document.language == "en"
    assert document.sections == (
        Section((), "Hello there."),
        Section(("Part", "Piece"), "Deep words.\n\na | b\n\nc | d"),
        Section(("End",), "End"),
    )


def test_a_web_page_without_its_menus() -> None:
    document = extract(PAGE)
    assert (document.title, document.language) == ("All of it", "de")
    assert [section.heading for section in document.sections] == [
        ("Main heading",),
        ("Main heading", "A second part"),
    ]
    text = texts(document)
    for words in ("first paragraph", "a link", "one item", "left | right", "y = 2"):
        assert words in text
    for words in ("Menu entry", "Copyright", "not a word", "x: y"):
        assert words not in text


def test_a_page_without_main_text_is_read_whole() -> None:
    document = extract(
        b"<html><body><h3>Hours</h3><div>Mo <b>9</b>&ndash;5</div><div>Tu closed</div>"
    )
    assert document.sections == (Section(("Hours",), "Mo 9–5\n\nTu closed"),)


def test_markdown() -> None:
    text = """---
title: "The Title"
tags: [a]
---
Before.

# One #
Words with a [link](https://example.com/x) and
a second line.

Two
---
```python
# no heading

still code
```
### Three
"""
    assert extract(text.encode(), name="notes.md") == Document(
        "The Title",
        (
            Section((), "Before."),
            Section(("One",), "Words with a link and a second line."),
            Section(("One", "Two"), "```python\n# no heading\n\nstill code\n```"),
            Section(("One", "Two", "Three"), "Three"),
        ),
    )


def test_plain_text() -> None:
    document = extract(b"One\nline.\r\n\r\nAnother\x07 one.", name="notes.txt")
    assert document == Document("notes.txt", (Section((), "One line.\n\nAnother one."),))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Grüße, schöne Wörter", "text/plain"),
        ("Grüße, schöne Wörter".encode("utf-8-sig"), ""),
        ("Grüße, schöne Wörter".encode("utf-16"), ""),
        ("Grüße, schöne Wörter".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        ("Grüße, schöne Wörter und viele mehr davon über die Maßen".encode("cp1252"), ""),
        ("<html><meta charset=latin1><p>Grüße, schöne Wörter".encode("latin-1"), "text/html"),
        ("<html><meta charset=latin1><p>Grüße, schöne Wörter", "text/html; charset=utf-8"),
        ("Grüße, schöne Wörter", "text/plain; charset=punycode"),
    ],
)
def test_character_sets(body: bytes | str, content_type: str) -> None:
    document = extract(
        body if isinstance(body, bytes) else body.encode(), content_type=content_type
    )
    assert "Grüße, schöne Wörter" in texts(document)


@pytest.mark.parametrize(
    ("body", "content_type", "name", "kind"),
    [
        (PDF, "text/html", "x.docx", Kind.PDF),
        (EPUB, "application/pdf", "x.zip", Kind.EPUB),
        (DOCX, "text/plain", "", Kind.DOCX),
        (PAGE, "text/plain", "x.txt", Kind.HTML),
        (b"<?xml version='1.0'?><html xmlns='x'><p>a</p></html>", "", "", Kind.HTML),
        (b"words of it", "text/html; charset=x", "", Kind.HTML),
        (b"words of it", "", "a.HTM", Kind.HTML),
        (b"words of it", "text/markdown", "a.txt", Kind.MARKDOWN),
        (b"words of it", "text/plain", "a.md", Kind.MARKDOWN),
        (b"words of it", "application/octet-stream", "a", Kind.TEXT),
    ],
)
def test_the_bytes_tell_the_kind_before_what_they_are_called(
    body: bytes, content_type: str, name: str, kind: Kind
) -> None:
    assert kind_of(body, content_type=content_type, name=name) is kind
    assert str(kind) in KINDS


def encrypted(password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(PDF))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def test_a_pdf_that_only_forbids_printing_is_read() -> None:
    assert "second page" in texts(extract(encrypted("")))


DRM = b"""<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>
 <enc:CipherReference URI="OEBPS/a.xhtml"/></enc:CipherData></enc:EncryptedData></encryption>"""
BOMB = made_documents.zipped(
    {"META-INF/container.xml": made_documents.CONTAINER, "OEBPS/book.opf": bytes(70_000_000)}
)
CHAPTER = {"a.xhtml": "<p>Words.</p>"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (made_documents.pdf(["", ""]), "OCR"),
        (encrypted("secret"), "encrypted"),
        (made_documents.epub(CHAPTER, more={"META-INF/encryption.xml": DRM}), "copy-protected"),
        (BOMB, "far too long"),
        (made_documents.zipped({"a.txt": b"x"}), "no document that can be read; those are"),
        (b"PK\x05\x06" + bytes(18), "no document"),
        (b"PK\x03\x04 and no more", "damaged"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "no document"),
        (b"{\\rtf1 words}", "no document"),
        (b"<?xml version='1.0'?><rss><channel/></rss>", "no document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "DOCX"),
        (b"%PDF-1.7 and no more", "damaged"),
        (b"<html><body><script>x</script></body></html>", "no text"),
        (made_documents.epub({"a.xhtml": " "}), "no text"),
        (EPUB[: len(EPUB) // 2], "damaged"),
        (PDF[:200], "damaged"),
    ],
    ids=range(18),
)
def test_what_cannot_be_read_says_why(body: bytes, says: str) -> None:
    with pytest.raises(ExtractionError, match=says):
        extract(body)


@pytest.mark.parametrize(
    "body", [PDF, EPUB, DOCX, PAGE, b"# a\n\nwords of it that go on", b"words " * 9]
)
def test_no_more_text_than_allowed(body: bytes) -> None:
    with pytest.raises(ExtractionError, match="more than the 12 characters"):
        extract(body, max_chars=12, name="a.md")


def test_other_ways_of_packing_are_not_unpacked() -> None:
    parts = {"META-INF/container.xml": bytes(90_000_000)}
    with pytest.raises(ExtractionError, match="packed in a way"):
        extract(made_documents.zipped(parts, method=zipfile.ZIP_BZIP2))


def test_nothing_outside_of_a_book_is_read() -> None:
    page = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname">'
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
        "<html><body><p>[&x;&b;]</p></body></html>"
    )
    assert texts(extract(made_documents.epub({"a.xhtml": page}))) == "[]"


def test_parts_of_a_book_that_are_not_there_or_outside() -> None:
    for href in ("../../../etc/passwd", "gone.xhtml"):
        book = made_documents.epub({"a.xhtml": "<p>x</p>"})
        packed = zipfile.ZipFile(io.BytesIO(book))
        parts = {name: packed.read(name) for name in packed.namelist()}
        parts["OEBPS/book.opf"] = parts["OEBPS/book.opf"].replace(b"a.xhtml", href.encode())
        with pytest.raises(ExtractionError, match="missing"):
            extract(made_documents.zipped(parts))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<p a='>' b>x</p>", "<p a='>' b>x</p>"),
        ("a <b> c < d", "a <b> c < d"),
        ("<SCRIPT>if (a<b) '</p>'</SCRIPT >x", "x"),
        ("a<!-- <p> -->b<!-->c<!-- no end", "abc"),
        ("<style>x</style><styles>y", "<styles>y"),
        ("<p " + "a=b " * 900 + ">x<i>y", "<p>x<i>y"),
        ('<p a="' + ">" * 2000 + '">x', "<p>x"),
        ("<p " + "a=b " * 900, "<p>"),
    ],
)
def test_tags_are_tamed(given: str, expected: str) -> None:
    assert tamed(given) == expected


# Each took minutes, a gigabyte, or the stack of some parser, or might have.
SLOW = {
    "attributes": b"<html><p " + b" ".join(b"a%d" % n for n in range(100_000)) + b">words",
    "nested": b"<html><body>" + b"<div>" * 100_000 + b"words",
    "nested, inline": b"<html><body>" + b"<b>" * 100_000 + b"words",
    "brackets": b"<html>" + b"<" * 500_000,
    "ampersands": b"<html><p>" + b"&" * 500_000,
    "comment": b"<html><!--" + b"-" * 500_000,
    "scripts": b"<html>" + b"<script" * 100_000,
    "quotes": b"<html><p " + b"='" * 250_001,
    "spaces": b"<html><p>x" + b" " * 2_000_000,
    "links": b"[" * 300_000 + b"](" * 300_000,
    "hashes": b"#" * 500_000,
    "rules": b"a\n---\n" * 20_000,
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.timeout(60)
def test_nothing_takes_for_ever(name: str) -> None:
    try:
        extract(SLOW[name], name="a.md")
    except ExtractionError:
        return


WHOLE = [PDF, EPUB, DOCX, PAGE, b"# Markdown\n\nwords\n"]
CUTS = st.tuples(st.sampled_from(WHOLE), st.floats(0, 1)).map(
    lambda c: c[0][: int(len(c[0]) * c[1])]
)
DAMAGED = st.tuples(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=8)), max_size=9),
)
STARTS = [
    b"",
    b"%PDF-1.4\n",
    b"PK\x03\x04",
    b"<html>",
    b"<html><p ",
    b"\xff\xfe",
    b"---\n",
    b"```\n",
]
RANDOM = st.tuples(st.sampled_from(STARTS), st.binary(max_size=400)).map(b"".join)


def never_anything_else(body: bytes, name: str = "") -> None:
    try:
        document = extract(body, name=name, max_chars=100_000)
    except ExtractionError:
        return
    assert document.sections
    for section in document.sections:
        assert section.text.strip()
        section.text.encode()  # can be written down


@settings(deadline=None, max_examples=150)
@given(RANDOM, st.sampled_from(["", "a.md", "a.html", "a.txt"]))
def test_random_bytes(body: bytes, name: str) -> None:
    never_anything_else(body, name)


@settings(deadline=None, max_examples=150)
@given(CUTS)
def test_documents_cut_short(body: bytes) -> None:
    never_anything_else(body)


@settings(deadline=None, max_examples=200)
@given(DAMAGED)
def test_documents_with_damage(damaged: tuple[bytes, list[tuple[float, bytes]]]) -> None:
    body, blows = damaged
    for where, what in blows:
        at = int(where * len(body))
        body = body[:at] + what + body[at + len(what) :]
    never_anything_else(body)


def test_importing_costs_nothing() -> None:
    heavy = {"lxml", "trafilatura", "pypdf", "httpcore2", "protego", "idna", "charset_normalizer"}
    program = "import sys, antiphon_documents; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())
