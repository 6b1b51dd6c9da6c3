"""One full example of every payload: each field is set, and differs from its default."""

from __future__ import annotations

from typing import TypeVar

from antiphon_contracts.documentation.example_payloads import EXAMPLES
from antiphon_contracts.envelope import Message, Payload
from antiphon_contracts.roles import PEOPLE
from antiphon_contracts.topic import RequestTopic, Topic
from antiphon_contracts.topics import REFUSAL_MODEL, REFUSAL_TYPE, all_topics

P = TypeVar("P", bound=Payload)

_MESSAGE_ID = "019b76da-a800-7000-8000-000000000001"
_REQUEST_ID = "019b76da-a800-7000-8000-000000000002"
_TURN_ID = "019b76da-a800-7000-8000-000000000003"
_TS = 1767225600.25  # 2026-01-01 00:00:00.25 UTC


def example_payload(model: type[P]) -> P:
    """Return the full example of `model`.

    Raises:
        LookupError: there is none yet; the text says where it belongs.
    """
    for payload in EXAMPLES:
        if type(payload) is model:
            return payload
    msg = f"no example of {model.__name__}: add one to documentation/example_payloads.py"
    raise LookupError(msg)


def example_message(topic: Topic[P]) -> Message[P]:
    """Return a message of `topic` with every field of the envelope set; always the same."""
    return _example(example_payload(topic.model), topic.type, _sender(topic))


def example_refusal() -> Message[Payload]:
    """Return the refusal that may come on any reply topic."""
    return _example(example_payload(REFUSAL_MODEL), REFUSAL_TYPE, "memory-1")


def typed_topics() -> dict[str, Topic[Payload]]:
    """Return the topics that carry an envelope, by their Python name."""
    return {name: topic for name, topic in all_topics().items() if isinstance(topic, Topic)}


def reply_topics() -> set[str]:
    """Return the patterns of the topics that carry replies, and so refusals too."""
    topics = typed_topics().values()
    return {topic.reply.pattern for topic in topics if isinstance(topic, RequestTopic)}


def _example(data: P, message_type: str, source: str) -> Message[P]:
    return Message(
        data=data,
        type=message_type,
        id=_MESSAGE_ID,
        ts=_TS,
        source=source,
        correlation_id=_REQUEST_ID,
        turn_id=_TURN_ID,
        site_id="kitchen",
        ttl_s=5.0,
    )


def _sender(topic: Topic[P]) -> str:
    first = next(iter(topic.flow.senders))
    return "cli-1" if first in PEOPLE else f"{first.words}-1"
