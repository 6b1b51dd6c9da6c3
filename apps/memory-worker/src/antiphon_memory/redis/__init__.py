"""Conversations on a Redis server, for houses that keep their state there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_contracts import ConfigError
from antiphon_runtime import install_command

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon_memory.embedding import Notes
    from antiphon_memory.redis.conversations import RedisConversations
    from antiphon_memory.settings import MemorySettings

HERE = "redis://127.0.0.1:6379/0"
HOUR_S = 3600.0


def conversation_store(
    settings: MemorySettings,
    data_dir: Path,  # noqa: ARG001  (the server has a place of its own)
    notes: Notes,  # noqa: ARG001
) -> RedisConversations:
    """Return the store on the server at `settings.redis_url`.

    Raises:
        ConfigError: the library is missing, or the URL is none.
    """
    try:
        from antiphon_memory.redis.conversations import (  # noqa: PLC0415  (an extra)
            RedisConversations,
        )
    except ImportError as error:
        msg = f"Conversations on Redis need its client: {install_command('redis')}"
        raise ConfigError(msg) from error
    url = settings.redis_url.get_secret_value() or HERE
    return RedisConversations(url, kept_s=settings.redis_ttl_h * HOUR_S)
