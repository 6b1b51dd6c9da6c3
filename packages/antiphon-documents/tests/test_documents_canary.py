"""Whatever is asked for, nobody knocks at a door inside the house.

The canary listens at 127.0.0.1 and ::1 and counts connections that the kernel has made. A web
server at 127.0.0.2, which is allowed, stands for the public one.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

import pytest
from antiphon_documents import Fetcher, FetchRules, ForbiddenAddress
from loopback_web import Canary, Reply, Served, web

pytestmark = pytest.mark.integration

# {p} is the canary's port. Every one of them means 127.0.0.1 or ::1 to somebody.
FORMS = """
http://127.0.0.1:{p}/
HTTP://127.0.0.1:{p}/
  http://127.0.0.1:{p}/
http://127.0.0.1.:{p}/
http://127.1:{p}/
http://127.0.1:{p}/
http://2130706433:{p}/
http://2130706433.:{p}/
http://0x7f000001:{p}/
http://0X7F000001:{p}/
http://0x7f.1:{p}/
http://0x7f.0x0.0x0.0x1:{p}/
http://0x7f.0.0.1:{p}/
http://127.0.0.0x1:{p}/
http://017700000001:{p}/
http://0177.0.0.1:{p}/
http://0177.0.0.01:{p}/
http://0177.1:{p}/
http://00000177.0.0.1:{p}/
http://127.0.0.01:{p}/
http://127.000.000.001:{p}/
http://6425673729:{p}/
http://0:{p}/
http://0.0.0.0:{p}/
http://00.00.00.00:{p}/
http://0x0:{p}/
http://127.0.0.3.:{p}/
http://localhost:{p}/
http://LOCALHOST:{p}/
http://localhost.:{p}/
http://ip6-localhost:{p}/
http://ip6-loopback:{p}/
http://localhost.localdomain:{p}/
http://[::1]:{p}/
http://[0:0:0:0:0:0:0:1]:{p}/
http://[0000:0000:0000:0000:0000:0000:0000:0001]:{p}/
http://[::]:{p}/
http://[::ffff:127.0.0.1]:{p}/
http://[::ffff:7f00:1]:{p}/
http://[0:0:0:0:0:ffff:7f00:0001]:{p}/
http://[::127.0.0.1]:{p}/
http://[::7f00:1]:{p}/
http://[64:ff9b::127.0.0.1]:{p}/
http://[64:ff9b::7f00:1]:{p}/
http://[64:ff9b:1::127.0.0.1]:{p}/
http://[2002:7f00:1::]:{p}/
http://[2002:7f00:0001::1]:{p}/
http://[2001:0:7f00:1::80ff:fffe]:{p}/
http://[::ffff:0:127.0.0.1]:{p}/
http://[::1%25lo]:{p}/
http://[::1%lo]:{p}/
http://[fe80::1%25lo]:{p}/
http://[fe80::1]:{p}/
http://[fc00::1]:{p}/
http://[ff02::1]:{p}/
http://①②⑦.⓪.⓪.①:{p}/
http://127。0。0。1:{p}/
http://１２７.0.0.1:{p}/
http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{p}/
http://loc­alhost:{p}/
http://%31%32%37.0.0.1:{p}/
http://127.0.0.1%2f@example.com:{p}/
http://example.com@127.0.0.1:{p}/
http://user:word@127.0.0.1:{p}/
http://example.com:80@127.0.0.1:{p}/
http://example.com#@127.0.0.1:{p}/
http://127.0.0.1:{p}#@example.com/
http://127.0.0.1:{p}\\@example.com/
http:\\\\127.0.0.1:{p}\\
http:/\\127.0.0.1:{p}/
http:///127.0.0.1:{p}/
http:/127.0.0.1:{p}/
http:127.0.0.1:{p}/
http://127.0.0.1\t:{p}/
http://127.0.0.1 :{p}/
http://127.0.0.1\x00.example.com:{p}/
http://[127.0.0.1]:{p}/
http://[::1:{p}/
http://::1:{p}/
http://127.0.0.1:{p}:80/
http://127.0.0.1:00{p}/
https://127.0.0.1:{p}/
https://localhost:{p}/
https://[::1]:{p}/
//127.0.0.1:{p}/
ftp://127.0.0.1:{p}/
file:///etc/passwd
gopher://127.0.0.1:{p}/_x
dict://127.0.0.1:{p}/
data:text/html,x
javascript:alert(1)
unix:///run/x.sock
ws://127.0.0.1:{p}/
http+unix://127.0.0.1:{p}/
view-source:http://127.0.0.1:{p}/
http://169.254.169.254/latest/meta-data/
http://[fd00:ec2::254]/latest/meta-data/
http://100.64.0.1/
http://10.0.0.1/
http://172.16.0.1/
http://192.168.1.1/
http://198.18.0.1/
http://224.0.0.1/
http://240.0.0.1/
http://255.255.255.255/
http://192.0.2.1/
http://example.com:22/
http://example.com:6379/
""".strip("\n").split("\n")
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ALLOWED = FetchRules(timeout_s=10, allow_private=("127.0.0.2",))
REDIRECTS = (301, 302, 303, 307, 308)
# What a name server may hand out for a name that looks public.
ANSWERS = [
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "::1%lo",
    "fe80::1%lo",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "fd00::1",
    "ff02::1",
    "224.0.0.1",
    "192.0.2.1",
    "2001:db8::1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "localhost",
]


async def to_the_canary(host: str, port: int) -> Sequence[str]:
    """Answer as the worst resolver would: every name is the loopback."""
    return ["127.0.0.1"]


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.close()


def forms(canary: Canary) -> list[str]:
    return [
        form.replace("{p}", str(canary.port)).replace("\\t", "\t").replace("\\x00", "\x00")
        for form in FORMS
    ]


def test_there_are_many_forms_and_they_differ() -> None:
    assert len(set(FORMS)) == len(FORMS) >= 100


def test_the_canary_hears_who_is_less_careful(canary: Canary) -> None:
    """Without our checks a good part of the forms does reach it, so zero means something."""
    reached = 0
    for form in forms(canary):
        try:
            parts = urlsplit(form)
            where = (parts.hostname or "", parts.port or 80)
            if where[1] == canary.port:
                socket.create_connection(where, timeout=0.2).close()
        except (OSError, ValueError):
            continue
        reached += canary.calls()
    assert reached >= 15


@pytest.mark.parametrize("lookup", ["system", "worst"])
async def test_no_form_reaches_the_canary(canary: Canary, lookup: str) -> None:
    rules = FetchRules(timeout_s=10)
    made = Fetcher(rules, tls=TLS)
    if lookup == "worst":
        made = Fetcher(rules, resolver=to_the_canary, tls=TLS)
    passed = []
    async with asyncio.timeout(60), made as fetcher:
        for form in forms(canary):
            if lookup == "system" and "example.com:" in form and "@" not in form:
                continue  # refused for its port before it is looked up, as the other run shows
            try:
                await fetcher.fetch(form)
            except ForbiddenAddress:
                continue
            except Exception as error:  # noqa: BLE001  (every other end of it is listed)
                if not (lookup == "system" and "No host is called" in str(error)):
                    passed.append(f"{form}: {error!r}")
            else:
                passed.append(form)
    assert passed == []
    assert canary.calls() == 0


async def test_no_redirect_reaches_the_canary(canary: Canary) -> None:
    targets = [form for form in forms(canary) if "\x00" not in form]
    pages: dict[str, Served] = {}
    for n, (form, status) in enumerate(zip(targets, itertools.cycle(REDIRECTS), strict=False)):
        pages[f"/{n}"] = Reply(status=status, headers={"Location": form.strip()})
        pages[f"/far/{n}"] = Reply(status=status, headers={"Location": f"/{n}"})
    passed = []
    fetching = Fetcher(ALLOWED, resolver=to_the_canary, tls=TLS)
    async with asyncio.timeout(60), web(pages) as server, fetching as fetcher:
        for path in pages:
            try:
                await fetcher.fetch(server.root + path)
            except ForbiddenAddress:
                continue
            except Exception as error:  # noqa: BLE001
                passed.append(f"{path}: {error!r}")
            else:
                passed.append(path)
    # These are paths beside the page that redirects, for a browser too.
    near = [line for line in passed if "404" in line]
    assert [line for line in passed if line not in near] == []
    assert len(near) <= 8
    assert len(server.heard) >= len(pages)
    assert canary.calls() == 0


async def test_what_is_allowed_arrives_by_the_same_ways(canary: Canary) -> None:
    """The same fetcher does fetch: a page, after a redirect, by a name that it looked up."""

    async def public(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"]

    async with asyncio.timeout(20), web({"/": Reply(b"welcome")}) as server:
        server.pages["/old"] = Reply(
            status=301, headers={"Location": f"http://page.test:{server.port}/"}
        )
        async with Fetcher(ALLOWED, resolver=public, tls=TLS) as fetcher:
            page = await fetcher.fetch(f"{server.root}/old")
    assert page is not None
    assert page.body == b"welcome"
    assert page.final_url == f"http://page.test:{server.port}/"


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_answer_of_a_name_server_leads_inside(canary: Canary, answer: str) -> None:
    for answers in ([answer], ["127.0.0.2", answer], [answer, "127.0.0.2"]):

        async def lookup(host: str, port: int, *, found: Sequence[str] = answers) -> Sequence[str]:
            return found

        async with asyncio.timeout(10), Fetcher(ALLOWED, resolver=lookup, tls=TLS) as fetcher:
            with pytest.raises(ForbiddenAddress):
                await fetcher.fetch(f"http://rebinding.test:{canary.port}/")
    assert canary.calls() == 0


async def test_a_name_that_changes_its_address_is_followed_to_the_first(canary: Canary) -> None:
    """The second answer would be the canary, on the very port; nobody asks for it."""
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    pages = {"/": Reply(b"the first"), "/again": Reply(status=302, headers={"Location": "/"})}
    fetching = Fetcher(ALLOWED, resolver=rebinding, tls=TLS)
    async with (
        asyncio.timeout(20),
        web(dict(pages), port=canary.port) as server,
        fetching as fetcher,
    ):
        page = await fetcher.fetch(f"http://rebinding.test:{server.port}/")
        assert page is not None
        assert page.body == b"the first"
        assert asked == ["rebinding.test"]
        asked.clear()
        with pytest.raises(ForbiddenAddress):  # the redirect looks it up anew, and checks it
            await fetcher.fetch(f"http://rebinding.test:{server.port}/again")
        assert len(asked) == 2
    assert canary.calls() == 0


async def test_the_machines_own_networks_are_inside_too(canary: Canary) -> None:
    """In a house with IPv6 every lamp has a public address; ours stay closed all the same."""
    rules = FetchRules(timeout_s=5)
    own = (ip_network("2606:4700::/32"), ip_network("93.184.216.0/24"))
    async with Fetcher(rules, own_networks=lambda: own, tls=TLS) as fetcher:
        for host in ("93.184.216.34", "[2606:4700::1]"):
            with pytest.raises(ForbiddenAddress):
                await fetcher.fetch(f"http://{host}:{canary.port}/")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_no_proxy_of_the_environment_is_asked(
    canary: Canary, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{canary.port}")
    fetching = Fetcher(ALLOWED, tls=TLS)
    async with asyncio.timeout(20), web({"/": Reply(b"direct")}) as server, fetching as fetcher:
        page = await fetcher.fetch(f"{server.root}/")
    assert page is not None
    assert page.body == b"direct"
    assert canary.calls() == 0
