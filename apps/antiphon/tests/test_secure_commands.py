"""`antiphon secure …` as a person types it: files and their modes, idempotence, no secret shown."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from antiphon.main import main
from antiphon.secure.command_line import secure_app
from antiphon.secure.household import Household, decode_household
from antiphon_runtime import RuntimeSettings, broker_options, load_settings, stack_file

pytestmark = pytest.mark.unit

Type = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data/secure"


@pytest.fixture
def antiphon(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Type:
    """Run `antiphon …`; returns its exit code and all that it wrote, in one line."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["antiphon", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capfd.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return run


def household(folder: Path) -> Household:
    return decode_household((folder / "household.json").read_bytes())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file; password hashes are salted anew each time, so only their users count."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: re.sub(rb":.*", b"", path.read_bytes()) if name == "passwords" else path.read_bytes()
        for name, path in found.items()
    }


def test_init_makes_everything_for_its_owner_alone(antiphon: Type, folder: Path) -> None:
    before = os.umask(0)
    try:
        code, said = antiphon("secure", "init", "--hosts", "house.lan,192.0.2.7", "--hosts", "pi")
    finally:
        os.umask(before)
    assert code == 0, said
    assert "for: house.lan, 192.0.2.7, pi, localhost, 127.0.0.1, ::1, broker" in said
    assert "antiphon up --secure" in said
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 8 + 2 * 9
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert {user.name for user in household(folder).users} == {
        *("memory-1", "timer-1", "tools-1", "stt-1", "wake-1", "tts-1", "llm-1", "router-1"),
        *("satellite-default", "metrics", "operator"),
    }


def test_a_directory_that_others_could_enter_is_closed(antiphon: Type, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    assert antiphon("secure", "init")[0] == 0
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_page_on_security_names_every_command_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"antiphon secure ([a-z][a-z-]+)", page))
    assert named == {command.name for command in secure_app.registered_commands}


def test_a_second_init_changes_nothing_and_says_so(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init", "--hosts", "house.lan")
    antiphon("secure", "add-client", "phone")
    before = contents(folder)
    code, said = antiphon("secure", "init")
    assert code == 0
    assert "was there already: 12 users keep their secrets" in said
    assert "certificate is as it was" in said
    assert contents(folder) == before


def test_other_hosts_get_a_new_certificate_and_keep_the_secrets(
    antiphon: Type, folder: Path
) -> None:
    antiphon("secure", "init", "--hosts", "house.lan")
    users, authority = household(folder).users, (folder / "ca.crt").read_bytes()
    _, said = antiphon("secure", "init", "--hosts", "pi.local")
    assert "certificate is new" in said
    assert household(folder).users == users
    assert (folder / "ca.crt").read_bytes() == authority
    assert "ANTIPHON_HOST=pi.local" in (folder / "users/operator/antiphon.env").read_text()


def test_a_satellite_s_folder_holds_all_that_its_machine_needs(
    antiphon: Type, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    antiphon("secure", "init", "--hosts", "house.lan")
    code, said = antiphon("secure", "add-satellite", "kitchen")
    own = folder / "users/satellite-kitchen"
    assert code == 0
    assert str(own) in said
    for line in (own / "antiphon.env").read_text().splitlines():
        if not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(own)
    settings = load_settings(RuntimeSettings)
    assert (settings.host, settings.port) == ("house.lan", 8883)
    assert settings.username == settings.worker_id == "satellite-kitchen"
    assert settings.password.get_secret_value() == household(folder).users[-1].secret
    tls = broker_options(settings).tls
    assert tls is not None
    assert tls.check_hostname
    assert len(tls.get_ca_certs()) == 1


def test_adding_twice_keeps_the_secret_and_says_so(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    for words in (("add-satellite", "kitchen"), ("add-client", "phone")):
        antiphon("secure", *words)
        users = household(folder).users
        code, said = antiphon("secure", *words)
        assert code == 0
        assert "was there already and keeps its secret" in said
        assert household(folder).users == users


@pytest.mark.parametrize("name", ["../phone", "a/b", "", "..", "a\nb", "-x", "all"])
@pytest.mark.parametrize("command", ["add-client", "add-satellite"])
def test_a_name_that_is_a_path_is_refused_and_nothing_is_written(
    antiphon: Type, folder: Path, command: str, name: str
) -> None:
    antiphon("secure", "init")
    before = contents(folder.parent)
    code, _ = antiphon("secure", command, "--", name)
    assert code != 0
    assert contents(folder.parent) == before


@pytest.mark.parametrize(
    "words",
    [
        ("add-client", "phone"),
        ("add-satellite", "kitchen"),
        ("rotate",),
        ("remove", "phone"),
        ("show", "operator"),
        ("list",),
    ],
    ids=" ".join,
)
def test_without_init_every_command_names_it(
    antiphon: Type, folder: Path, words: tuple[str]
) -> None:
    code, said = antiphon("secure", *words)
    assert code == 78
    assert "antiphon secure init" in said
    assert not folder.exists()


def test_rotate_changes_one_or_all(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    antiphon("secure", "add-client", "phone")
    first = household(folder)
    code, said = antiphon("secure", "rotate", "phone")
    second = household(folder)
    assert code == 0
    assert "new secrets for: phone" in said
    assert first.without("phone") == second.without("phone")
    assert first.user("phone").secret != second.user("phone").secret
    assert second.user("phone").secret in (folder / "users/phone/antiphon.env").read_text()
    antiphon("secure", "rotate")
    third = household(folder)
    assert not {user.secret for user in second.users} & {user.secret for user in third.users}
    assert antiphon("secure", "rotate", "nobody")[0] == 78


def test_what_the_running_stack_uses_is_not_rotated_under_it(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    antiphon("secure", "add-client", "phone")
    antiphon("secure", "add-satellite", "kitchen")
    stack_file.write(
        stack_file.Stack(
            host="localhost",
            port=8883,
            username="operator",
            password="x",
            base="antiphon",
            pid=os.getpid(),
            started_ts=time.time(),
            broker_kind="mosquitto",
            tls_ca=str(folder / "ca.crt"),
        ),
        stack_file.default_path(),
    )
    before = household(folder)
    for words in ((), ("router-1",), ("operator",), ("satellite-default",)):
        code, said = antiphon("secure", "rotate", *words)
        assert code == 78
        assert "stop `antiphon up`" in said
    assert household(folder) == before
    for name in ("phone", "satellite-kitchen"):
        assert antiphon("secure", "rotate", name)[0] == 0


def test_one_more_worker_has_a_user_of_its_own(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    assert antiphon("secure", "add-worker", "stt-2")[0] == 0
    assert household(folder).user("stt-2").role == "stt"
    own = (folder / "users/stt-2/antiphon.env").read_text()
    assert "ANTIPHON_WORKER_ID=stt-2" in own
    for name in ("stt", "stt-", "phone", "operator-2", "satellite-hall", "god-1", "stt-../x"):
        assert antiphon("secure", "add-worker", name)[0] == 78, name
    assert antiphon("secure", "remove", "stt-2")[0] == 0


def test_remove_takes_guests_and_no_part_of_the_house(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    antiphon("secure", "add-client", "phone")
    assert antiphon("secure", "remove", "phone")[0] == 0
    assert household(folder).find("phone") is None
    assert not (folder / "users/phone").exists()
    assert "phone" not in (folder / "acl").read_text() + (folder / "passwords").read_text()
    code, said = antiphon("secure", "remove", "router-1")
    assert code == 78
    assert "part of the house" in said


def test_no_secret_is_shown_but_the_one_asked_for(antiphon: Type, folder: Path) -> None:
    said = [
        antiphon("secure", *words)[1]
        for words in (
            ("init",),
            ("init", "--hosts", "pi"),
            ("add-satellite", "kitchen"),
            ("add-client", "phone"),
            ("add-client", "phone"),
            ("add-client", "router-1"),
            ("rotate",),
            ("list",),
            ("rotate", "phone"),
        )
    ]
    (folder / "household.json").write_bytes(
        (folder / "household.json").read_bytes().replace(b'"role": "client"', b'"role": "god"')
    )
    said.append(antiphon("secure", "init")[1])
    assert "role that does not exist" in said[-1]
    assert re.search(r"[0-9a-f]{32}", " ".join(said)) is None
    assert "BEGIN" not in " ".join(said)


def test_show_prints_the_secret_alone(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    assert antiphon("secure", "show", "operator")[1] == household(folder).user("operator").secret


def test_passwords_are_hashed_and_the_files_of_mosquitto_hold_no_secret(
    antiphon: Type, folder: Path
) -> None:
    antiphon("secure", "init")
    for name in ("passwords", "acl", "mosquitto.conf"):
        text = (folder / name).read_text()
        assert not any(user.secret in text for user in household(folder).users), name
    lines = (folder / "passwords").read_text().splitlines()
    assert len(lines) == len(household(folder).users)
    assert all(re.fullmatch(r"[a-z0-9-]+:\$7\$101\$.+\$.+", line) for line in lines)


def test_the_broker_is_told_tls_users_rights_and_limits(antiphon: Type, folder: Path) -> None:
    antiphon("secure", "init")
    lines = (folder / "mosquitto.conf").read_text().splitlines()
    for line in (
        "listener 8883",
        "tls_version tlsv1.2",
        "allow_anonymous false",
        "per_listener_settings false",
        f"password_file {folder / 'passwords'}",
        f"acl_file {folder / 'acl'}",
        "set_tcp_nodelay true",
        "persistence true",
        "max_connections 200",
        "max_queued_messages 10000",
        "max_queued_bytes 67108864",
        "max_packet_size 4259840",
    ):
        assert line in lines
    assert sum(line.startswith("listener") for line in lines) == 1


@pytest.mark.parametrize("host", ["", "a b", "-x", "http://house"])
def test_a_wrong_host_is_refused_before_anything_is_made(
    antiphon: Type, folder: Path, host: str
) -> None:
    code, said = antiphon("secure", "init", f"--hosts={host}")
    assert code == 78
    assert "neither a host name nor an IP address" in said
    assert not folder.exists()
