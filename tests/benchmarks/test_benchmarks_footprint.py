from __future__ import annotations

import footprint
import pytest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python -m antiphon up", "up"),
        ("python -m antiphon_stt", "stt"),
        ("/usr/sbin/mosquitto -c /tmp/x/mosquitto.conf", "broker"),
        ("python -m antiphon_runtime.broker.amqtt_process", "broker"),
        ("sleep 3", "other"),
        ("python -m", "other"),
    ],
)
def test_a_process_is_named_by_its_command(command: str, name: str) -> None:
    assert footprint.name_of(command.split()) == name
