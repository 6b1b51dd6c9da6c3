"""The household: names, secrets, and a file that somebody meddled with."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from antiphon.secure.household import (
    Household,
    check_hosts,
    check_name,
    decode_household,
    encode_household,
    satellite_name,
)
from antiphon_contracts import ConfigError, Role

pytestmark = pytest.mark.unit

HOUSE = (
    Household(("house.lan",), "antiphon")
    .with_user("router-1", Role.ROUTER)
    .with_user("satellite-kitchen", Role.SATELLITE, "kitchen")
    .with_user("phone", Role.CLIENT)
)

WRONG_NAMES = [
    "", ".", "..", "../phone", "/etc/passwd", "a/b", "a\\b", "a b", "a:b", "a\n", "a\x00", "-a",
    "+", "#", "all", "ALL", "über", "~", "$HOME", "a" * 65, "%u",
]  # fmt: skip


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_name_that_could_be_a_path_or_a_wildcard_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="use up to 64 letters"):
        check_name(name)
    with pytest.raises(ConfigError):
        satellite_name(name)
    with pytest.raises(ConfigError):
        HOUSE.with_user(name, Role.CLIENT)


@pytest.mark.parametrize("name", ["a", "phone", "living_room", "Room.2", "0", "a" * 64])
def test_an_ordinary_name_is_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "host", ["house.lan", "localhost", "192.0.2.1", "::1", "pi-3.local", "a_b"]
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    check_hosts([host])


@pytest.mark.parametrize(
    "host", ["", "-a", "a b", "a..b", "house.lan:1", "http://x", "*", "ä", "a\n"]
)
def test_anything_else_is_no_host(host: str) -> None:
    with pytest.raises(ConfigError, match="neither a host name nor an IP address"):
        check_hosts(["house.lan", host])


def test_a_secret_is_256_random_bits_in_hexadecimal() -> None:
    secrets = [user.secret for user in HOUSE.users]
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)
    assert len(set(secrets)) == len(secrets)


def test_no_representation_shows_a_secret() -> None:
    shown = repr(HOUSE) + str(HOUSE.users)
    assert not any(user.secret in shown for user in HOUSE.users)


def test_who_is_there_already_keeps_the_secret() -> None:
    assert HOUSE.with_user("phone", Role.CLIENT) == HOUSE


@pytest.mark.parametrize("name", ["router-1", "ROUTER-1", "satellite-kitchen", "Phone"])
def test_a_name_has_one_owner_whatever_its_case(name: str) -> None:
    with pytest.raises(ConfigError, match="is taken by"):
        HOUSE.with_user(name, Role.CLIENT)


def test_a_new_secret_is_for_those_named_alone() -> None:
    after = HOUSE.rotated(["phone"])
    changed = [a.name for a, b in zip(HOUSE.users, after.users, strict=True) if a != b]
    assert changed == ["phone"]
    assert after.without("phone").find("phone") is None


def test_the_file_brings_back_the_same_household() -> None:
    assert decode_household(encode_household(HOUSE).encode()) == HOUSE


def test_an_unknown_user_is_told_who_there_is() -> None:
    with pytest.raises(ConfigError, match="there are: router-1, satellite-kitchen, phone"):
        HOUSE.user("laptop")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../etc"},
        {"name": "all"},
        {"role": "god"},
        {"secret": "x\nuser: y"},
        {"secret": ""},
        {"topics": ("antiphon/#",)},
    ],
    ids=str,
)
def test_a_file_that_somebody_meddled_with_is_refused_and_not_quoted(
    changes: dict[str, Any],
) -> None:
    meddled = replace(HOUSE, users=(replace(HOUSE.users[0], **changes), *HOUSE.users[1:]))
    with pytest.raises(ConfigError) as refused:
        decode_household(encode_household(meddled).encode())
    assert not any(user.secret in str(refused.value) for user in HOUSE.users)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"hosts": "x", "base": 1}'])
def test_a_damaged_file_is_a_sentence(text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"household\.json is damaged"):
        decode_household(text)


def test_a_device_has_topics_of_its_own() -> None:
    house = HOUSE.with_device("zigbee", ["zigbee2mqtt/#", "zigbee2mqtt/#", "lamp/set"])
    user = house.user("zigbee")
    assert (user.role, user.topics) == ("device", ("zigbee2mqtt/#", "lamp/set"))
    assert not user.is_worker
    assert (user.rights.publish, user.rights.take) == ((), ())
    changed = house.with_device("zigbee", ["tele/+/STATE"])
    assert changed.user("zigbee").secret == user.secret
    assert changed.device_topics == ("tele/+/STATE",)
    assert decode_household(encode_household(changed).encode()) == changed


@pytest.mark.parametrize(
    "topic",
    ["#", "+/set", "antiphon/#", "antiphon/tts/say", "$SYS/#", "a/#/b", "", " lamp", "a\nuser x"],
)
def test_topics_that_no_device_gets(topic: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a device's topic"):
        replace(HOUSE, base="antiphon").with_device("lamp", [topic])


def test_without_a_base_the_contract_s_topics_are_ours() -> None:
    house = replace(HOUSE, base="")
    for topic in ("tts/say", "tts/#", "audio/x"):
        with pytest.raises(ConfigError, match="cannot be a device's topic"):
            house.with_device("lamp", [topic])
    assert house.with_device("lamp", ["zigbee2mqtt/#"]).device_topics == ("zigbee2mqtt/#",)
