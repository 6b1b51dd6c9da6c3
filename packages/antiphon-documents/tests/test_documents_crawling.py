"""Crawls of a site on the loopback: what is fetched, in which order, how often and how fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import made_documents
import pytest
from antiphon_documents import (
    CrawlRules,
    DeniedByRobots,
    Fetcher,
    FetchFailure,
    FetchRules,
    ForbiddenAddress,
    Page,
    crawl,
    extract,
)
from loopback_web import Reply, Served, Web, Writer, web

pytestmark = pytest.mark.integration

HTML = {"Content-Type": "text/html; charset=utf-8"}
QUICK = CrawlRules(delay_s=0)


def html(*links: str, head: str = "", words: str = "Words of a page.") -> Reply:
    anchors = "".join(f'<a href="{link}">there</a>' for link in links)
    return Reply(f"<html><head>{head}</head><body><p>{words}</p>{anchors}".encode(), headers=HTML)


def moved(where: str) -> Reply:
    return Reply(status=301, headers={"Location": where})


@asynccontextmanager
async def site(pages: dict[str, Served]) -> AsyncIterator[tuple[Web, Fetcher]]:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"]

    rules = FetchRules(allow_private=("127.0.0.2",), timeout_s=10)
    async with (
        asyncio.timeout(60),
        web(pages) as server,
        Fetcher(rules, resolver=lookup) as fetcher,
    ):
        yield server, fetcher


async def crawled(
    pages: dict[str, Served], rules: CrawlRules = QUICK, *, start: str = "/"
) -> tuple[list[str], list[FetchFailure], Web]:
    """Return the paths of the pages that came, the failures, and the server."""
    async with site(pages) as (server, fetcher):
        found = [result async for result in crawl(fetcher, server.root + start, rules)]
    arrived = [page.final_url.removeprefix(server.root) for page in found if isinstance(page, Page)]
    return arrived, [result for result in found if isinstance(result, FetchFailure)], server


async def test_pages_come_breadth_first_and_once() -> None:
    pages: dict[str, Served] = {
        "/": html("/a", "b", "/a#part", "HTTP://127.0.0.2:{port}/a", "./x/../a", ""),
        "/a": html("/", "/deep"),
        "/b": html("/deep", "/a"),
        "/deep": html("/deeper"),
        "/deeper": html(),
    }
    for depth, expected in [
        (0, ["/"]),
        (1, ["/", "/a", "/b"]),
        (2, ["/", "/a", "/b", "/deep"]),
        (9, ["/", "/a", "/b", "/deep", "/deeper"]),
    ]:
        arrived, failures, server = await crawled(pages, CrawlRules(depth=depth, delay_s=0))
        assert arrived == expected
        assert len(server.paths) == len(set(server.paths))
        assert len(failures) <= 1  # {port} is no port


async def test_no_more_than_so_many_pages() -> None:
    pages: dict[str, Served] = {"/": html(*(f"/{n}" for n in range(50)))}
    pages |= {f"/{n}": html() for n in range(50)}
    for limit in (0, 1, 10):
        rules = CrawlRules(max_pages=limit, delay_s=0)
        arrived, _, server = await crawled(pages, rules)
        assert len(arrived) == limit
        assert len([path for path in server.paths if path != "/robots.txt"]) == limit


async def test_other_sites_are_left_alone_unless_wished() -> None:
    pages: dict[str, Served] = {"/": html("http://other.test/", "/away"), "/two": html()}
    async with site(pages) as (server, fetcher):
        other = f"http://other.test:{server.port}/two"
        pages["/"] = html(other, f"http://www.page.test:{server.port}/two", "/away")
        pages["/away"] = moved(other)
        start = f"http://page.test:{server.port}/"
        near = [result async for result in crawl(fetcher, start, QUICK)]
        assert [page.final_url for page in near if isinstance(page, Page)] == [
            start,
            f"http://www.page.test:{server.port}/two",
        ]
        (failure,) = [result for result in near if isinstance(result, FetchFailure)]
        assert "another site" in str(failure.error)
        rules = CrawlRules(same_site=False, delay_s=0)
        far = [result async for result in crawl(fetcher, start, rules)]
        assert other in [page.final_url for page in far if isinstance(page, Page)]


async def test_a_first_page_that_has_moved_takes_the_site_along() -> None:
    pages: dict[str, Served] = {"/new": html("/two"), "/two": html("/new", "/old"), "/old": html()}
    async with site(pages) as (server, fetcher):
        pages["/old"] = moved(f"http://new.test:{server.port}/new")
        start = f"http://old.test:{server.port}/old"
        found = [result async for result in crawl(fetcher, start, CrawlRules(depth=3, delay_s=0))]
    assert [page.final_url for page in found if isinstance(page, Page)] == [
        f"http://new.test:{server.port}/new",
        f"http://new.test:{server.port}/two",
    ]


async def test_pages_that_are_one_page_come_once() -> None:
    pages: dict[str, Served] = {"/": html("/a", "/b"), "/a": moved("/c"), "/b": moved("/c")}
    pages["/c"] = html("/")
    arrived, failures, _ = await crawled(pages)
    assert (arrived, failures) == (["/", "/c"], [])


async def test_robots_are_asked_and_obeyed() -> None:
    robots = (
        "User-agent: *\nAllow: /\n\nUser-agent: antiphon\nDisallow: /secret\nAllow: /secret/door\n"
    )
    pages: dict[str, Served] = {
        "/": html("/secret", "/secret/door", "/open"),
        "/robots.txt": Reply(robots.encode()),
        **{path: html() for path in ("/secret", "/secret/door", "/open")},
    }
    arrived, failures, server = await crawled(pages)
    assert arrived == ["/", "/secret/door", "/open"]
    assert [type(failure.error) for failure in failures] == [DeniedByRobots]
    assert server.paths.count("/robots.txt") == 1
    assert "/secret" not in server.paths
    arrived, _, server = await crawled(pages, CrawlRules(obey_robots=False, delay_s=0))
    assert "/secret" in arrived
    assert "/robots.txt" not in server.paths


@pytest.mark.parametrize(("status", "may"), [(404, True), (403, True), (500, False), (503, False)])
async def test_robots_that_cannot_be_had(status: int, may: bool) -> None:
    pages: dict[str, Served] = {"/": html(), "/robots.txt": Reply(b"", status)}
    arrived, failures, _ = await crawled(pages)
    assert (arrived == ["/"], failures == []) == (may, may)


async def test_a_host_is_given_time_between_two_pages() -> None:
    pages: dict[str, Served] = {
        "/": html("/a", "/b", "/c"),
        "/a": html(),
        "/b": html(),
        "/c": html(),
    }
    for robots, least_s in ((b"", 0.6), (b"User-agent: *\nCrawl-delay: 0.4\n", 1.2)):
        pages["/robots.txt"] = Reply(robots)
        began = time.monotonic()
        arrived, _, _ = await crawled(pages, CrawlRules(delay_s=0.2))
        assert len(arrived) == 4
        assert time.monotonic() - began >= least_s


async def test_a_site_cannot_ask_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_documents.robots.MAX_DELAY_S", 0.1)
    pages: dict[str, Served] = {"/": html("/a"), "/a": html()}
    pages["/robots.txt"] = Reply(b"User-agent: *\nCrawl-delay: 86400\n")
    async with asyncio.timeout(20):
        arrived, _, _ = await crawled(pages)
    assert arrived == ["/", "/a"]


async def test_so_many_at_once_and_no_more() -> None:
    async def slow(writer: Writer) -> None:
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 x\r\nContent-Type: text/html\r\n\r\n<html><p>x")
        await writer.drain()

    names = [f"/{n}" for n in range(9)]
    pages: dict[str, Served] = {"/": html(*names), **dict.fromkeys(names, slow)}
    for concurrency in (1, 3):
        rules = CrawlRules(concurrency=concurrency, delay_s=0)
        arrived, _, server = await crawled(pages, rules)
        assert arrived == ["/", *names]
        assert server.most_at_once == concurrency


async def test_documents_come_too_and_other_files_do_not() -> None:
    letter = made_documents.docx(["Dear reader."])
    pages: dict[str, Served] = {
        "/": html("/book.pdf", "/letter", "/notes.txt", "/logo.png", "/pic", "/data", "/style"),
        "/book.pdf": Reply(made_documents.pdf(["Words of a book."])),
        "/letter": Reply(letter, headers={"Content-Type": "application/octet-stream"}),
        "/notes.txt": Reply(b"Some notes.", headers={"Content-Type": "text/plain"}),
        "/logo.png": Reply(b"\x89PNG\r\n\x1a\n\x00"),
        "/pic": Reply(b"\x89PNG\r\n\x1a\n\x00"),
        "/data": Reply(b'{"a": 1}', headers={"Content-Type": "application/json"}),
        "/style": Reply(b"p { color: red }", headers={"Content-Type": "text/css"}),
    }
    async with site(pages) as (server, fetcher):
        found = [page async for page in crawl(fetcher, server.root, QUICK)]
    assert all(isinstance(page, Page) for page in found)
    words = [
        extract(page.body, content_type=page.declared_type).sections[0].text
        for page in found
        if isinstance(page, Page)
    ]
    assert words[1:] == ["Words of a book.", "Dear reader.", "Some notes."]
    assert "/logo.png" not in server.paths


@pytest.mark.parametrize(
    "page",
    [
        html("/a", head='<meta name="robots" content="noindex, nofollow">'),
        Reply(b'<html><a rel="nofollow noopener" href="/a">x</a>', headers=HTML),
        Reply(
            b'<html><a href="mailto:x@y">x</a><a href="javascript:x">y</a><a>z</a>', headers=HTML
        ),
        Reply(b'<html><script>"<a href=/a>"</script>', headers=HTML),
    ],
)
async def test_what_is_no_link_to_follow(page: Reply) -> None:
    arrived, failures, server = await crawled({"/": page, "/a": html()})
    assert (arrived, failures) == (["/"], [])
    assert "/a" not in server.paths


async def test_a_page_may_say_where_its_links_begin() -> None:
    pages: dict[str, Served] = {"/": html("b", head='<base href="/a/">'), "/a/b": html()}
    arrived, _, _ = await crawled(pages)
    assert arrived == ["/", "/a/b"]


async def test_links_into_the_house_are_failures() -> None:
    pages: dict[str, Served] = {"/": html("http://127.0.0.1:9999/", "http://192.168.1.1/", "/a")}
    pages["/a"] = moved("http://localhost:9999/")
    rules = CrawlRules(same_site=False, delay_s=0)
    async with site(pages) as (server, _):
        mine = FetchRules(allow_private=("127.0.0.2",), timeout_s=10)
        async with Fetcher(mine) as fetcher:
            found = [result async for result in crawl(fetcher, server.root, rules)]
    failures = [result for result in found if isinstance(result, FetchFailure)]
    assert [type(failure.error) for failure in failures] == [ForbiddenAddress] * 3


async def test_what_cannot_be_fetched_is_told_and_the_rest_goes_on() -> None:
    pages: dict[str, Served] = {"/": html("/gone", "/here"), "/here": html()}
    arrived, failures, server = await crawled(pages)
    assert arrived == ["/", "/here"]
    assert [(failure.url, failure.error.status) for failure in failures] == [
        (f"{server.root}/gone", 404)
    ]


async def test_a_start_that_is_no_address() -> None:
    async with site({}) as (_, fetcher):
        found = [result async for result in crawl(fetcher, "no address", QUICK)]
    (failure,) = found
    assert isinstance(failure, FetchFailure)
    assert isinstance(failure.error, ForbiddenAddress)


async def test_a_crawl_may_be_left_at_any_time() -> None:
    pages: dict[str, Served] = {"/": html("/a", "/b"), "/a": html(), "/b": html()}
    async with site(pages) as (server, fetcher):
        async for _ in crawl(fetcher, server.root, QUICK):
            break
        before = len(asyncio.all_tasks())
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= before
        assert server.paths == ["/robots.txt", "/"]
