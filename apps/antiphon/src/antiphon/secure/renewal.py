"""Certificates in their files: what is missing, does not fit or ends soon is made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from antiphon_contracts import ConfigError
from antiphon_runtime.broker import SecuredFiles
from antiphon_runtime.broker.private_file import write_private

from antiphon.secure.certificates import (
    Identity,
    expiry,
    is_whole,
    lasts,
    new_authority,
    new_server,
    vouches,
)


@dataclass(frozen=True)
class Renewed:
    """Which certificates were made anew.

    Attributes:
        authority: whether every satellite and client needs the new `ca.crt`.
        server: whether the broker has a new certificate.
        server_until: when the broker's certificate ends.
    """

    authority: bool
    server: bool
    server_until: datetime


def renew(files: SecuredFiles, hosts: Sequence[str]) -> Renewed:
    """Make the certificates that are missing, do not fit, or end within 90 days.

    Raises:
        ConfigError: the authority's files are damaged, or one of them is missing. It is not made
            anew then, because everybody who trusts it would be locked out.
        OSError: a file cannot be read or written.
    """
    authority = _read(files.authority, files.authority_key)
    begun = files.authority.exists() or files.authority_key.exists()
    if begun and (authority is None or not is_whole(authority)):
        raise ConfigError(
            f"ca.crt and ca.key in {files.directory} are not a pair: bring both back, or delete "
            "both and run `antiphon secure init` (then every satellite and client needs its folder "
            "again)"
        )
    new_issuer = authority is None or not lasts(authority)
    if authority is None or new_issuer:
        authority = new_authority()
        _write(authority, files.authority, files.authority_key)
    server = _read(files.certificate, files.key)
    fits = (
        server is not None
        and is_whole(server)
        and lasts(server)
        and vouches(authority, server, hosts)
    )
    if server is None or not fits:
        server = new_server(authority, hosts)
        _write(server, files.certificate, files.key)
    return Renewed(new_issuer, not fits, expiry(server))


def _read(certificate: Path, key: Path) -> Identity | None:
    try:
        return Identity(certificate.read_text(encoding="ascii"), key.read_text(encoding="ascii"))
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write(identity: Identity, certificate: Path, key: Path) -> None:
    write_private(key, identity.key)
    write_private(certificate, identity.certificate)
