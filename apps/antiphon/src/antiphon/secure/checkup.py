"""What is wrong with a secured house, and the command that mends it; for `antiphon doctor`."""

from __future__ import annotations

import shlex
import socket
import stat
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from antiphon_contracts import ConfigError
from antiphon_runtime.broker import SecuredFiles

from antiphon.doctor import Finding
from antiphon.secure.certificates import Identity, expiry, is_whole, lasts, vouches
from antiphon.secure.containers import ContainerFiles
from antiphon.secure.folder import SecureFolder
from antiphon.secure.household import LOCAL_HOSTS, Household

INIT = "antiphon secure init"
WHAT = "secure"


def examine(folder: SecureFolder, now: datetime | None = None) -> Iterator[Finding]:
    """Look at a secured directory; nothing is found where there is none. Blocks.

    Args:
        folder: the directory.
        now: the time; None is the clock's.
    """
    if not folder.path.is_dir():
        return
    try:
        household = folder.read()
        if household is None:
            yield Finding(WHAT, "wrong", f"{folder.path} holds no household", INIT)
            return
        yield from _open_files(folder.path)
        yield from _closed_files(folder)
        yield from _certificates(folder.files, household, now or datetime.now(UTC))
        yield from _own_names(household)
    except (ConfigError, OSError) as error:
        yield Finding(WHAT, "wrong", str(error), f"ls -la {shlex.quote(str(folder.path))}")


def own_names() -> Collection[str]:
    """Return the names and addresses by which other machines may know this one."""
    name = socket.gethostname()
    addresses = {
        address.address.partition("%")[0]
        for found in psutil.net_if_addrs().values()
        for address in found
        if address.family in {socket.AF_INET, socket.AF_INET6}
    }
    return {name, f"{name}.local", *addresses} - set(LOCAL_HOSTS)


def _open_files(directory: Path) -> Iterator[Finding]:
    """Look for files with secrets that others may read; the broker's own state lies deeper."""
    kept = [directory, *directory.glob("*"), *directory.glob("users/**/*")]
    others = stat.S_IRWXG | stat.S_IRWXO
    opened = sorted(str(path) for path in kept if path.lstat().st_mode & others)
    if opened:
        more = f" and {len(opened) - 1} more" if len(opened) > 1 else ""
        yield Finding(
            WHAT,
            "wrong",
            f"other users of this machine may open {opened[0]}{more}, where secrets are",
            # Containers run as users of their own: what they read stays readable.
            f"cd {shlex.quote(str(directory))} && "
            "find . ! -path './containers/*' -exec chmod go= {} +",
        )


def _closed_files(folder: SecureFolder) -> Iterator[Finding]:
    """Look for files of the containers that they may not read."""
    if not folder.has_containers:
        return
    files = ContainerFiles(folder.files)
    mounted = [path for root in (files.broker, files.workers) for path in (root, *root.glob("*"))]
    closed = [str(path) for path in mounted if not path.lstat().st_mode & stat.S_IROTH]
    if closed:
        detail = f"the containers may not read {closed[0]}"
        yield Finding(WHAT, "wrong", detail, "antiphon secure compose")


def _certificates(files: SecuredFiles, household: Household, now: datetime) -> Iterator[Finding]:
    authority = _pair(files.authority, files.authority_key)
    if authority is None:
        # To make a new one locks everybody out: what mends it is for a person to choose.
        detail = "ca.crt and ca.key are not a pair: bring both back, or delete both and begin anew"
        yield Finding(WHAT, "wrong", detail, INIT)
        return
    server = _pair(files.certificate, files.key)
    if server is None:
        yield Finding(WHAT, "wrong", "server.crt and server.key are not a pair", INIT)
    elif not vouches(authority, server, household.certified_hosts):
        hosts = ", ".join(household.certified_hosts)
        yield Finding(WHAT, "wrong", f"the broker's certificate is not for {hosts}", INIT)
    else:
        yield _lifetime("the broker's certificate", server, now, "")
    after = ", and every satellite and client needs its folder again after that"
    yield _lifetime("the authority's certificate", authority, now, after)


def _pair(certificate: Path, key: Path) -> Identity | None:
    try:
        found = Identity(certificate.read_text(encoding="ascii"), key.read_text(encoding="ascii"))
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return found if is_whole(found) else None


def _lifetime(what: str, identity: Identity, now: datetime, after: str) -> Finding:
    end = expiry(identity)
    mend = f"{INIT}  # then stop `antiphon up --secure` and start it again"
    if end <= now:
        return Finding(WHAT, "wrong", f"{what} ended on {end:%Y-%m-%d}{after}", mend)
    if not lasts(identity, now):
        return Finding(WHAT, "note", f"{what} ends soon, on {end:%Y-%m-%d}{after}", mend)
    return Finding(WHAT, "ok", f"{what} is good until {end:%Y-%m-%d}")


def _own_names(household: Household) -> Iterator[Finding]:
    names = own_names()
    if not names or any(host in names for host in household.hosts):
        return
    own = socket.gethostname()
    hosts = ",".join((*household.hosts, own))
    yield Finding(
        WHAT,
        "note",
        f"the broker's certificate is for {', '.join(household.hosts)}, and this machine calls "
        f"itself {own}: whoever reaches it by that name is refused",
        f"{INIT} --hosts {shlex.quote(hosts)}",
    )
