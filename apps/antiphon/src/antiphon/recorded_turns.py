"""Recorded turns: a conversation's turn in a file, and the way back into the house at any stage."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson
from antiphon_contracts import (
    ConfigError,
    ContractError,
    Payload,
    PlainAnswer,
    Stage,
    SttFinal,
)
from antiphon_contracts.envelope import Several
from pydantic import ValidationError
from rich.console import Console

from antiphon import talking
from antiphon.house import client_bus, open_bus
from antiphon.live_events import LiveEvents
from antiphon.output import print_line
from antiphon.settings import find_broker

if TYPE_CHECKING:
    import numpy as np
    from antiphon_audio import StreamReader
    from numpy.typing import NDArray

    from antiphon.live_events import Event

CONNECT_TIMEOUT_S = 5.0
KEPT_S = 40.0
AROUND_MS = 300
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_OPEN_FINALS = 64

Entry = Literal["audio", "transcript", "reply"]


class RecordedTurn(Payload):
    """One turn, as `antiphon record` writes it.

    Attributes:
        antiphon_turn: version of the format.
        site: where it took place.
        recorded_at: seconds since the epoch.
        transcript: what was understood.
        answer: what was answered.
        route: who answered.
        error: what went wrong, for people; None if nothing did.
        stages: what took how long.
        final: the speech recogniser's word, if the turn was spoken.
        audio: the sound as a WAV in base64; None if the turn was typed or came as a recording.
    """

    antiphon_turn: Literal[1] = 1
    site: str
    recorded_at: float
    transcript: str
    answer: str
    route: str
    error: str | None = None
    stages: Several[Stage] = ()
    final: SttFinal | None = None
    audio: str | None = None

    @property
    def wav(self) -> bytes | None:
        """The sound.

        Raises:
            ConfigError: it is damaged.
        """
        if self.audio is None:
            return None
        try:
            return base64.b64decode(self.audio, validate=True)
        except binascii.Error as error:
            raise ConfigError("the recorded turn's sound is damaged") from error


@dataclass(slots=True)
class _Ring:
    """The last seconds of one site's microphone."""

    reader: StreamReader
    stream: str
    pieces: list[tuple[int, NDArray[np.int16]]]

    def cut(self, final: SttFinal) -> bytes | None:
        """Return the utterance with a little around it as a WAV; None if it was not heard."""
        import numpy as np  # noqa: PLC0415  (only who records pays for it)
        from antiphon_audio import Pcm, wav  # noqa: PLC0415  (as above)
        from antiphon_audio.microphone import RATE_HZ  # noqa: PLC0415  (as above)

        if not self.pieces or final.stream != self.stream or not final.end_ms:
            return None
        first = self.pieces[0][0]
        sound = np.concatenate([samples for _, samples in self.pieces])
        begin = (final.start_ms - AROUND_MS) * RATE_HZ // 1000 - first
        end = (final.end_ms + AROUND_MS) * RATE_HZ // 1000 - first
        cut = sound[max(0, begin) : max(0, end)]
        return wav.wrap(Pcm(cut, RATE_HZ)) if len(cut) else None


class TurnRecorder:
    """Puts turns together from what goes on at a site.

    Args:
        site: where.
    """

    def __init__(self, site: str) -> None:
        self.turns: asyncio.Queue[RecordedTurn] = asyncio.Queue()
        self._finals: OrderedDict[str, tuple[SttFinal, bytes | None]] = OrderedDict()
        self._ring: _Ring | None = None
        self.handlers = LiveEvents(self._on_event, site, self._on_frame).handlers

    def _on_event(self, site: str, event: Event) -> None:
        if isinstance(event, SttFinal) and event.rejected is None:
            sound = None if self._ring is None else self._ring.cut(event)
            self._finals[event.utterance_id] = (event, sound)
            if len(self._finals) > MAX_OPEN_FINALS:
                self._finals.popitem(last=False)
        elif isinstance(event, PlainAnswer):
            final, sound = self._finals.pop(event.turn_id, (None, None))
            self.turns.put_nowait(
                RecordedTurn(
                    site=site,
                    recorded_at=time.time(),
                    transcript=event.transcript,
                    answer=event.answer,
                    route=event.route,
                    error=event.error,
                    stages=event.stages,
                    final=final,
                    audio=None if sound is None else base64.b64encode(sound).decode(),
                )
            )

    def _on_frame(self, _site: str, frame: bytes) -> None:
        from antiphon_audio import StreamReader  # noqa: PLC0415  (numpy)
        from antiphon_audio.microphone import RATE_HZ  # noqa: PLC0415  (as above)

        if self._ring is None:
            self._ring = _Ring(StreamReader(), "", [])
        ring = self._ring
        with suppress(ContractError):
            stretch = ring.reader.push(frame)
            if stretch is None:
                return
            if stretch.anew:
                ring.stream, ring.pieces = stretch.place.stream, []
            ring.pieces.append((stretch.place.offset, stretch.samples))
            while ring.pieces[-1][0] - ring.pieces[0][0] > KEPT_S * RATE_HZ:
                del ring.pieces[0]


async def record(out: Path, site: str, *, broker: str | None) -> None:
    """Write the next turn at a site to a file, for its owner's eyes only.

    Raises:
        ConfigError: the file is there already, or cannot be written.
        BusError: there is no broker.
    """
    await asyncio.to_thread(_require_new, out)
    recorder = TurnRecorder(site)
    bus = client_bus(find_broker(broker))
    bus.install(recorder.handlers)
    notes = Console(stderr=True)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        print_line(notes, f"waiting for a turn at {site}; Ctrl-C ends")
        turn = await recorder.turns.get()
    write_turn(out, turn)
    sound = "with" if turn.audio else "without"
    print_line(notes, f"recorded {sound} sound: {out}")


def _require_new(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"{path} is there already: choose another name")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"the folder of {path} is not there")


def write_turn(path: Path, turn: RecordedTurn) -> None:
    """Write a turn to a new file of mode 0600.

    Raises:
        ConfigError: it cannot be written.
    """
    payload = orjson.dumps(turn.model_dump(), option=orjson.OPT_INDENT_2)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(payload + b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def read_turn(path: Path) -> RecordedTurn:
    """Return the turn in a file.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is too large for a recorded turn")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return RecordedTurn.model_validate(orjson.loads(data))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise ConfigError(
            f"{path} holds no recorded turn: make one with `antiphon record`"
        ) from error


async def replay(
    path: Path, entry: Entry, *, json: bool, site: str | None, broker: str | None
) -> None:
    """Let a recorded turn take place once more, from its sound, its transcript or its answer on.

    Raises:
        ConfigError: the file holds no turn, or not that part of one.
        AntiphonError: as `ask` and `say`.
    """
    turn = await asyncio.to_thread(read_turn, path)
    where = site or turn.site
    if entry == "reply":
        if not turn.answer:
            raise ConfigError(f"the turn in {path} has no answer to say")
        await talking.say(turn.answer, where, broker)
    elif entry == "transcript":
        if not turn.transcript:
            raise ConfigError(f"the turn in {path} has no transcript")
        await talking.ask(turn.transcript, None, None, json=json, site=where, broker=broker)
    else:
        sound = turn.wav
        if sound is None:
            raise ConfigError(
                f"the turn in {path} has no sound: use --from transcript or --from reply"
            )
        await talking.ask(None, sound, None, json=json, site=where, broker=broker)
