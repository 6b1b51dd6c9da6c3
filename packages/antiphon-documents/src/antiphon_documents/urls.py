"""Web addresses, read in one strict way.

Parsers differ over backslashes, user names, escapes and odd numbers, and each difference is a way
to show one host to the check and another to the connection. Here an address is read once, by the
regular expression of RFC 3986 (appendix B), and its parts are what is connected to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

from antiphon_documents.errors import ForbiddenAddress

MAX_URL_CHARS = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}
FIRST_USER_PORT = 1024
SERVICE_PORTS = frozenset(
    {1719, 1720, 1723, 1883, 2049, 2375, 2376, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061}
    | {5432, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 8883, 10080, 11211}
    | {27017}
)
"""Ports from 1024 that speak other protocols: the Fetch standard's list of bad ports, and MQTT,
databases, caches and container engines. Of those below 1024 only 80 and 443 are fetched from."""

_PARTS = re.compile(r"(?i)(https?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@%]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST_CHARS = 253


@dataclass(frozen=True)
class WebAddress:
    """An address that may be looked up.

    Attributes:
        scheme: `http` or `https`.
        host: a lower-case ASCII name, or an address; without brackets.
        port: the port, given or default.
        target: path and query, escaped; begins with `/`.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as in a `Host` header; the port is left out where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The address without path and query."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse(url: str) -> WebAddress:
    """Return a web address in its normal form, without its fragment.

    Raises:
        ForbiddenAddress: it is no plain `http` or `https` address: another scheme, a user name in
            it, a number that only some programs read as an address, a port of another service.
    """
    url = url.strip()
    if len(url) > MAX_URL_CHARS:
        raise ForbiddenAddress(f"The address is longer than {MAX_URL_CHARS} characters.")
    parts = _PARTS.fullmatch(url)
    if parts is None or re.search(r"[\x00-\x20\x7f\\\ud800-\udfff]", url):
        raise ForbiddenAddress("Only plain http:// and https:// addresses can be fetched.")
    scheme = parts[1].lower()
    host, port = _host_and_port(parts[2], scheme)
    target = _without_dots(quote(parts[3] or "/", safe="/%:@!$&'()*+,;=~"))
    if parts[4] is not None:
        target += "?" + quote(parts[4], safe="/%:@!$&'()*+,;=~?[]")
    return WebAddress(scheme, host, port, target)


def join(base: WebAddress, link: str) -> WebAddress:
    """Return where a link on the page `base` leads.

    Raises:
        ForbiddenAddress: to no plain web address.
    """
    try:
        return parse(urljoin(str(base), link.strip()))
    except ValueError as error:
        raise ForbiddenAddress("A link on the page is no web address.") from error


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise ForbiddenAddress("An address with a user name or password in it is not fetched.")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise ForbiddenAddress("The address names no host that can be looked up.")
    port = int(parts[2]) if parts[2] else DEFAULT_PORTS[scheme]
    usual = port in DEFAULT_PORTS.values()
    if not usual and (not FIRST_USER_PORT <= port <= 65535 or port in SERVICE_PORTS):  # noqa: PLR2004  (the last port)
        raise ForbiddenAddress(f"Port {port} is not one that web pages are fetched from.")
    if parts[1].startswith("["):
        return _ipv6(parts[1][1:-1]), port
    return _name(parts[1]), port


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError as error:
        raise ForbiddenAddress("The address in brackets is no IPv6 address.") from error


def _name(text: str) -> str:
    import idna  # noqa: PLC0415  (its tables are read only when something is fetched)

    if len(text) > _MAX_HOST_CHARS:
        raise ForbiddenAddress("The address names no host that can be looked up.")
    try:
        host = idna.encode(text, uts46=True).decode() if not text.isascii() else text.lower()
    except idna.IDNAError as error:
        raise ForbiddenAddress("The address names no host that can be looked up.") from error
    host = host.removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host)
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ForbiddenAddress("The address names no host that can be looked up.")
    return host


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise ForbiddenAddress(
            "Write a numeric address as four decimal numbers, such as 93.184.216.34."
        ) from error
