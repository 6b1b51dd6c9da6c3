"""Certificates: what is in them, how long they live, and when they are made anew."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from antiphon.secure.certificates import (
    Identity,
    expiry,
    is_whole,
    lasts,
    new_authority,
    new_server,
    vouches,
)
from antiphon.secure.renewal import renew
from antiphon_contracts import ConfigError
from antiphon_runtime.broker import SecuredFiles
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = pytest.mark.unit

HOSTS = ("house.lan", "192.0.2.7", "::1")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def certificate(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate.encode())


@pytest.fixture(scope="module")
def authority() -> Identity:
    return new_authority(NOW)


def test_an_authority_vouches_for_servers_and_for_no_other_authority(authority: Identity) -> None:
    found = certificate(authority)
    basic = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_a_server_certificate_is_for_its_hosts_and_for_nothing_but_serving(
    authority: Identity,
) -> None:
    found = certificate(new_server(authority, HOSTS, NOW))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["house.lan"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("192.0.2.7"),
        ipaddress.ip_address("::1"),
    ]
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_lifetimes_and_a_begin_in_the_past_for_clocks_that_start_there(
    authority: Identity,
) -> None:
    server = new_server(authority, HOSTS, NOW)
    assert expiry(authority) - NOW == timedelta(days=3650)
    assert expiry(server) - NOW == timedelta(days=825)
    for identity in (authority, server):
        assert NOW - certificate(identity).not_valid_before_utc == timedelta(days=365)


def test_a_certificate_lasts_until_90_days_before_its_end(authority: Identity) -> None:
    server = new_server(authority, HOSTS, NOW)
    assert lasts(server, NOW + timedelta(days=734))
    assert not lasts(server, NOW + timedelta(days=736))


def test_a_certificate_and_its_key_are_a_pair(authority: Identity) -> None:
    server = new_server(authority, HOSTS, NOW)
    assert is_whole(server)
    assert not is_whole(Identity(server.certificate, authority.key))
    assert not is_whole(Identity("damaged", server.key))


def test_an_authority_vouches_for_its_own_server_and_these_hosts_alone(
    authority: Identity,
) -> None:
    server = new_server(authority, HOSTS, NOW)
    assert vouches(authority, server, HOSTS)
    assert vouches(authority, server, tuple(reversed(HOSTS)))
    assert not vouches(authority, server, HOSTS[:2])
    assert not vouches(new_authority(NOW), server, HOSTS)


def test_a_damaged_authority_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="antiphon secure init"):
        new_server(Identity("-----BEGIN", "x"), HOSTS)


def test_a_key_is_never_shown(authority: Identity) -> None:
    assert "PRIVATE" in authority.key
    assert "PRIVATE" not in repr(authority)


def test_openssl_verifies_it_strictly_and_by_name(tmp_path: Path) -> None:
    files = SecuredFiles(tmp_path)
    renew(files, HOSTS)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.authority)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(client, server, "house.lan") == ""
    assert handshake(client, server, "192.0.2.7") == ""
    assert "Hostname mismatch" in handshake(client, server, "elsewhere.lan")
    stranger = SecuredFiles(tmp_path / "stranger")
    stranger.directory.mkdir()
    renew(stranger, HOSTS)
    other = ssl.create_default_context(cafile=stranger.authority)
    assert "unable to get local issuer" in handshake(other, server, "house.lan")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> str:
    """Shake hands in memory; returns why it failed, empty if it did not."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    assert ours.version() in {"TLSv1.2", "TLSv1.3"}
    return ""


def test_only_what_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    files = SecuredFiles(tmp_path)
    first = renew(files, HOSTS)
    assert (first.authority, first.server) == (True, True)
    again = renew(files, HOSTS)
    assert (again.authority, again.server) == (False, False)
    other_hosts = renew(files, ("house.lan",))
    assert (other_hosts.authority, other_hosts.server) == (False, True)
    files.key.unlink()
    assert renew(files, ("house.lan",)).server
    files.authority.unlink()
    files.authority_key.unlink()
    both = renew(files, ("house.lan",))
    assert (both.authority, both.server) == (True, True)


@pytest.mark.parametrize("damage", ["no key", "no certificate", "other key", "garbage"])
def test_an_authority_that_others_trust_is_never_replaced_unasked(
    tmp_path: Path, damage: str
) -> None:
    files = SecuredFiles(tmp_path)
    renew(files, HOSTS)
    if damage == "no key":
        files.authority_key.unlink()
    elif damage == "no certificate":
        files.authority.unlink()
    elif damage == "other key":
        files.authority_key.write_text(files.key.read_text())
    else:
        files.authority.write_text("damaged")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="bring both back"):
        renew(files, HOSTS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_certificate_that_ends_soon_is_made_anew(tmp_path: Path) -> None:
    files = SecuredFiles(tmp_path)
    renew(files, HOSTS)
    authority = Identity(files.authority.read_text(), files.authority_key.read_text())
    old = new_server(authority, HOSTS, datetime.now(UTC) - timedelta(days=825 - 89))
    files.certificate.write_text(old.certificate)
    files.key.write_text(old.key)
    renewed = renew(files, HOSTS)
    assert (renewed.authority, renewed.server) == (False, True)
    assert renewed.server_until > datetime.now(UTC) + timedelta(days=800)
