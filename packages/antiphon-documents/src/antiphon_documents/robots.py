"""What sites ask of programs: robots.txt (RFC 9309), and not to be hurried."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiphon_documents.errors import DeniedByRobots, FetchError
from antiphon_documents.fetching import Fetcher
from antiphon_documents.urls import WebAddress

if TYPE_CHECKING:
    from protego import Protego

MAX_ROBOTS_BYTES = 500_000
"""What is read of a robots.txt; RFC 9309 asks for no less."""

MAX_DELAY_S = 10.0
"""How long a site may ask us to wait between two pages."""


class Host:
    """One host during one crawl: its rules, and when it may be asked again."""

    def __init__(self, fetcher: Fetcher, *, delay_s: float, obey_robots: bool) -> None:
        self._fetcher = fetcher
        self._delay_s = delay_s
        self._obeys = obey_robots
        self._is_read = asyncio.Lock()
        self._rules: Protego | None = None
        self._failure: FetchError | None = None
        self._free_at_s = 0.0
        self._name = fetcher.rules.user_agent.partition("/")[0]

    async def admit(self, web: WebAddress) -> None:
        """Return when `web` may be fetched.

        Raises:
            DeniedByRobots: robots.txt denies it.
            FetchError: robots.txt could not be had, which forbids everything until it can.
        """
        if self._obeys:
            async with self._is_read:
                if self._rules is None and self._failure is None:
                    await self._read(web)
            if self._failure is not None:
                raise self._failure
            if self._rules is not None and not self._rules.can_fetch(str(web), self._name):
                raise DeniedByRobots(f"{web.host} asks programs to leave this page alone.")
        await self._wait()

    async def _read(self, web: WebAddress) -> None:
        from protego import Protego  # noqa: PLC0415  (as all libraries)

        try:
            page = await self._fetcher.fetch(f"{web.origin}/robots.txt")
        except FetchError as error:
            # Without such a file everything is allowed; a server in trouble is left alone.
            if error.status is None or not 400 <= error.status < 500:  # noqa: PLR2004  (client errors)
                self._failure = error
                return
            text = ""
        else:
            text = page.body[:MAX_ROBOTS_BYTES].decode("utf-8", "replace") if page else ""
        self._rules = await asyncio.to_thread(Protego.parse, text)
        asked = self._rules.crawl_delay(self._name) or 0.0
        self._delay_s = max(self._delay_s, min(asked, MAX_DELAY_S))

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(now, self._free_at_s)
        self._free_at_s = turn + self._delay_s
        await asyncio.sleep(turn - now)
