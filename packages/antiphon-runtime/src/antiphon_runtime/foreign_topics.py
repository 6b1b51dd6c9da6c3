"""Topics of other people's devices on the same broker: which are not ours."""

from __future__ import annotations

from antiphon_contracts import ContractError, all_topics


def is_ours(topic: str, prefix: str) -> bool:
    """Return whether a full topic belongs to Antiphon.

    Args:
        topic: the topic.
        prefix: Antiphon's base with a slash at its end; empty if its topics have no base, then
            those of the contract are ours.
    """
    if prefix:
        return f"{topic}/".startswith(prefix)
    return any(ours.match(topic) is not None for ours in all_topics().values())


def require_foreign(topic: str, prefix: str) -> None:
    """Refuse a topic of ours: a message made elsewhere would be taken for a worker's.

    Raises:
        ContractError: it is one.
    """
    if is_ours(topic, prefix):
        raise ContractError("that topic is Antiphon's own; a device needs one of its own")
