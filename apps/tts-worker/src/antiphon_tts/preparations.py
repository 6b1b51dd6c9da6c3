"""Preparations: sounds that are made before it is sure that they will be said."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator

from antiphon_audio import Pcm

from antiphon_tts.phrase_cache import Phrase

MAX_PREPARED = 8
FORGOTTEN_AFTER_S = 30.0


class Preparation:
    """One sound, ready or being made.

    Attributes:
        taken: whether it is being said, and so must go on.
        whole: whether all of it was made.
    """

    def __init__(self) -> None:
        self.taken = False
        self.whole = False
        self._begun_at = _now()
        self._pieces: list[Pcm] = []
        self._ended = False
        self._news = asyncio.Event()

    @property
    def is_old(self) -> bool:
        """Whether it is too late to say it."""
        return _now() - self._begun_at > FORGOTTEN_AFTER_S

    def add(self, piece: Pcm) -> None:
        """Take the next piece."""
        self._pieces.append(piece)
        self._news.set()

    def end(self, *, whole: bool) -> None:
        """No more pieces come."""
        self.whole = whole
        self._ended = True
        self._news.set()

    async def pieces(self) -> AsyncGenerator[Pcm, None]:
        """Yield what there is at once, and the rest as it is made."""
        place = 0
        while True:
            self._news.clear()
            while place < len(self._pieces):
                yield self._pieces[place]
                place += 1
            if self._ended:
                return
            await self._news.wait()


class Preparations:
    """The newest sounds that were made ready; each is given away once, within 30 s."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Phrase, Preparation] = OrderedDict()

    def __contains__(self, phrase: Phrase) -> bool:
        self._forget_old()
        return phrase in self._kept

    def begin(self, phrase: Phrase) -> Preparation:
        """Return a new one, which `take` finds at once; the oldest goes if there are too many."""
        self._forget_old()
        preparation = self._kept[phrase] = Preparation()
        if len(self._kept) > MAX_PREPARED:
            self._kept.popitem(last=False)
        return preparation

    def drop(self, phrase: Phrase, preparation: Preparation) -> None:
        """Forget one that came to nothing."""
        if self._kept.get(phrase) is preparation:
            del self._kept[phrase]

    def take(self, phrase: Phrase) -> Preparation | None:
        """Return the sound to say it now; None if it was not prepared."""
        self._forget_old()
        preparation = self._kept.pop(phrase, None)
        if preparation is not None:
            preparation.taken = True
        return preparation

    def _forget_old(self) -> None:
        while self._kept and next(iter(self._kept.values())).is_old:
            self._kept.popitem(last=False)


def _now() -> float:
    return asyncio.get_running_loop().time()
