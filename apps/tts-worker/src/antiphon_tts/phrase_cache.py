"""Phrase cache: the sound of short texts that are said again and again, on disk, bounded."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import structlog
from antiphon_audio import Pcm, wav
from antiphon_contracts import AntiphonError

log = structlog.get_logger(__name__)

MAX_CHARS = 80
_SEEN = 512


@dataclass(frozen=True, slots=True)
class Phrase:
    """What makes one sound.

    Attributes:
        engine: the synthesizer's name.
        voice: None is its own.
        speed: 1.0 is the voice's own.
        text: as it is given to the synthesizer.
    """

    engine: str
    voice: str | None
    speed: float
    text: str

    @property
    def file_name(self) -> str:
        """A name that tells nothing of the text."""
        parts = (self.engine, self.voice or "", f"{self.speed:.4f}", self.text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".wav"


class PhraseCache:
    """Keeps the sound of what was said before. Its methods block: call them in a thread.

    A text is kept when it is said for the second time, so that what is said only once never
    reaches the disk. When the bound is reached, what was not said for longest goes. A disk that is
    full or broken costs the cache and nothing else.

    Args:
        folder: for the files alone; made if need be.
        max_bytes: of all files together; 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._sizes: OrderedDict[str, int] | None = None  # in the order of use

    def takes(self, phrase: Phrase) -> bool:
        """Whether such a phrase may be kept; does not block."""
        return 0 < len(phrase.text) <= MAX_CHARS and self._max_bytes > 0

    def find(self, phrase: Phrase) -> Pcm | None:
        """Return its sound if it is kept."""
        sizes = self._loaded()
        name = phrase.file_name
        if name not in sizes:
            return None
        try:
            pcm = wav.read(self._folder / name)
            os.utime(self._folder / name)
        except (AntiphonError, OSError):
            del sizes[name]
            return None
        sizes.move_to_end(name)
        return pcm

    def keep(self, phrase: Phrase, pcm: Pcm) -> None:
        """Keep its sound, if it was said before."""
        name = phrase.file_name
        if name not in self._seen:
            self._seen[name] = None
            if len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
            return
        payload = wav.wrap(pcm)
        if len(payload) > self._max_bytes:
            return
        sizes = self._loaded()
        try:
            while sizes and sum(sizes.values()) + len(payload) > self._max_bytes:
                oldest, _ = sizes.popitem(last=False)
                (self._folder / oldest).unlink(missing_ok=True)
            self._write(name, payload)
        except OSError as error:
            log.warning("phrases.not_kept", reason=error.strerror)
        else:
            sizes[name] = len(payload)

    def _write(self, name: str, payload: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, part = tempfile.mkstemp(dir=self._folder, suffix=".part")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
            Path(part).replace(self._folder / name)
        except OSError:
            Path(part).unlink(missing_ok=True)
            raise

    def _loaded(self) -> OrderedDict[str, int]:
        if self._sizes is None:
            found = []
            for path in self._folder.glob("*.wav"):
                status = path.stat()
                found.append((status.st_mtime_ns, path.name, status.st_size))
            self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
        return self._sizes
