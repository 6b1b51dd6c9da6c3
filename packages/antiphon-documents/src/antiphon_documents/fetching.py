"""Web pages fetched so that nobody is led into the house: see `Fetcher`."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from antiphon_documents.addresses import Gate, Network, is_address, own_networks
from antiphon_documents.errors import FetchError, ForbiddenAddress
from antiphon_documents.urls import WebAddress, join, parse

if TYPE_CHECKING:
    from antiphon_documents.connecting import Answer

__all__ = ["FetchError", "FetchRules", "Fetcher", "ForbiddenAddress", "Page", "Resolver"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
_OK = 200
_FIRST_REDIRECT = 300
_NOT_MODIFIED = 304
_FIRST_SERVER_ERROR = 500
_CHARSET = re.compile(r"(?i);\s*charset\s*=\s*[\"']?([a-z0-9_.:+-]+)")
_HEADER = re.compile(r"[\x20-\x7e]{1,1000}")


@dataclass(frozen=True)
class FetchRules:
    """What a fetcher may do.

    Attributes:
        max_bytes: how long a page may be, before and after decompression.
        timeout_s: how long one fetch may take in all, redirects included.
        max_redirects: how many redirects are followed.
        allow_private: private places that may be fetched all the same: networks
            (`192.168.1.0/24`), addresses (`127.0.0.1`) or host names (`nas.lan`).
        user_agent: what we call ourselves.
    """

    max_bytes: int = 20_000_000
    timeout_s: float = 30.0
    max_redirects: int = 5
    allow_private: tuple[str, ...] = ()
    user_agent: str = "antiphon/0.1"


@dataclass(frozen=True)
class Page:
    """What was fetched.

    Attributes:
        url: the address asked for.
        final_url: the address that answered, after redirects.
        content_type: the media type, lower case, without parameters; empty if none was named.
        charset: the character set that the server named, lower case, or None.
        body: the bytes, decompressed.
        etag: to be given to the next `fetch`, or None.
        last_modified: to be given to the next `fetch`, or None.
    """

    url: str
    final_url: str
    content_type: str
    charset: str | None
    body: bytes
    etag: str | None = None
    last_modified: str | None = None

    @property
    def declared_type(self) -> str:
        """The media type with its character set, as `extract` takes it."""
        return f"{self.content_type}; charset={self.charset}" if self.charset else self.content_type


class Resolver(Protocol):
    """Looks up a host name."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host`, as text.

        Raises:
            OSError: it has none.
        """
        ...


async def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system finds for `host`.

    Raises:
        OSError: it finds none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """Fetches web pages, from public addresses only: `async with Fetcher(FetchRules()) as f:`.

    A name is looked up once for each hop. All its addresses must be public, and the connection goes
    to one of those, so that a second answer of its name server changes nothing. Each redirect is
    checked in the same way. The `Host` header, SNI and the certificate keep the name. Neither
    proxies of the environment, cookies nor credentials are used.

    Args:
        rules: what it may do.
        resolver: looks up names; the system's by default.
        tls: what certificates are accepted; the system's by default.
        own_networks: tells the networks that this machine is part of; not fetched from either.

    Raises:
        ConfigError: `rules.allow_private` has an entry that is no network, address or host name.
    """

    def __init__(
        self,
        rules: FetchRules,
        *,
        resolver: Resolver = resolved,
        tls: ssl.SSLContext | None = None,
        own_networks: Callable[[], tuple[Network, ...]] = own_networks,
    ) -> None:
        self.rules = rules
        self._gate = Gate.of(rules.allow_private, own=own_networks)
        self._resolver = resolver
        self._tls = tls

    async def __aenter__(self) -> Self:
        if self._tls is None:
            self._tls = await asyncio.to_thread(_system_tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Page | None:
        """Return the page at `url`, or None if it is still the one that the caller has.

        Args:
            url: an `http` or `https` address.
            etag: the `Page.etag` of an earlier fetch.
            last_modified: the `Page.last_modified` of an earlier fetch.

        Raises:
            ForbiddenAddress: it, or where it leads to, may not be fetched.
            FetchError: it could not be fetched; the text says why.
        """
        known = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        conditions = {
            name: value for name, value in known.items() if value and _HEADER.fullmatch(value)
        }
        try:
            async with asyncio.timeout(self.rules.timeout_s):
                return await self._follow(url, conditions)
        except TimeoutError as error:
            raise FetchError(
                f"The page did not arrive within {self.rules.timeout_s:g} seconds.", retryable=True
            ) from error

    async def _follow(self, url: str, conditions: Mapping[str, str]) -> Page | None:
        from antiphon_documents.connecting import (  # noqa: PLC0415  (imports httpcore2)
            asked,
        )

        if self._tls is None:
            raise FetchError("Enter the fetcher by `async with` before it is used.")
        web = parse(url)
        for _ in range(self.rules.max_redirects + 1):
            addresses = self._gate.passed(web.host, await self._look_up(web))
            async with asked(web, addresses, self._headers(web, conditions), self._tls) as answer:
                location = answer.headers.get("location")
                if answer.status not in _REDIRECTS or not location:
                    return await self._page(url, web, answer, is_conditional=bool(conditions))
            # Servers send UTF-8 in a header that is read as Latin-1.
            web = join(web, location.encode("latin-1").decode("utf-8", "replace"))
        raise FetchError(f"The page was redirected more than {self.rules.max_redirects} times.")

    async def _look_up(self, web: WebAddress) -> Sequence[str]:
        if is_address(web.host):
            return [web.host]
        try:
            return await self._resolver(web.host, web.port)
        except (OSError, UnicodeError) as error:
            raise FetchError(
                f"No host is called {web.host}; check the address and the network.", retryable=True
            ) from error

    def _headers(self, web: WebAddress, conditions: Mapping[str, str]) -> dict[str, str]:
        return {
            "Host": web.authority,
            "User-Agent": self.rules.user_agent,
            "Accept": "text/html,application/xhtml+xml,text/*;q=0.9,*/*;q=0.8",
            "Accept-Encoding": "gzip, deflate",
            "Connection": "close",
            **conditions,
        }

    async def _page(
        self, url: str, web: WebAddress, answer: Answer, *, is_conditional: bool
    ) -> Page | None:
        if answer.status == _NOT_MODIFIED and is_conditional:
            return None
        if not _OK <= answer.status < _FIRST_REDIRECT:
            raise FetchError(
                f"{web.host} answered {answer.status}{_meaning(answer.status)}.",
                status=answer.status,
                retryable=answer.status in _PASSING or answer.status >= _FIRST_SERVER_ERROR,
            )
        body = await answer.read(self.rules.max_bytes)
        declared = answer.headers.get("content-type", "")
        charset = _CHARSET.search(declared)
        return Page(
            url=url,
            final_url=str(web),
            content_type=declared.partition(";")[0].strip().lower(),
            charset=charset[1].lower() if charset else None,
            body=body,
            etag=answer.headers.get("etag"),
            last_modified=answer.headers.get("last-modified"),
        )


def _system_tls() -> ssl.SSLContext:
    from antiphon_documents.connecting import system_tls  # noqa: PLC0415  (imports httpcore2)

    return system_tls()


def _meaning(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase.lower()})"
    except ValueError:
        return ""
