"""Documents made for tests by the programs that people use: PDF, EPUB, DOCX."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

CONTAINER = b"""<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""


def pdf(pages: Sequence[str], *, title: str = "") -> bytes:
    """Return a PDF with one text on each page; an empty text makes a page without text."""
    from fpdf import FPDF

    made = FPDF()
    made.set_title(title)
    made.set_lang("en-GB")
    for text in pages:
        made.add_page()
        made.set_font("helvetica", size=12)
        if text:
            made.multi_cell(0, text=text)
        else:
            made.rect(20, 20, 100, 100)
    return bytes(made.output())


def zipped(parts: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of `parts`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as made:
        for name, body in parts.items():
            made.writestr(name, body)
    return packed.getvalue()


def epub(
    chapters: Mapping[str, str],
    *,
    title: str = "",
    language: str = "en",
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a book; `chapters` maps file names to XHTML bodies or whole pages."""
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    )
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    opf = f"""<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>
<dc:language>{language}</dc:language></metadata>
<manifest>{items}<item id="x" href="cover.png" media-type="image/png"/></manifest>
<spine>{order}</spine></package>"""
    pages = {
        f"OEBPS/{name.replace('%20', ' ')}": (
            text
            if text.startswith("<?xml")
            else f"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>t</title></head>"
            f"<body>{text}</body></html>"
        ).encode()
        for name, text in chapters.items()
    }
    first = {"mimetype": b"application/epub+zip", "META-INF/container.xml": CONTAINER}
    return zipped({**first, "OEBPS/book.opf": opf.encode(), **pages, **(more or {})})


def docx(
    parts: Sequence[str | tuple[int, str] | Sequence[Sequence[str]]], *, title: str = ""
) -> bytes:
    """Return a letter of paragraphs, (level, heading) pairs and tables."""
    from docx import Document

    made = Document()
    made.core_properties.title = title
    made.core_properties.language = "en-US"
    for part in parts:
        if isinstance(part, str):
            made.add_paragraph(part)
        elif isinstance(part, tuple):
            made.add_heading(part[1], level=part[0])
        else:
            table = made.add_table(rows=len(part), cols=len(part[0]))
            for row, texts in zip(table.rows, part, strict=True):
                for cell, text in zip(row.cells, texts, strict=True):
                    cell.text = text
    packed = io.BytesIO()
    made.save(packed)
    return packed.getvalue()
