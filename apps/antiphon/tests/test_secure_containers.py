"""`antiphon secure compose`: the second compose file, and what containers mount."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from antiphon.secure import commands
from antiphon.secure.containers import ContainerFiles
from antiphon.secure.folder import SecureFolder, secure_folder
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, broker_options, load_settings
from antiphon_runtime.broker import SecuredFiles, secured_configuration
from cryptography import x509
from rich.console import Console

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[3]
BASE: Mapping[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
WITHOUT_USERS = {"broker", "models", "redis", "stt-group"}
"""The broker itself; a service that needs no broker; one that the page says is left out."""


class _Loader(yaml.SafeLoader):
    """Understands compose's own tag."""


def _sequence(loader: _Loader, node: yaml.Node) -> list[object]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Loader.add_constructor("!override", _sequence)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecureFolder:
    """A secured house without containers."""
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "da$ta: x"))
    commands.init(["pi.local"], quiet())
    return secure_folder()


def quiet() -> Console:
    return Console(file=io.StringIO())


def services(folder: SecureFolder) -> dict[str, dict[str, Any]]:
    text = ContainerFiles(folder.files).compose.read_text()
    found: dict[str, dict[str, Any]] = yaml.load(text, _Loader)["services"]  # noqa: S506  (a SafeLoader)
    return found


def test_each_worker_of_the_stack_has_its_own_user_and_the_broker_by_name(
    folder: SecureFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands.compose(quiet())
    house = folder.household()
    workers = {name: service for name, service in services(folder).items() if name != "broker"}
    assert set(workers) == set(BASE["services"]) - WITHOUT_USERS
    for name, service in workers.items():
        kind = name.partition("-")[0]
        own = {"satellite": "satellite-default", "metrics": "metrics"}
        user = house.user(own.get(kind, f"{kind}-1"))
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, value.replace("$$", "$"))
        (mount,) = service["volumes"]
        assert mount["source"].replace("$$", "$") == str(folder.path / "containers/workers")
        assert mount["read_only"] is True
        inside = Path(service["environment"]["ANTIPHON_TLS_CA"])
        outside = tmp_path / "mounted.crt"
        outside.write_text(
            (folder.path / "containers/workers" / inside.relative_to(mount["target"])).read_text()
        )
        monkeypatch.setenv("ANTIPHON_TLS_CA", str(outside))
        settings = load_settings(RuntimeSettings)
        assert (settings.host, settings.port, settings.base) == ("broker", 8883, house.base)
        assert settings.username == user.name
        assert service["environment"].get("ANTIPHON_WORKER_ID", user.name) == user.name
        assert settings.password.get_secret_value() == user.secret
        tls = broker_options(settings).tls
        assert tls is not None
        assert tls.check_hostname


def test_a_worker_sees_no_secret_but_its_own(folder: SecureFolder) -> None:
    commands.compose(quiet())
    secrets = {user.name: user.secret for user in folder.household().users}
    for name, service in services(folder).items():
        shown = {user for user, secret in secrets.items() if secret in str(service)}
        assert len(shown) == (0 if name == "broker" else 1), name
    assert secrets["operator"] not in ContainerFiles(folder.files).compose.read_text()
    assert [path.name for path in (folder.path / "containers/workers").iterdir()] == ["ca.crt"]
    assert not any(
        secret.encode() in path.read_bytes()
        for path in (folder.path / "containers/broker").iterdir()
        for secret in secrets.values()
    )


def test_the_broker_is_published_with_tls_alone(folder: SecureFolder) -> None:
    commands.compose(quiet())
    broker = services(folder)["broker"]
    assert broker["ports"] == ["0.0.0.0:8883:8883"]
    assert "ports: !override" in ContainerFiles(folder.files).compose.read_text()
    assert broker["environment"] == {"ANTIPHON_USERNAME": "", "ANTIPHON_PASSWORD": ""}
    assert broker["volumes"][0]["read_only"] is True
    certificate = x509.load_pem_x509_certificate(
        (folder.path / "containers/broker/server.crt").read_bytes()
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"broker", "pi.local", "localhost"} <= set(names.get_values_for_type(x509.DNSName))


def test_the_override_loosens_no_lock(folder: SecureFolder) -> None:
    commands.compose(quiet())
    for service in services(folder).values():
        assert set(service) <= {"environment", "ports", "volumes"}


def test_secrets_are_the_owner_s_alone_and_only_mounted_files_are_open(
    folder: SecureFolder,
) -> None:
    commands.compose(quiet())
    opened = {folder.path / "containers/broker", folder.path / "containers/workers"}
    for path in [folder.path, *folder.path.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        if path in opened:
            assert mode == 0o755, path
        elif path.parent in opened:
            assert mode == 0o644, path
        else:
            assert mode == (0o700 if path.is_dir() else 0o600), path
    assert not (folder.path / "containers").stat().st_mode & 0o077
    mounted = {path.name for path in opened for path in path.iterdir()}
    assert mounted == {"ca.crt", "server.crt", "server.key", "passwords", "acl"}


def test_nothing_is_made_for_containers_that_nobody_asked_for(folder: SecureFolder) -> None:
    commands.add_client("phone", quiet())
    assert not folder.has_containers
    assert not (folder.path / "containers").exists()


def test_what_changes_later_reaches_the_containers_too(folder: SecureFolder) -> None:
    commands.compose(quiet())
    mounted = folder.path / "containers/broker"
    commands.add_client("phone", quiet())
    assert "user phone\n" in (mounted / "acl").read_text()
    assert "phone:" in (mounted / "passwords").read_text()
    commands.remove("phone", quiet())
    assert "phone" not in (mounted / "acl").read_text() + (mounted / "passwords").read_text()
    before = services(folder)["stt"]["environment"]["ANTIPHON_PASSWORD"]
    console = Console(file=io.StringIO(), width=200)
    commands.rotate("stt-1", console)
    after = services(folder)["stt"]["environment"]["ANTIPHON_PASSWORD"]
    assert before != after == folder.household().user("stt-1").secret
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "docker compose up -d" in said
    commands.init(["other.local"], quiet())
    assert (mounted / "server.crt").read_bytes() == folder.files.certificate.read_bytes()


def test_it_says_what_to_do_and_shows_no_secret(folder: SecureFolder) -> None:
    console = Console(file=io.StringIO(), width=500)
    commands.compose(console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"COMPOSE_FILE=docker-compose.yml:{folder.path}/compose.yml\n" in said
    assert re.search(r"[0-9a-f]{32}", said) is None


def test_topics_without_a_base_are_refused_by_a_sentence(
    folder: SecureFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "antiphon.toml").write_text('[antiphon]\nbase = ""\n')
    monkeypatch.setenv("ANTIPHON_CONFIG", str(tmp_path / "antiphon.toml"))
    commands.init([], quiet())
    with pytest.raises(ConfigError, match="set `base`"):
        commands.compose(quiet())
    assert not folder.has_containers


def test_the_container_s_broker_is_told_the_same_as_the_machine_s(tmp_path: Path) -> None:
    """Apart from where the files are, and as whom it runs."""

    def lines(text: str) -> set[str]:
        kept = {line for line in text.splitlines() if line and not line.startswith(("#", "user "))}
        return {re.sub(r"(_file|file|_location) .*/", r"\1 ", line) for line in kept}

    static = (REPOSITORY / "deploy/broker/secured.conf").read_text()
    assert lines(static) == lines(secured_configuration(SecuredFiles(tmp_path)))
