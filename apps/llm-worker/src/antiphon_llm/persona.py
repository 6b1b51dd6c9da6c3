"""Who the assistant is: from its file to the prompts and onto the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from antiphon_contracts import PERSONA, ConfigError, Persona
from antiphon_runtime.bus import Bus
from antiphon_runtime.health import HealthReporter
from antiphon_runtime.tasks import running

from antiphon_llm.engine.persona_file import PersonaFile
from antiphon_llm.service import NOBODY, Chain, PersonaCard, Warmth

NOTE = "persona"

# By connection: a reload that finds a wrong file keeps the persona that it had.
_LAST: WeakKeyDictionary[Bus, PersonaCard] = WeakKeyDictionary()


class Wardrobe:
    """Keeps a chain of models, and the retained `persona`, in step with the persona file.

    A wrong file changes nothing and stands in health until it is mended.

    Args:
        bus: where the persona is published.
        health: shows what is wrong with the file.
        path: the file; None is nobody in particular.
    """

    def __init__(self, bus: Bus, health: HealthReporter, path: Path | None) -> None:
        self._bus = bus
        self._health = health
        self._file = PersonaFile(path) if path is not None else None

    @asynccontextmanager
    async def open(self, chain: Chain, warmth: Warmth) -> AsyncIterator[None]:
        """Wear what the file says, and what it will say as long as the block runs."""

        async def put_on(card: PersonaCard) -> None:
            self._health.clear_note(NOTE)
            self._wear(chain, card)
            warmth.touch()

        self._wear(chain, await self._first())
        if self._file is None:
            yield
            return
        async with running(persona=self._file.watch(put_on, self._complain)):
            yield

    async def _first(self) -> PersonaCard:
        self._health.clear_note(NOTE)
        if self._file is None:
            return NOBODY
        try:
            return await self._file.read()
        except ConfigError as error:
            self._complain(str(error))
            return _LAST.get(self._bus, NOBODY)

    def _complain(self, sentence: str) -> None:
        self._health.note(NOTE, sentence)

    def _wear(self, chain: Chain, card: PersonaCard) -> None:
        _LAST[self._bus] = card
        chain.wear(card)
        self._bus.publish(
            PERSONA,
            Persona(name=card.name, voice=card.voice or None, language=card.language),
        )
