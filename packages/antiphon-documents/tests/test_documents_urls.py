"""One way to read a web address, and which network addresses are public."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from antiphon_documents import ForbiddenAddress
from antiphon_documents.addresses import Gate, is_public, own_networks
from antiphon_documents.urls import join, parse
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("HTTPS://example.com:443/a#part", "https://example.com/a"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("http://example.com./a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/../../a/..", "http://example.com/"),
        ("http://example.com//a", "http://example.com//a"),
        ("http://example.com?q=a b", None),
        ("http://example.com?q=a%20b", "http://example.com/?q=a%20b"),
        ("https://de.wikipedia.org/wiki/Größe", "https://de.wikipedia.org/wiki/Gr%C3%B6%C3%9Fe"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::1]:8080/", "http://[2606:4700::1]:8080/"),
        ("http://my_host.example/", "http://my_host.example/"),
        ("http://1.example/", "http://1.example/"),
        ("http://example.1/", None),
        ("http://example.0x1/", None),
        ("http://-a.example/", None),
        ("http://a..example/", None),
        ("http:///", None),
        ("http://example.com:99999/", None),
        ("http://example.com:25/", None),
        ("http://example.com:81/", None),
        ("http://example.com:11211/", None),
        ("http://example.com/" + "a" * 5000, None),
        ("http://" + "a." * 200 + "example/", None),
        ("http://" + "ü" * 3000 + "/", None),
        ("http://example.com/\ud800", None),
        ("", None),
    ],
)
def test_addresses_have_one_form(given: str, normal: str | None) -> None:
    if normal is None:
        with pytest.raises(ForbiddenAddress):
            parse(given)
    else:
        assert str(parse(given)) == normal
        assert parse(normal) == parse(given)


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("b", "http://example.com/a/b"),
        ("/b", "http://example.com/b"),
        ("?x=1", "http://example.com/a/?x=1"),
        ("#part", "http://example.com/a/"),
        ("//other.example/b", "http://other.example/b"),
        ("  https://other.example ", "https://other.example/"),
        ("mailto:me@example.com", None),
        ("javascript:void(0)", None),
        ("http://[", None),
        ("//127.1/", None),
    ],
)
def test_links_are_read_from_their_page(link: str, leads_to: str | None) -> None:
    base = parse("http://example.com/a/")
    if leads_to is None:
        with pytest.raises(ForbiddenAddress):
            join(base, link)
    else:
        assert str(join(base, link)) == leads_to


@settings(deadline=None)
@given(st.text() | st.text("htp:/.@[]%\\#?0123456789abcdefx").map(lambda tail: "http://" + tail))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        web = parse(text)
    except ForbiddenAddress:
        return
    assert parse(str(web)) == web
    assert str(web).isascii()
    assert not set(" \r\n\t\\@") & set(web.host)


@settings(deadline=None)
@given(st.text())
def test_any_link_is_an_address_or_refused(text: str) -> None:
    try:
        join(parse("http://example.com/a/"), text)
    except ForbiddenAddress:
        return


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("93.184.216.34", True),
        ("100.63.255.255", True),
        ("100.64.0.0", False),
        ("172.15.0.1", True),
        ("172.31.255.255", False),
        ("223.255.255.255", True),
        ("224.0.0.0", False),
        ("2606:4700::1", True),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("::ffff:8.8.8.8", False),
        ("2002:0808:0808::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("2606:4700::1%eth0", False),
    ],
)
def test_what_is_public(address: str, expected: bool) -> None:
    assert is_public(ip_address(address)) is expected


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nothing_that_python_calls_special_is_public(number: int) -> None:
    address = ip_address(number)
    special = (
        address.is_private,
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_reserved,
        address.is_unspecified,
    )
    if any(special):
        assert not is_public(address)


def test_the_own_networks_hold_the_loopback_and_are_not_everything() -> None:
    networks = own_networks()
    assert any(ip_address("127.0.0.1") in network for network in networks)
    assert all(network.prefixlen >= 8 for network in networks)


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(ForbiddenAddress):
        Gate().passed("example.com", [])
