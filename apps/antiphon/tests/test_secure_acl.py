"""The ACL file: every line of it, for a small house."""

from __future__ import annotations

import pytest
from antiphon.secure.acl import acl_text
from antiphon.secure.household import Household
from antiphon_contracts import ConfigError, Role, all_topics

pytestmark = pytest.mark.unit


def house(base: str) -> Household:
    return (
        Household(("house.lan",), base)
        .with_user("satellite-hall", Role.SATELLITE, "hall")
        .with_user("phone", Role.CLIENT)
        .with_user("tts-1", Role.TTS)
    )


EXPECTED = """\
# Made by `antiphon secure` from the contract; do not edit.

# satellite
user satellite-hall
topic write BASEdead/satellite-hall/+
topic write BASEdialogue/hall/control
topic write BASEhealth/satellite-hall
topic write BASEaudio/hall/in
topic write BASEaudio/hall/level
topic write BASEaudio/hall/utterance/+
topic write BASEcapture/hall/status
topic write BASEplayback/hall/status
topic write BASEsite/hall/status
topic read BASEcontrol/all
topic read BASEcontrol/satellite-hall
topic read BASEdead/all/+
topic read BASEdead/satellite-hall/+
topic read BASEdead/all/+/retry
topic read BASEdead/satellite-hall/+/retry
topic read BASEdialogue/hall/state
topic read BASEhealth/+
topic read BASEaudio/hall/out/+
topic read BASEcapture/hall/control
topic read BASEplayback/hall/control
topic read BASEwake/event/hall
topic read BASEtimer/event/hall

# client
user phone
topic write BASEannounce
topic write BASEask
topic write BASEask/+
topic write BASEdialogue/+/control
topic write BASEsay
topic write BASEsay/+
topic write BASEaudio/+/utterance/+
topic write BASEcapture/+/control
topic write BASEtimer/change
topic write BASEtimer/query
topic write BASEtimer/set
topic read BASEannounced
topic read BASEanswer/+
topic read BASEdialogue/+/state
topic read BASEhealth/+
topic read BASEaudio/+/level
topic read BASEaudio/+/out/+
topic read BASEcapture/+/status
topic read BASEplayback/+/status
topic read BASEsite/+/status
topic read BASEtts/status
topic read BASEwake/event/+
topic read BASEllm/notice
topic read BASEpersona
topic read BASEtools/registry
topic read BASEtimer/done
topic read BASEtimer/event/+
topic read BASEtimer/list

# tts
user tts-1
topic write BASEdead/tts-1/+
topic write BASEhealth/tts-1
topic write BASEaudio/+/out/+
topic write BASEtts/status
topic read BASEcontrol/all
topic read BASEcontrol/tts-1
topic read BASEdead/all/+
topic read BASEdead/tts-1/+
topic read BASEdead/all/+/retry
topic read BASEdead/tts-1/+/retry
topic read BASEhealth/+
topic read BASEtts/cancel
topic read BASEtts/prepare
topic read BASEtts/say
"""


@pytest.mark.parametrize("base", ["antiphon", "home/up stairs", ""])
def test_every_line(base: str) -> None:
    assert acl_text(house(base)) == EXPECTED.replace("BASE", f"{base}/" if base else "")


def test_nobody_gets_a_wildcard_of_many_levels_or_what_is_no_topic_of_the_contract() -> None:
    everybody = house("b")
    for role in (Role.STT, Role.LLM, Role.TOOLS, Role.ROUTER, Role.MEMORY, Role.WAKE):
        everybody = everybody.with_user(f"{role.words}-1", role)
    text = acl_text(everybody.with_user("operator", Role.OPERATOR))
    topics = [line.split(" ", 2)[2] for line in text.splitlines() if line.startswith("topic ")]
    assert len(topics) > 100
    for topic in topics:
        assert "#" not in topic
        path = topic.removeprefix("b/").replace("+", "x")
        assert any(known.match(path) is not None for known in all_topics().values()), topic


@pytest.mark.parametrize("base", ["a\nuser phone", "a\r", " a", "a ", "a/#", "+"])
def test_a_base_cannot_smuggle_lines_in(base: str) -> None:
    with pytest.raises(ConfigError, match="change `base`"):
        acl_text(house(base))


def test_the_tools_reach_devices_and_devices_reach_nothing_else() -> None:
    text = acl_text(
        Household(("house.lan",), "antiphon")
        .with_user("tools-1", Role.TOOLS)
        .with_user("phone", Role.CLIENT)
        .with_device("zigbee", ["zigbee2mqtt/#", "lamp one/set"])
    )
    tools, phone, zigbee = text.split("\nuser ")[1:]
    assert "topic write zigbee2mqtt/#\ntopic write lamp one/set\n" in tools
    assert "zigbee2mqtt" not in phone
    assert zigbee == "zigbee\ntopic readwrite zigbee2mqtt/#\ntopic readwrite lamp one/set\n"
