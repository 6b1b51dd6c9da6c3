"""Rights: what one participant may publish and take, as the topics' flows say."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon_contracts.errors import ContractError
from antiphon_contracts.roles import WORKERS, Role
from antiphon_contracts.topic import RawTopic
from antiphon_contracts.topics import all_topics

EVERY_WORKER = "all"
"""The name by which every worker is addressed at once."""


@dataclass(frozen=True)
class Rights:
    """What one participant may do; what is not listed is denied.

    Attributes:
        publish: filters of the topics that it may publish on, below the base.
        take: filters of the topics that it may take from, below the base.
    """

    publish: tuple[str, ...]
    take: tuple[str, ...]


def rights(role: Role, *, worker: str = "", site: str = "") -> Rights:
    """Return what one participant may do.

    A satellite reaches the topics of its own site alone. A worker speaks under its own id alone;
    where a topic is addressed to a worker, it takes its own id and `all`. Everybody else may fill
    in any site and any worker.

    Args:
        role: one role.
        worker: the id of a worker, satellites included.
        site: a satellite's site.

    Raises:
        ContractError: a worker without an id, a satellite without a site, or a name that is no
            single topic level.
    """
    publish: list[str] = []
    take: list[str] = []
    for topic in all_topics().values():
        bound = topic.narrowed(site=site) if _is_bound(role, topic) else topic
        if role in topic.flow.senders:
            publish.append(_spoken(role, bound, worker))
        if role in topic.flow.receivers:
            take += _heard(role, bound, worker)
    return Rights(tuple(publish), tuple(take))


def _is_bound(role: Role, topic: RawTopic) -> bool:
    return role is Role.SATELLITE and "site" in topic.slots


def _spoken(role: Role, topic: RawTopic, worker: str) -> str:
    if role in WORKERS and "worker" in topic.slots:
        return topic.narrowed(worker=_one_worker(topic, worker)).filter
    return topic.filter


def _heard(role: Role, topic: RawTopic, worker: str) -> list[str]:
    if role in WORKERS and topic.addressed:
        names = (EVERY_WORKER, _one_worker(topic, worker))
        return [topic.narrowed(worker=name).filter for name in names]
    return [topic.filter]


def _one_worker(topic: RawTopic, worker: str) -> str:
    if worker == EVERY_WORKER:
        msg = f"{topic.pattern}: no single worker may be called {EVERY_WORKER!r}"
        raise ContractError(msg)
    return worker
