"""Stores named by people: `sqlite:PATH`, `postgresql://…`, or just how settings call them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from antiphon_contracts import ConfigError
from antiphon_runtime import load_engine
from pydantic import SecretStr

from antiphon_memory.embedding import Notes
from antiphon_memory.service import MemoryStore
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite import MEMORIES

SCHEMES = {
    "postgresql": ("postgresql", "postgres_url"),
    "postgres": ("postgresql", "postgres_url"),
    "http": ("milvus", "milvus_url"),
    "https": ("milvus", "milvus_url"),
}
"""The store and the setting that a URL belongs to."""

LOCK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A store that somebody named.

    Attributes:
        name: as it may be shown: without user and password.
        store: not yet open.
        path: its file, if it is one.
    """

    name: str
    store: MemoryStore
    path: Path | None

    @asynccontextmanager
    async def open(self, *, must_exist: bool = False) -> AsyncIterator[MemoryStore]:
        """Open the store for the time of the block.

        Args:
            must_exist: whether a missing file is refused instead of made.

        Raises:
            ConfigError: it cannot be opened, or another program has the file open.
        """
        if self.path is not None:
            if must_exist and not await asyncio.to_thread(self.path.exists):
                msg = f"There is no file {self.path}; name the one with the memories"
                raise ConfigError(msg)
            if await asyncio.to_thread(_is_open_elsewhere, self.path):
                msg = f"The memory worker, or another program, has {self.path} open; stop it first"
                raise ConfigError(msg)
        async with self.store.open():
            yield self.store


def place_named(name: str, settings: MemorySettings, data_dir: Path, notes: Notes) -> Place:
    """Return the store that `name` means.

    Args:
        name: a URL, `sqlite:PATH`, or the name of a store: then it is where the settings say.
        settings: for all that the name does not say.
        data_dir: where the files are that have no path.
        notes: is told what the store has to say.

    Raises:
        ConfigError: there is no such store.
    """
    scheme, _, rest = name.partition(":")
    kind, change, path = name, dict[str, object](), None
    if scheme == "sqlite":
        kind = scheme
        path = Path(rest).expanduser() if rest else settings.path or data_dir / MEMORIES
        change["path"] = path
    elif rest and scheme in SCHEMES:
        kind, setting = SCHEMES[scheme]
        change[setting] = SecretStr(name)
    elif rest and scheme == "milvus":  # a file of Milvus Lite
        kind, change["milvus_url"] = scheme, SecretStr(str(Path(rest).expanduser()))
    store: MemoryStore = load_engine("antiphon.stores", kind)(
        settings.model_copy(update=change), data_dir, notes
    )
    return Place(shown(name), store, path)


def shown(place: str) -> str:
    """Return a place as it may be shown: without user and password."""
    parts = urlsplit(place)
    if not parts.hostname:
        return place
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _is_open_elsewhere(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(
            sqlite3.connect(path, isolation_level=None, timeout=LOCK_TIMEOUT_S)
        ) as connection:
            # In WAL mode every open connection holds a lock that this one cannot be had beside.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:  # no database: the store says so better
        return False
    return False
