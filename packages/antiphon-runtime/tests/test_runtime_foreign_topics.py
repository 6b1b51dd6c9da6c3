import asyncio

import pytest
from antiphon_contracts import ContractError
from antiphon_runtime import Bus, Delivery
from antiphon_runtime.foreign_topics import is_ours
from antiphon_runtime.testing.memory_transport import MemoryBroker

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("topic", ["antiphon", "antiphon/ask", "antiphon/lamp/set"])
def test_all_below_the_base_is_ours(topic: str) -> None:
    assert is_ours(topic, "antiphon/")


@pytest.mark.parametrize("topic", ["antiphon2/ask", "lamp/antiphon/set", "ask", "tts/say"])
def test_what_is_beside_the_base_is_not(topic: str) -> None:
    assert not is_ours(topic, "antiphon/")


def test_without_a_base_the_contract_says_what_is_ours() -> None:
    assert is_ours("tts/say", "")
    assert is_ours("audio/kitchen/out/u1", "")
    assert not is_ours("zigbee2mqtt/lamp/set", "")


async def test_a_bus_publishes_elsewhere_but_never_as_one_of_us() -> None:
    broker = MemoryBroker()
    bus, ear = Bus(broker.transport(), source="t"), broker.transport()
    heard: list[Delivery] = []
    async with asyncio.timeout(5), bus.open(), ear.open(heard.append, lambda _connected: None):
        await ear.subscribe({"#": 1})
        await bus.publish_elsewhere("lamp/set", b"ON")
        with pytest.raises(ContractError, match="Antiphon's own"):
            bus.publish_elsewhere("antiphon/ask", b"hello")
        await asyncio.sleep(0)
    found = [d for d in heard if not d.topic.startswith("antiphon/health")]
    assert [(d.topic, d.payload, d.qos) for d in found] == [("lamp/set", b"ON", 1)]
