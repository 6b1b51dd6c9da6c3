"""A folder of WAVs that were spoken, in place of a speaker."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections import deque
from pathlib import Path

import numpy as np
from antiphon_audio import Pcm, wav
from antiphon_contracts import EngineError

from antiphon_satellite.engine.null import pull_paced
from antiphon_satellite.service import Block, Source

MARKER = ".antiphon-spoken"
MAX_NAME_CHARS = 100

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def file_name(utterance_id: str) -> str:
    """Return the name of an utterance's WAV: its id, and where that is no safe name, a hash."""
    safe = _UNSAFE.sub("_", utterance_id).lstrip(".")[:MAX_NAME_CHARS]
    if safe == utterance_id:
        return f"{safe}.wav"
    digest = hashlib.sha256(utterance_id.encode()).hexdigest()[:8]
    return f"{safe}-{digest}.wav"


class FileSpeaker:
    """Writes what is played of each utterance into one WAV, complete or not at all.

    WAVs beyond `keep` are deleted, oldest first. In a folder that held something else when the
    speaker first came, only files that this object wrote are ever deleted.

    Args:
        folder: where to; made if it is not there.
        rate_hz: the WAVs' rate.
        pace: speed, 0 is as fast as possible.
        keep: how many WAVs may stay.
    """

    def __init__(
        self, folder: Path, rate_hz: int = 22_050, *, pace: float = 1.0, keep: int = 50
    ) -> None:
        self.name = f"file {folder}"
        self._folder = folder
        self._rate_hz = rate_hz
        self._pace = pace
        self._keep = keep
        self._written: deque[Path] | None = None
        self._utterance_id: str | None = None
        self._pieces: list[np.ndarray] = []

    async def play(self, source: Source) -> None:
        """See the port."""
        try:
            await asyncio.to_thread(self._prepare)
            await pull_paced(source, self._rate_hz, self._pace, self._deliver)
        except OSError as error:
            msg = f"The file speaker cannot write into {self._folder}: {error.strerror}."
            raise EngineError(msg, retryable=True) from error

    async def _deliver(self, block: Block) -> None:
        if block.utterance_id != self._utterance_id:
            await self._write()
            self._utterance_id = block.utterance_id
        if len(block.samples):
            self._pieces.append(block.samples)
        if block.last:
            await self._write()
            self._utterance_id = None

    async def _write(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and self._utterance_id is not None:
            path = self._folder / file_name(self._utterance_id)
            await asyncio.to_thread(self._save, path, pieces)

    def _prepare(self) -> None:
        if self._written is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        marker = self._folder / MARKER
        if not any(self._folder.iterdir()):
            marker.touch()
        mine = self._folder.glob("*.wav") if marker.is_file() else ()
        self._written = deque(sorted(mine, key=lambda path: path.stat().st_mtime_ns))

    def _save(self, path: Path, pieces: list[np.ndarray]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        payload = wav.wrap(Pcm(np.concatenate(pieces), self._rate_hz))
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._tidy(path)

    def _tidy(self, newest: Path) -> None:
        written = self._written
        if written is None:
            return
        if newest in written:
            written.remove(newest)
        written.append(newest)
        while len(written) > self._keep:
            written.popleft().unlink(missing_ok=True)
