"""Home Assistant's REST API.

Source: Home Assistant, "REST API" (`GET /api/states`, `POST /api/services/<domain>/<service>`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.upstream import Upstream
from pydantic import JsonValue

from antiphon_tools.engine.json_client import HttpStatusError, JsonClient
from antiphon_tools.home_sections import HomeAssistantSection

NAME = "Home Assistant"
_UNAUTHORIZED = frozenset({401, 403})
_NOT_FOUND = frozenset({400, 404})


class HomeAssistantServer:
    """See `antiphon_tools.builtin.home_assistant.HomeAssistant`.

    The token is read anew for each request, so that another one needs no restart.

    Args:
        section: where it is.
        client: by which it is asked.
        upstream: breaker of the services.
    """

    def __init__(
        self, section: HomeAssistantSection, client: JsonClient, upstream: Upstream
    ) -> None:
        self._section = section
        self._client = client
        self._upstream = upstream
        self._root = f"{section.url.rstrip('/')}/api"

    async def states(self) -> Sequence[JsonValue]:
        """See the port."""
        try:
            found = await self._client.get(
                f"{self._root}/states",
                server=NAME,
                timeout_s=self._section.timeout_s,
                headers=await self._headers(),
            )
        except HttpStatusError as error:
            raise _explained(error) from error
        if not isinstance(found, list):
            raise EngineError(f"{NAME} answered with something that is no list of states.")
        return found

    async def call(self, domain: str, service: str, data: Mapping[str, JsonValue]) -> None:
        """See the port; what would not be the same twice is not tried again."""

        async def once() -> None:
            try:
                await self._client.post(
                    f"{self._root}/services/{domain}/{service}",
                    dict(data),
                    server=NAME,
                    timeout_s=self._section.timeout_s,
                    headers=await self._headers(),
                )
            except HttpStatusError as error:
                raise _explained(error) from error
            except EngineError as error:
                raise EngineError(str(error), retryable=service != "toggle") from error

        await self._upstream.call(once)

    async def _headers(self) -> dict[str, str]:
        try:
            token = await asyncio.to_thread(self._section.token.read)
        except ConfigError as error:
            raise EngineError(f"{NAME} cannot be asked: {error}.") from error
        return {"Authorization": f"Bearer {token}"}


def _explained(error: HttpStatusError) -> EngineError:
    if error.status in _UNAUTHORIZED:
        return EngineError(f"{NAME} refuses the token; make a new one in its profile page.")
    if error.status in _NOT_FOUND:
        return EngineError(f"{NAME} cannot do that with this device.")
    return error
