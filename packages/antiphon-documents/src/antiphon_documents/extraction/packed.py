"""Documents that are zip files of XML: read within bounds, and never unpacked to disk."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from html.entities import name2codepoint
from typing import TypeAlias
from urllib.parse import unquote

from lxml import etree

from antiphon_documents.errors import ExtractionError

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 60_000_000
"""What all parts that are read may hold together; a thick book has five million."""

_SAFE_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,9});")
_OF_XML = {b"amp", b"lt", b"gt", b"quot", b"apos"}
Node: TypeAlias = etree._Element  # noqa: SLF001  (the class has no public name)


def names(body: bytes) -> set[str]:
    """Return the names of all parts.

    Raises:
        ExtractionError: it is no whole zip file.
    """
    return Package(body).names


class Package:
    """A zip file whose parts are read one by one, against one budget."""

    def __init__(self, body: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(body))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise ExtractionError("The document is damaged or was not copied whole.") from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        if len(self._entries) > MAX_ENTRIES:
            raise ExtractionError("The document is packed of too many parts.")
        self._left = MAX_UNPACKED_BYTES

    @property
    def names(self) -> set[str]:
        """The names of all parts."""
        return set(self._entries)

    def read(self, name: str) -> bytes:
        """Return one part.

        Raises:
            ExtractionError: there is none, it needs a password, or would be too long unpacked.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise ExtractionError("The document is damaged: a part of it is missing.")
        if entry.flag_bits & 1:
            raise ExtractionError("The document is encrypted; save it without a password first.")
        if entry.compress_type not in _SAFE_METHODS:
            raise ExtractionError("The document is packed in a way that is not read.")
        if entry.file_size > self._left:
            raise ExtractionError("The document would be far too long when unpacked.")
        self._left -= entry.file_size
        # zipfile stops at the declared size, however much there is.
        return self._zip.read(entry)

    def xml(self, name: str) -> Node:
        """Return the root of one part that is XML.

        Raises:
            ExtractionError: as `read`, or it is no XML.
        """
        return parsed_xml(self.read(name))


def parsed_xml(body: bytes) -> Node:
    """Return the root of an XML document; nothing outside of it is looked up.

    Raises:
        ExtractionError: it is no XML.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        return etree.fromstring(_ENTITY.sub(_character, body), parser)
    except etree.XMLSyntaxError as error:
        raise ExtractionError("The document is damaged: a part of it is no XML.") from error


def _character(match: re.Match[bytes]) -> bytes:
    """Return `&nbsp;` and its like as numbers: they are of HTML, whose list is not loaded."""
    code = None if match[1] in _OF_XML else name2codepoint.get(match[1].decode())
    return match[0] if code is None else b"&#%d;" % code


def beside(part: str, link: str) -> str:
    """Return the name of the part that a link in `part` means."""
    path = unquote(link.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(part), path)).lstrip("/")
