"""Pages from a server on the loopback: what arrives, what is refused, and what is bounded."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ssl
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from antiphon_contracts import ConfigError
from antiphon_documents import Fetcher, FetchError, FetchRules, ForbiddenAddress, Page
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from loopback_web import Reply, Served, Web, Writer, web

pytestmark = pytest.mark.integration

HERE = ("127.0.0.2",)
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@asynccontextmanager
async def served(
    pages: dict[str, Served], *, max_bytes: int = 1_000_000, timeout_s: float = 10
) -> AsyncIterator[tuple[Web, Fetcher]]:
    rules = FetchRules(allow_private=HERE, max_bytes=max_bytes, timeout_s=timeout_s)
    async with asyncio.timeout(60), web(pages) as server, Fetcher(rules, tls=TLS) as fetcher:
        yield server, fetcher


async def fetched(reply: Served, *, max_bytes: int = 1_000_000) -> Page:
    async with served({"/": reply}, max_bytes=max_bytes) as (server, fetcher):
        page = await fetcher.fetch(server.root)
    assert page is not None
    return page


async def test_a_page_and_what_the_server_says_of_it() -> None:
    page = await fetched(
        Reply(
            b"h\xe9llo",
            headers={
                "Content-Type": 'Text/HTML; Charset="ISO-8859-1"; x=y',
                "ETag": '"one"',
                "Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT",
            },
        )
    )
    assert page.body == b"h\xe9llo"
    assert (page.content_type, page.charset) == ("text/html", "iso-8859-1")
    assert page.declared_type == "text/html; charset=iso-8859-1"
    assert (page.etag, page.last_modified) == ('"one"', "Sat, 01 Jan 2022 00:00:00 GMT")
    assert page.final_url.endswith("/")


async def test_a_server_that_says_nothing_of_it() -> None:
    page = await fetched(Reply(b"hello"))
    assert (page.content_type, page.charset, page.etag, page.last_modified) == (
        "",
        None,
        None,
        None,
    )
    assert page.declared_type == ""


async def test_what_is_unchanged_is_not_sent_again() -> None:
    async with served({"/": Reply(status=304)}) as (server, fetcher):
        assert await fetcher.fetch(server.root, etag='"one"', last_modified="yesterday") is None
        _, headers = server.heard[0]
        assert (headers["if-none-match"], headers["if-modified-since"]) == ('"one"', "yesterday")
        with pytest.raises(FetchError, match="304"):  # an answer to a question nobody asked
            await fetcher.fetch(server.root)


async def test_a_condition_cannot_smuggle_a_header() -> None:
    async with served({"/": Reply(b"x")}) as (server, fetcher):
        await fetcher.fetch(server.root, etag='"a"\r\nX-Evil: 1')
        assert not {"if-none-match", "x-evil"} & server.heard[0][1].keys()


async def test_redirects_are_followed_and_counted() -> None:
    pages: dict[str, Served] = {
        f"/{n}": Reply(status=302, headers={"Location": f"{n + 1}"}) for n in range(6)
    }
    pages["/6"] = Reply(b"there")
    async with served(pages) as (server, fetcher):
        page = await fetcher.fetch(f"{server.root}/1")
        assert page is not None
        assert (page.url, page.final_url) == (f"{server.root}/1", f"{server.root}/6")
        server.heard.clear()
        with pytest.raises(FetchError, match="redirected more than 5 times"):
            await fetcher.fetch(f"{server.root}/0")
        assert len(server.heard) == 6


@pytest.mark.parametrize(
    ("status", "is_retryable"), [(404, False), (410, False), (429, True), (500, True), (503, True)]
)
async def test_what_is_no_page_says_so(status: int, is_retryable: bool) -> None:
    with pytest.raises(FetchError, match=str(status)) as caught:
        await fetched(Reply(b"sorry", status))
    assert (caught.value.status, caught.value.retryable) == (status, is_retryable)


@pytest.mark.parametrize(
    ("packing", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
        ("gzip", lambda data: gzip.compress(data) + bytes(40)),
        ("identity", bytes),
    ],
)
async def test_packed_pages_are_unpacked(packing: str, pack: object) -> None:
    assert callable(pack)
    body = b"all the words of a page " * 30_000
    page = await fetched(Reply(pack(body), headers={"Content-Encoding": packing}))
    assert page.body == body


async def test_a_page_cut_short_is_no_page() -> None:
    cut = gzip.compress(b"all the words of a page")[:-12]
    with pytest.raises(FetchError, match="damaged"):
        await fetched(Reply(cut, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(FetchError, match="no proper answer"):
        await fetched(Reply(b"short", headers={"Content-Length": "50"}))


async def test_a_packing_that_was_not_asked_for() -> None:
    with pytest.raises(FetchError, match="packs"):
        await fetched(Reply(b"x", headers={"Content-Encoding": "br"}))


@pytest.mark.parametrize("declared", ["", None])
async def test_long_pages_are_refused(declared: str | None) -> None:
    headers = {} if declared is None else {"Content-Length": declared}
    exact = await fetched(Reply(bytes(1000), headers=headers), max_bytes=1000)
    assert len(exact.body) == 1000
    with pytest.raises(FetchError, match="longer than the 1,000 bytes"):
        await fetched(Reply(bytes(1001), headers=headers), max_bytes=1000)


async def test_a_bomb_does_not_go_off() -> None:
    """500 MB in half a megabyte; no more than the cap and one step are ever in memory."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(500)) + packer.flush()
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(FetchError, match="longer than"):
            await fetched(Reply(bomb, headers={"Content-Encoding": "gzip"}), max_bytes=2_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


async def endless(writer: Writer, head: bytes, piece: bytes) -> None:
    writer.write(head)
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),  # a status line that never ends
        (b"HTTP/1.1 200 x\r\n", b"X: y\r\n"),  # a head
        (b"HTTP/1.1 200 x\r\n\r\n", b"."),  # a body
        (b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n.\r\n"),
        (b"", b"HTTP/1.1 100 x\r\n\r\n"),
        (b"", b""),
    ],
)
async def test_who_sends_drop_by_drop_is_left_in_time(head: bytes, piece: bytes) -> None:
    async def drip(writer: Writer) -> None:
        await endless(writer, head, piece)

    async with served({"/": drip}, timeout_s=0.5) as (server, fetcher):
        began = time.monotonic()
        with pytest.raises(FetchError):
            await fetcher.fetch(server.root)
        assert time.monotonic() - began < 5


async def test_redirects_share_one_time() -> None:
    async def slow(writer: Writer) -> None:
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    async with served({"/": slow}, timeout_s=0.5) as (server, fetcher):
        with pytest.raises(FetchError, match=r"within 0\.5 seconds"):
            await fetcher.fetch(server.root)
        assert len(server.heard) == 2


@pytest.mark.parametrize(
    "rubbish", [b"SSH-2.0-x\r\n\r\n", b"\x00" * 99, b"", b"HTTP/1.1 x y\r\n\r\n"]
)
async def test_what_is_no_web_server(rubbish: bytes) -> None:
    async def babble(writer: Writer) -> None:
        writer.write(rubbish)
        await writer.drain()

    with pytest.raises(FetchError, match="no proper answer"):
        await fetched(babble)


async def test_nobody_there_and_no_such_name() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    rules = FetchRules(allow_private=HERE, timeout_s=5)
    async with web({}) as server:
        port = server.port
    async with Fetcher(rules, resolver=nowhere, tls=TLS) as fetcher:
        with pytest.raises(FetchError, match="cannot be reached"):
            await fetcher.fetch(f"http://127.0.0.2:{port}/")
        with pytest.raises(FetchError, match=r"No host is called page\.test"):
            await fetcher.fetch("http://page.test/")


async def test_the_next_address_is_tried_when_the_first_is_dead() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.3", "127.0.0.2"]

    rules = FetchRules(allow_private=("127.0.0.0/24",), timeout_s=10)
    async with (
        web({"/": Reply(b"here")}) as server,
        Fetcher(rules, resolver=two, tls=TLS) as fetcher,
    ):
        page = await fetcher.fetch(f"http://page.test:{server.port}/")
    assert page is not None
    assert page.body == b"here"


async def test_a_host_allowed_by_name_may_live_in_the_house_and_nowhere_stranger() -> None:
    found = ["127.0.0.2"]

    async def lookup(host: str, port: int) -> Sequence[str]:
        return found

    rules = FetchRules(allow_private=("NAS.lan",), timeout_s=5)
    async with (
        web({"/": Reply(b"mine")}) as server,
        Fetcher(rules, resolver=lookup, tls=TLS) as mine,
    ):
        page = await mine.fetch(f"http://nas.lan:{server.port}/")
        assert page is not None
        assert page.body == b"mine"
        found.append("fe80::1%eth0")  # as mDNS answers; left out
        assert await mine.fetch(f"http://nas.lan:{server.port}/") is not None
        with pytest.raises(ForbiddenAddress):
            await mine.fetch(f"http://other.lan:{server.port}/")
        found[:] = ["169.254.169.254"]
        with pytest.raises(ForbiddenAddress):
            await mine.fetch(f"http://nas.lan:{server.port}/")
    assert server.heard[0][1]["host"] == f"nas.lan:{server.port}"


@pytest.mark.parametrize("entry", ["192.168.1.0/33", "192.168.1.5:80", "", "1.2.3", "nas.lan/24"])
def test_a_wrong_entry_of_the_list_is_named(entry: str) -> None:
    with pytest.raises(ConfigError, match="allow_private"):
        Fetcher(FetchRules(allow_private=(entry,)))


def authority(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server called `name` shows, and what believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(pem)
    believes = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believes.load_verify_locations(pem)
    return shows, believes


async def test_the_certificate_is_for_the_name_though_the_address_is_pinned(tmp_path: Path) -> None:
    shows, believes = authority(tmp_path, "page.test")
    named: list[str | None] = []
    shows.sni_callback = lambda _socket, name, _context: named.append(name)

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"]

    rules = FetchRules(allow_private=HERE, timeout_s=10)
    async with (
        asyncio.timeout(30),
        web({"/": Reply(b"secret")}, tls=shows) as server,
        Fetcher(rules, resolver=lookup, tls=believes) as fetcher,
    ):
        page = await fetcher.fetch(f"https://page.test:{server.port}/")
        assert page is not None
        assert page.body == b"secret"
        assert named == ["page.test"]
        with pytest.raises(FetchError, match=r"other\.test"):
            await fetcher.fetch(f"https://other.test:{server.port}/")
        assert len(server.heard) == 1


async def test_the_system_decides_on_certificates_by_default(tmp_path: Path) -> None:
    shows, _ = authority(tmp_path, "page.test")

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"]

    rules = FetchRules(allow_private=HERE, timeout_s=10)
    async with (
        asyncio.timeout(30),
        web({"/": Reply(b"secret")}, tls=shows) as server,
        Fetcher(rules, resolver=lookup) as fetcher,
    ):
        with pytest.raises(FetchError):
            await fetcher.fetch(f"https://page.test:{server.port}/")
        assert server.heard == []


async def test_no_cookie_and_no_credential_travels() -> None:
    pages: dict[str, Served] = {
        "/": Reply(status=302, headers={"Location": "/next", "Set-Cookie": "a=b"}),
        "/next": Reply(b"x"),
    }
    async with served(pages) as (server, fetcher):
        await fetcher.fetch(server.root)
        assert [path for path, _ in server.heard] == ["/", "/next"]
        for _, headers in server.heard:
            assert not {"cookie", "authorization", "referer"} & headers.keys()
            assert headers["user-agent"].startswith("antiphon/")
