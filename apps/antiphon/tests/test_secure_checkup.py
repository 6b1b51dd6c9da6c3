"""The doctor looks at a secured house: each fault is found, and its command mends it."""

from __future__ import annotations

import io
import socket
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from antiphon import doctor
from antiphon.doctor import Finding
from antiphon.secure import checkup, commands
from antiphon.secure.folder import SecureFolder
from antiphon.secure.household import Household
from antiphon_contracts import Role
from rich.console import Console

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecureFolder:
    """A house that is secured for this machine's own name."""
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))
    folder = SecureFolder(tmp_path / "secure")
    begin(folder, socket.gethostname())
    return folder


def begin(folder: SecureFolder, *hosts: str) -> None:
    """Do what `antiphon secure init` does."""
    with folder.changing():
        household = Household(hosts, "antiphon").with_user("stt-1", Role.STT)
        folder.certify(household)
        folder.write(household)


def faults(folder: SecureFolder, days: float = 0) -> list[Finding]:
    """What is not well in so many days."""
    now = datetime.now(UTC) + timedelta(days=days)
    return [finding for finding in checkup.examine(folder, now) if finding.verdict != "ok"]


def verdicts(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.remedy) for finding in findings]


def test_a_fresh_house_is_well(folder: SecureFolder) -> None:
    assert faults(folder) == []
    assert [finding.verdict for finding in doctor.secured()] == ["ok", "ok"]


def test_where_there_is_no_secured_house_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))
    assert list(doctor.secured()) == []


@pytest.mark.parametrize(
    ("days", "verdict", "words"),
    [(734, "", ""), (736, "note", "broker's certificate ends soon"), (826, "wrong", "ended on")],
)
def test_a_certificate_that_ends_is_made_anew_by_init(
    folder: SecureFolder, days: int, verdict: str, words: str
) -> None:
    found = faults(folder, days)
    assert [finding.verdict for finding in found] == ([verdict] if verdict else [])
    for finding in found:
        assert words in finding.detail
        assert finding.remedy.startswith("antiphon secure init  #")


def test_an_authority_that_ends_says_what_follows(folder: SecureFolder) -> None:
    assert any(
        "authority's certificate ends soon" in finding.detail and "folder again" in finding.detail
        for finding in faults(folder, 3600)
    )


def test_a_certificate_for_other_hosts_is_made_anew_by_init(folder: SecureFolder) -> None:
    other = SecureFolder(folder.path.parent / "other")
    begin(other, "elsewhere.lan")
    for name in ("ca.crt", "ca.key", "server.crt", "server.key"):
        (folder.path / name).write_bytes((other.path / name).read_bytes())
    [found] = faults(folder)
    assert "is not for" in found.detail
    assert (found.verdict, found.remedy) == ("wrong", "antiphon secure init")
    begin(folder, socket.gethostname())
    assert faults(folder) == []


def test_a_house_that_is_not_for_this_machine_names_the_hosts_to_add(
    folder: SecureFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    before = folder.household().hosts[0]
    [found] = faults(folder)
    assert f"for {before}, and this machine calls itself renamed" in found.detail
    assert verdicts([found]) == [("note", f"antiphon secure init --hosts {before},renamed")]
    begin(folder, before, "renamed")
    assert faults(folder) == []


@pytest.mark.parametrize("name", [".", "server.key", "household.json", "users/stt-1/antiphon.env"])
def test_secrets_that_others_may_read_are_closed_by_the_command(
    folder: SecureFolder, name: str
) -> None:
    console = Console(file=io.StringIO())
    commands.init([], console)
    commands.compose(console)
    path = folder.path / name
    path.chmod(path.stat().st_mode | 0o040)
    [found] = faults(folder)
    assert f"may open {path}" in found.detail
    assert found.verdict == "wrong"
    subprocess.run(["sh", "-c", found.remedy], check=True)
    assert faults(folder) == []
    assert not path.stat().st_mode & 0o077
    mounted = folder.path / "containers/broker"
    assert mounted.stat().st_mode & 0o777 == 0o755
    assert (mounted / "server.key").stat().st_mode & 0o777 == 0o644


def test_what_containers_may_not_read_is_opened_by_the_command(folder: SecureFolder) -> None:
    console = Console(file=io.StringIO())
    commands.init([], console)
    commands.compose(console)
    assert faults(folder) == []
    for closed in ("containers/broker/server.key", "containers/workers"):
        path = folder.path / closed
        path.chmod(0o700)
        [found] = faults(folder)
        assert verdicts([found]) == [("wrong", "antiphon secure compose")]
        assert closed in found.detail
        commands.compose(console)
        assert faults(folder) == []


@pytest.mark.parametrize("name", ["server.key", "server.crt"])
@pytest.mark.parametrize("damage", [None, b"no key \xff", b"no key"])
def test_a_broken_certificate_is_made_anew_by_init(
    folder: SecureFolder, name: str, damage: bytes | None
) -> None:
    path = folder.path / name
    path.unlink() if damage is None else path.write_bytes(damage)
    assert verdicts(faults(folder)) == [("wrong", "antiphon secure init")]
    begin(folder, socket.gethostname())
    assert faults(folder) == []


def test_a_broken_authority_is_said_to_be_no_pair(folder: SecureFolder) -> None:
    (folder.path / "ca.key").unlink()
    [found] = faults(folder)
    assert "delete both and begin anew" in found.detail


def test_a_damaged_household_is_said_in_a_sentence(folder: SecureFolder) -> None:
    (folder.path / "household.json").write_text("{")
    [found] = faults(folder)
    assert found.verdict == "wrong"
    assert found.remedy
