"""`antiphon up --secure`: what it refuses, and what each worker is given."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from antiphon.secure import commands
from antiphon.secure.folder import secure_folder
from antiphon.secure.stack import SecuredHouse, refuse_open_door, secured_ways_in
from antiphon.supervisor import PARTS
from antiphon.up import UpOptions, external_broker, secured_house
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings
from pydantic import SecretStr
from rich.console import Console

pytestmark = pytest.mark.unit


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    commands.init(["house.lan"], Console(file=io.StringIO()))
    return tmp_path


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "192.0.2.7", "house.lan", "", "fe80::1"])
def test_listening_beyond_this_machine_names_what_to_do_first(listen: str) -> None:
    said = r"`antiphon secure init` once, then .* up --secure"
    with pytest.raises(ConfigError, match=said):
        refuse_open_door(listen)
    with pytest.raises(ConfigError, match=said):
        secured_house(UpOptions(listen=listen), None)


@pytest.mark.parametrize("listen", [None, "127.0.0.1", "::1", "localhost", "127.0.0.53"])
def test_this_machine_itself_needs_nothing(listen: str | None) -> None:
    refuse_open_door(listen)
    assert secured_house(UpOptions(listen=listen), None) is None


def test_without_a_secured_directory_it_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(ConfigError, match="antiphon secure init"):
        secured_house(UpOptions(secure=True), None)


def test_it_brings_a_mosquitto_of_its_own(house: Path) -> None:
    external = external_broker(UpOptions(broker="mqtt://broker.lan"))
    for options, broker in (
        (UpOptions(secure=True), external),
        (UpOptions(secure=True, broker_kind="amqtt"), None),
    ):
        with pytest.raises(ConfigError, match="a mosquitto of its own"):
            secured_house(options, broker)


def test_each_worker_gets_its_own_user_and_nobody_else_s_secret(house: Path) -> None:
    household = secure_folder().household()
    parts = SecuredHouse(None, None).parts(PARTS)
    assert [part.kind for part in parts] == [part.kind for part in PARTS]
    for part in parts:
        name = part.variables["ANTIPHON_USERNAME"]
        assert name == part.worker_id
        assert part.variables["ANTIPHON_PASSWORD"] == household.user(name).secret
        others = [user.secret for user in household.users if user.name != name]
        assert not set(others) & set(part.variables.values())
    assert "satellite-default" in {part.worker_id for part in parts}


def test_a_satellite_of_a_site_without_a_user_is_told_the_command(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_SATELLITE_SITE", "attic")
    with pytest.raises(ConfigError, match="antiphon secure add-satellite attic"):
        SecuredHouse(None, None).parts(PARTS)


def test_another_base_than_the_acl_s_is_refused(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_BASE", "elsewhere")
    with pytest.raises(ConfigError, match="made for the base 'antiphon'"):
        SecuredHouse(None, None)


async def test_an_address_that_the_certificate_lacks_is_refused(house: Path) -> None:
    with pytest.raises(ConfigError, match=r"antiphon secure init --hosts 192\.0\.2\.7"):
        async with SecuredHouse("192.0.2.7", None).broker():
            pass


def test_the_lines_to_ask_it_with_hold_no_secret(house: Path) -> None:
    settings = load_settings(
        RuntimeSettings,
        host="localhost",
        port=8883,
        username="operator",
        password=SecretStr("hunter2"),
        tls_ca=Path("/some where/ca.crt"),
    )
    lines = secured_ways_in(settings)
    assert "hunter2" not in " ".join(lines)
    assert lines[0] == "antiphon ask 'what time is it'"
    assert lines[1] == (
        "mosquitto_pub -h localhost -p 8883 --cafile '/some where/ca.crt' -u operator "
        "-P \"$(antiphon secure show operator)\" -t antiphon/ask -m 'what time is it'"
    )
