from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from antiphon.settings import (
    broker_variables,
    child_environment,
    find_broker,
    from_url,
    log_folder,
    to_url,
)
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings, stack_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

pytestmark = pytest.mark.unit


def test_a_whole_address_is_read() -> None:
    found = from_url("mqtt://ada:s3cret@broker.lan:2883/home/upstairs")
    assert (found.host, found.port, found.username) == ("broker.lan", 2883, "ada")
    assert found.password.get_secret_value() == "s3cret"
    assert found.base == "home/upstairs"


def test_what_an_address_leaves_out_is_usual() -> None:
    found = from_url("mqtt://broker.lan")
    assert (found.port, found.username, found.base) == (1883, "", "antiphon")
    assert found.password.get_secret_value() == ""


def test_an_address_with_tls_says_so_and_keeps_the_authority_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTIPHON_TLS_CA", "ca.crt")
    found = from_url("mqtts://ada@broker.lan")
    assert (found.encrypted, found.port, found.tls_ca) == (True, 8883, Path("ca.crt"))
    assert to_url(found) == "mqtts://ada@broker.lan:8883/antiphon"
    assert not from_url("mqtt://broker.lan").encrypted


def test_an_address_without_a_base_keeps_the_one_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTIPHON_BASE", "attic")
    assert from_url("mqtt://broker.lan/").base == "attic"


def test_an_ipv6_address_needs_its_brackets_and_keeps_them() -> None:
    found = from_url("mqtt://[::1]:1884")
    assert (found.host, found.port) == ("::1", 1884)
    assert to_url(found) == "mqtt://[::1]:1884/antiphon"


@given(name=st.text(min_size=1), password=st.text())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_user_and_password_survive_the_way_into_an_address_and_back(
    name: str, password: str
) -> None:
    known = load_settings(
        RuntimeSettings, username=name, password=SecretStr(password), host="broker.lan"
    )
    found = from_url(to_url(known))
    assert found.username == name
    assert found.password.get_secret_value() == password


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "http://ada:hunter2@broker.lan",
        "mqtt://ada:hunter2@",
        "mqtt://ada:hunter2@broker.lan:port",
        "mqtt://ada:hunter2@broker.lan:99999",
        "mqtt://ada:hunter2@broker.lan:0",
        "mqtt://ada:hunter2@broker.lan:-1",
        "mqtt://ada:hunter2@[::1",
        "mqtt://ada:hunter2@broker.lan/?x=1",
        "mqtt://ada:hunter2@broker.lan/#x",
        "mqtt://ada:hun#ter2@broker.lan",
        "mqtt://ada:hun/ter2@broker.lan",
        "mqtt://ada:hunter2@broker.lan/a//b",
        "mqtt://ada:hunter2@broker.lan/%23",
        "amqp://ada:hunter2@broker.lan",
    ],
)
def test_a_wrong_address_is_refused_and_its_password_never_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_url(url)
    said = str(refusal.value)
    assert "hunter2" not in said
    assert "ter2" not in said
    assert "broker address" in said or "wrong setting" in said
    chain, causes = refusal.value.__cause__, []
    while chain is not None:
        causes.append(str(chain))
        chain = chain.__cause__
    assert not any("ter2" in cause for cause in causes)


def running_stack(path: Path) -> None:
    stack = stack_file.Stack(
        host="127.0.0.1",
        port=4711,
        username="stack",
        password="of the stack",
        base="house",
        pid=os.getpid(),
        started_ts=time.time(),
        broker_kind="mosquitto",
    )
    stack_file.write(stack, path)


def test_without_anything_known_the_complaint_says_how_to_start() -> None:
    with pytest.raises(ConfigError, match="antiphon up"):
        find_broker(None)


def test_the_running_stack_is_found() -> None:
    running_stack(stack_file.default_path())
    found = find_broker(None)
    assert (found.host, found.port, found.base) == ("127.0.0.1", 4711, "house")
    assert found.password.get_secret_value() == "of the stack"


def test_the_settings_go_before_the_running_stack_and_the_address_before_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running_stack(stack_file.default_path())
    monkeypatch.setenv("ANTIPHON_HOST", "set.lan")
    assert find_broker(None).host == "set.lan"
    assert find_broker("mqtt://named.lan").host == "named.lan"


def test_a_worker_is_led_to_the_same_broker_and_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = load_settings(
        RuntimeSettings,
        host="broker.lan",
        port=2883,
        username="ada",
        password=SecretStr("s3cret"),
        base="home",
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
    )
    for name, value in broker_variables(known).items():
        monkeypatch.setenv(name, value)
    assert load_settings(RuntimeSettings) == known
    assert log_folder(known) == tmp_path / "data" / "logs"


def test_a_child_process_gets_our_environment_and_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_TEST_KEPT", "kept")
    monkeypatch.setenv("ANTIPHON_TEST_CHANGED", "old")
    environment = child_environment({"ANTIPHON_TEST_CHANGED": "new"})
    assert environment["ANTIPHON_TEST_KEPT"] == "kept"
    assert environment["ANTIPHON_TEST_CHANGED"] == "new"
    assert os.environ["ANTIPHON_TEST_CHANGED"] == "old"
