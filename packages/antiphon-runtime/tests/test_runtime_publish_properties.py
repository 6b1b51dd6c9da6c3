"""Our packed properties against paho's own."""

import pytest
from antiphon_runtime import PublishOptions
from antiphon_runtime.paho_transport.publish_properties import publish_properties
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (PublishOptions(expiry_s=7.6), {"MessageExpiryInterval": 8}),
        (PublishOptions(expiry_s=-1), {"MessageExpiryInterval": 1}),
        (PublishOptions(expiry_s=float("inf")), {"MessageExpiryInterval": 0xFFFF_FFFF}),
        (PublishOptions(response_topic="küche"), {"ResponseTopic": "küche"}),
        (PublishOptions(correlation_data=b"\0x"), {"CorrelationData": b"\0x"}),
        (
            PublishOptions(expiry_s=5, response_topic="a/b" * 60, correlation_data=b"i" * 36),
            {
                "MessageExpiryInterval": 5,
                "ResponseTopic": "a/b" * 60,
                "CorrelationData": b"i" * 36,
            },
        ),
    ],
)
def test_paho_reads_and_writes_the_same(
    options: PublishOptions, expected: dict[str, object]
) -> None:
    ours = publish_properties(options)
    assert ours is not None
    read = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    read.unpack(ours.pack())  # type: ignore[no-untyped-call]
    assert {name: getattr(read, name) for name in expected} == expected
    assert read.pack() == ours.pack()  # type: ignore[no-untyped-call]


def test_nothing_goes_along_with_a_plain_message() -> None:
    assert publish_properties(PublishOptions(qos=1, retain=True)) is None


def test_it_can_be_logged() -> None:
    assert str(publish_properties(PublishOptions(expiry_s=1))) == "PackedProperties"
