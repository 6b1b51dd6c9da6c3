"""Arbitration: one wake word, heard at several sites, is answered at one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from antiphon_contracts import WakeEvent

SAME_WORD_S = 1.0
"""What is heard at another site of the group within this time is the same wake word."""
LOUDER_WITHIN_S = 0.15
UNMEASURED_DBFS = -200.0


class Arbiter(Protocol):
    """Decides between the sites of one group."""

    async def wins(self, site_id: str, event: WakeEvent, rivals: Sequence[str]) -> bool:
        """Whether the site is the one that answers.

        Args:
            site_id: where the wake word was heard.
            event: how.
            rivals: the other sites of the group that listen now.
        """


class FirstArbiter:
    """The site that is heard of first answers, without waiting."""

    def __init__(self) -> None:
        self._winner = ""
        self._at = float("-inf")

    async def wins(self, site_id: str, event: WakeEvent, rivals: Sequence[str]) -> bool:  # noqa: ARG002  (the port's)
        """See `Arbiter`."""
        now = _now()
        if site_id != self._winner and now - self._at < SAME_WORD_S:
            return False
        self._winner, self._at = site_id, now
        return True


@dataclass(eq=False)
class _Round:
    """One wake word: who heard it, and how loud."""

    at: float
    loudest: str
    level_dbfs: float
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class EnergyArbiter:
    """The loudest site answers, after a short wait for others; none if no other could hear it."""

    def __init__(self) -> None:
        self._round: _Round | None = None

    async def wins(self, site_id: str, event: WakeEvent, rivals: Sequence[str]) -> bool:
        """See `Arbiter`."""
        level = UNMEASURED_DBFS if event.level_dbfs is None else event.level_dbfs
        heard = self._round
        if heard is not None and _now() - heard.at < SAME_WORD_S:
            if heard.decided.is_set():
                return heard.loudest == site_id
            if level > heard.level_dbfs:
                heard.loudest, heard.level_dbfs = site_id, level
            await heard.decided.wait()
            return heard.loudest == site_id
        opened = self._round = _Round(_now(), site_id, level)
        try:
            if rivals:
                await asyncio.sleep(LOUDER_WITHIN_S)
        finally:
            opened.decided.set()
        return opened.loudest == site_id


class Groups:
    """The sites that hear each other.

    Args:
        groups: sites by group; a site that is in none competes with nobody.
        arbiter: makes each group's arbiter.
    """

    def __init__(self, groups: Sequence[Sequence[str]], arbiter: Callable[[], Arbiter]) -> None:
        made = [(tuple(group), arbiter()) for group in groups]
        self._group_of = {site: pair for pair in made for site in pair[0]}

    async def wins(self, site_id: str, event: WakeEvent, listens: Callable[[str], bool]) -> bool:
        """Whether a site answers a wake word that was heard there."""
        group = self._group_of.get(site_id)
        if group is None:
            return True
        sites, arbiter = group
        rivals = [site for site in sites if site != site_id and listens(site)]
        return await arbiter.wins(site_id, event, rivals)


def _now() -> float:
    return asyncio.get_running_loop().time()
