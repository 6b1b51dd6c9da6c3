"""The compose stack is locked down: no service is forgotten. `tests/compose/run` tries it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE: Mapping[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
ENDS = "models"
"""The one service that does its work and ends."""


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_service_is_locked_down_and_bounded(service: Mapping[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_is_started_again_and_asked_how_it_is(name: str) -> None:
    service = SERVICES[name]
    if name == ENDS:
        assert service["restart"] == "on-failure"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
    # What starts when is left to retries: podman does not restart what depends on what has ended.
    assert "depends_on" not in service


def test_only_broker_and_metrics_are_reached_from_outside_and_from_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "broker": ["127.0.0.1:${ANTIPHON_PORT:-1883}:1883"],
        "metrics": ["127.0.0.1:${METRICS_PORT:-9464}:9464"],
    }
    assert SERVICES["metrics"]["profiles"] == ["metrics"]


def test_every_image_ends_as_a_user_without_rights() -> None:
    stages = re.split(r"^FROM ", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    users = {
        match[1]: re.findall(r"^USER (\S+)", stage, flags=re.MULTILINE)
        for stage in stages
        if (match := re.match(r"\S+ AS (\S+)", stage))
    }
    for service in SERVICES.values():
        assert users[service["build"]["target"]] in (["antiphon"], ["mosquitto"], ["redis"])


def test_all_that_pip_fetches_for_an_image_is_compared_with_the_lock() -> None:
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    commands = re.findall(r"/pip (.*?)(?:&&|$)", text, flags=re.MULTILINE)
    fetching = [line for line in commands if "install" in line and "--no-deps" not in line]
    assert len(fetching) >= 8
    assert all("--require-hashes" in line for line in fetching)
