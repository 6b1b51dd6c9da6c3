"""`antiphon install-service`: what the unit says, where it goes, and who may ask for it."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from pathlib import Path

import pytest
from antiphon import systemd_unit
from antiphon.main import app
from antiphon.systemd_unit import Installation, quoted, unit
from antiphon_contracts import ConfigError
from typer.testing import CliRunner

pytestmark = pytest.mark.unit

ANN = Installation(
    user="ann",
    python=Path("/home/ann/an antiphon/.venv/bin/python"),
    data_dir=Path("/home/ann/.local/share/antiphon"),
    models_dir=Path("/srv/models 100%"),
    state_dir=Path("/home/ann/.local/state/antiphon"),
    config=Path("/home/ann/antiphon.toml"),
    environment_file=Path("/home/ann/.config/antiphon/antiphon.env"),
)


def settings_of(text: str, section: str) -> dict[str, list[str]]:
    """What a section of a unit sets; a name may come several times."""
    found: dict[str, list[str]] = {}
    inside = ""
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip("[]")
        elif inside == section and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An ordinary user of a machine with systemd, whose home is the returned folder."""
    account = pwd.struct_passwd(("ann", "x", 1000, 1000, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pwd, "getpwuid", {1000: account}.__getitem__)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("ANTIPHON_")]:
        monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").touch(mode=0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_the_unit_starts_up_and_lets_it_end_in_good_order(user: bool) -> None:
    service = settings_of(unit(ANN, user=user), "Service")
    assert service["ExecStart"] == ['"/home/ann/an antiphon/.venv/bin/python" -m antiphon up']
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["78"]
    # Only `up` is told to stop: it tells its workers, and drains.
    assert (service["KillSignal"], service["KillMode"]) == (["SIGTERM"], ["mixed"])
    assert int(service["TimeoutStopSec"][0]) > 20
    assert service["Environment"] == [
        "ANTIPHON_DATA_DIR=/home/ann/.local/share/antiphon",
        '"ANTIPHON_MODELS_DIR=/srv/models 100%%"',
        "ANTIPHON_CONFIG=/home/ann/antiphon.toml",
    ]
    assert service["EnvironmentFile"] == ["-/home/ann/.config/antiphon/antiphon.env"]


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_the_service_writes_to_its_own_folders_alone(user: bool) -> None:
    service = settings_of(unit(ANN, user=user), "Service")
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["ProtectHome"] == ["read-only"]
    assert shlex.split(service["ReadWritePaths"][0]) == [
        "/home/ann/.local/share/antiphon",
        "/srv/models 100%%",
        "/home/ann/.local/state/antiphon",
    ]
    # What `up` prints holds the broker's password, and the journal is read by others.
    assert service["StandardOutput"] == ["null"]


def test_only_the_system_s_unit_names_a_user_and_takes_rights_away() -> None:
    system = settings_of(unit(ANN, user=False), "Service")
    own = settings_of(unit(ANN, user=True), "Service")
    assert system["User"] == ["ann"]
    assert system["CapabilityBoundingSet"] == [""]
    assert "User" not in own
    assert "CapabilityBoundingSet" not in own
    assert own["PrivateUsers"] == ["yes"]
    assert settings_of(unit(ANN, user=False), "Install")["WantedBy"] == ["multi-user.target"]
    assert settings_of(unit(ANN, user=True), "Install")["WantedBy"] == ["default.target"]


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/opt/antiphon", "/opt/antiphon"),
        ("/opt/my house", '"/opt/my house"'),
        ("100%", "100%%"),
        ('a "b" \\c', '"a \\"b\\" \\\\c"'),
    ],
)
def test_words_are_written_as_systemd_reads_them(word: str, written: str) -> None:
    assert quoted(word) == written


def test_the_unit_is_about_the_person_who_asks(person: Path) -> None:
    (person / "antiphon.toml").touch()
    assert systemd_unit.installation() == Installation(
        user="ann",
        python=Path(sys.executable),
        data_dir=person / ".local/share/antiphon",
        models_dir=person / ".local/share/antiphon/models",
        state_dir=person / ".local/state/antiphon",
        config=person / "antiphon.toml",
        environment_file=person / ".config/antiphon/antiphon.env",
    )


def test_a_dry_run_prints_the_unit_and_writes_nothing(person: Path) -> None:
    before = sorted(person.rglob("*"))
    result = CliRunner().invoke(app, ["install-service", "--dry-run"])
    assert result.output == unit(systemd_unit.installation(), user=False)
    assert sorted(person.rglob("*")) == before


def test_the_system_s_unit_is_written_beside_the_data_for_root_to_copy(person: Path) -> None:
    result = CliRunner().invoke(app, ["install-service"])
    path = person / ".local/share/antiphon/antiphon.service"
    assert path.read_text() == unit(systemd_unit.installation(), user=False)
    said, *lines = result.output.splitlines()
    assert str(path) in said
    assert [line.strip() for line in lines] == [
        f"sudo install -o root -g root -m 0644 {path} /etc/systemd/system/antiphon.service",
        "sudo systemctl enable --now antiphon.service",
    ]
    assert all(folder.is_dir() for folder in systemd_unit.installation().writable)


def test_the_user_s_unit_is_written_where_their_manager_looks(person: Path) -> None:
    result = CliRunner().invoke(app, ["install-service", "--user"])
    path = person / ".config/systemd/user/antiphon.service"
    assert path.read_text() == unit(systemd_unit.installation(), user=True)
    assert [line.strip() for line in result.output.splitlines()[1:]] == [
        "systemctl --user enable --now antiphon.service",
        "loginctl enable-linger",
    ]


def test_root_is_refused(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match="without sudo"):
        systemd_unit.install(user=False, dry_run=False)


def test_a_system_without_systemd_is_told_so(person: Path) -> None:
    (person / "bin" / "systemctl").unlink()
    with pytest.raises(ConfigError, match="no systemd"):
        systemd_unit.install(user=True, dry_run=False)


def test_a_folder_that_cannot_be_written_is_named(person: Path) -> None:
    (person / ".config").touch()
    with pytest.raises(ConfigError, match="cannot be written: Not a directory"):
        systemd_unit.install(user=True, dry_run=False)
