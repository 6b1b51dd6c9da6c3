"""The persona file: read, checked, and watched for changes."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from antiphon_contracts import ConfigError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiphon_llm.service.persona import PersonaCard

LOOK_EVERY_S = 2.0
MAX_BYTES = 64 * 1024
MAX_EXAMPLES = 12

Stamp = tuple[int, int] | None

log = structlog.get_logger(__name__)


class _Example(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1, max_length=500)
    assistant: str = Field(min_length=1, max_length=1000)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=100)
    style: str = Field(default="", max_length=4000)
    voice: str = Field(default="", max_length=200)
    language: str = Field(default="", pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")
    examples: list[_Example] = Field(default_factory=list, max_length=MAX_EXAMPLES)


def read_persona(path: Path) -> PersonaCard:
    """Return what a persona file says. Blocks.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong; the text says what.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            msg = f"The persona file {path} is larger than {MAX_BYTES // 1024} KB: shorten it."
            raise ConfigError(msg)
        found = _File.model_validate(tomllib.loads(data.decode()))
    except OSError as error:
        msg = f"The persona file {path} cannot be read: {error.strerror}."
        raise ConfigError(msg) from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))} ({item['msg']})"
            for item in error.errors(include_input=False, include_context=False, include_url=False)
        )
        raise ConfigError(f"The persona file {path} is wrong: {wrong}.") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise ConfigError(f"The persona file {path} is no TOML: {error}.") from error
    examples = tuple((example.user, example.assistant) for example in found.examples)
    return PersonaCard(found.name, found.style, found.voice, found.language, examples)


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file does; None if it is not there. Blocks."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class PersonaFile:
    """A persona file that may change.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp = None

    async def read(self) -> PersonaCard:
        """Return what it says now.

        Raises:
            ConfigError: see `read_persona`.
        """
        self._stamp = await asyncio.to_thread(stamp_of, self._path)
        return await asyncio.to_thread(read_persona, self._path)

    async def watch(
        self,
        on_change: Callable[[PersonaCard], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """Call back after every change, for ever; a wrong file gives a sentence instead."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if await asyncio.to_thread(stamp_of, self._path) == self._stamp:
                continue
            try:
                card = await self.read()
            except ConfigError as error:
                log.warning("persona.refused", detail=str(error))
                on_trouble(str(error))
            else:
                log.info("persona.changed", name=card.name, examples=len(card.examples))
                await on_change(card)
