"""An authority of the house's own, and the broker's certificate.

Keys are ECDSA P-256: every TLS 1.2 client takes them, small devices too. Extensions follow RFC 5280
closely enough for OpenSSL's strict verification, which Python 3.13 turns on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from antiphon_contracts import ConfigError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 825
RENEW_DAYS = 90
# A computer without a clock battery (Raspberry Pi) starts in the past, and would take a certificate
# of today for one of the future.
BACKDATED_DAYS = 365


@dataclass(frozen=True)
class Identity:
    """A certificate and its key.

    Attributes:
        certificate: PEM.
        key: PEM, PKCS 8, not encrypted; never shown by `repr`.
    """

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Identity(…)"


def new_authority(now: datetime | None = None) -> Identity:
    """Return a new authority, good for ten years; it can vouch for servers alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Antiphon house authority")
    builder = _builder(now, AUTHORITY_DAYS, name, name, key.public_key())
    for extension, critical in (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_usage(signs_certificates=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _identity(builder.sign(key, hashes.SHA256()), key)


def new_server(authority: Identity, hosts: Sequence[str], now: datetime | None = None) -> Identity:
    """Return a certificate for a server at `hosts` (names and addresses), good for 825 days.

    Raises:
        ConfigError: the authority's files are damaged.
    """
    issuer, issuer_key = _loaded(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
    public = issuer_key.public_key()
    builder = _builder(now, SERVER_DAYS, _name("Antiphon broker"), issuer.subject, key.public_key())
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (names, False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _identity(builder.sign(issuer_key, hashes.SHA256()), key)


def is_whole(identity: Identity) -> bool:
    """Whether both can be read, and the key is the certificate's."""
    try:
        certificate, key = _loaded(identity)
    except ConfigError:
        return False
    return certificate.public_key() == key.public_key()


def lasts(identity: Identity, now: datetime | None = None) -> bool:
    """Whether a certificate is good for another 90 days."""
    return expiry(identity) > (now or datetime.now(UTC)) + timedelta(days=RENEW_DAYS)


def vouches(authority: Identity, server: Identity, hosts: Sequence[str]) -> bool:
    """Whether `server` was signed by `authority` for exactly these hosts."""
    issuer, _ = _loaded(authority)
    certificate, _ = _loaded(server)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names) == {_alternative(host) for host in hosts}


def expiry(identity: Identity) -> datetime:
    """Return when a certificate ends."""
    return _loaded(identity)[0].not_valid_after_utc


def _name(common: str) -> x509.Name:

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    now: datetime | None,
    days: int,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:

    moment = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=BACKDATED_DAYS))
        .not_valid_after(moment + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _identity(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:

    return Identity(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _loaded(identity: Identity) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:

    try:
        certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
        key = load_pem_private_key(identity.key.encode(), None)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "a certificate or its key is damaged: delete both, then run `antiphon secure init`"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("a certificate's key is not one of ours: run `antiphon secure init`")
    return certificate, key
