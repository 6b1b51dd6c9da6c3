"""A room with somebody in it: a satellite's part, played by a microphone that hears scenes.

It sends its microphone as a satellite does, 80 ms when they have passed, in real time or faster;
its loudspeaker plays at real pace, obeys, tells the truth about what it played, and may be heard by
its own microphone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from antiphon.house import open_bus
from antiphon_audio import Pcm, Place, Resampler, wav, wrap_frame
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_OUT,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    SITE_STATUS,
    Message,
    PlaybackControl,
    PlaybackStatus,
    SiteStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, listen, listen_raw, running
from scenes import Scene
from studio import RATE_HZ, Samples, added, amplified

FRAME = RATE_HZ * 80 // 1000
CHUNK_MS = 20
CONNECT_TIMEOUT_S = 15.0
FLOOR_DBFS = -66.0
ECHO_DELAY = RATE_HZ * 12 // 1000
"""From the loudspeaker to the microphone: some 4 m."""
UNDERRUN_S = 5.0

Tamper = Callable[[int, bytes], Sequence[bytes]]
"""What becomes of a frame on its way, from its number and bytes: none, one or several."""


def _as_it_is(_number: int, frame: bytes) -> Sequence[bytes]:
    return (frame,)


def floor_noise() -> Samples:
    """Return ten seconds of a quiet room."""
    found = np.random.default_rng(3).normal(0, 32768 * 10 ** (FLOOR_DBFS / 20), 10 * RATE_HZ)
    return np.rint(found).astype(np.int16)


class Microphone:
    """What the room sounds like, frame by frame.

    Attributes:
        stream: the stream's name.
        pace: 1 is real time.
        sent: samples so far.
    """

    def __init__(self, pace: float) -> None:
        self.stream = new_id()
        self.pace = pace
        self.sent = 0
        self._begun = asyncio.get_running_loop().time()
        self._floor = floor_noise()
        self._scenes = np.zeros(0, dtype=np.int16)
        self._echo = np.zeros(0, dtype=np.int16)

    def time_of(self, sample: float) -> float:
        """Return the loop's time at which a sample of the stream is (or was) in the air."""
        return self._begun + sample / RATE_HZ / self.pace

    @property
    def now(self) -> int:
        """Samples of the stream that are over by now."""
        elapsed_s = asyncio.get_running_loop().time() - self._begun
        return int(elapsed_s * self.pace * RATE_HZ)

    def add_scene(self, samples: Samples) -> int:
        """Let it hear something next; returns the sample at which that begins."""
        begin = self.sent + len(self._scenes)
        self._scenes = np.concatenate((self._scenes, samples))
        return begin

    def add_echo(self, at: int, samples: Samples) -> None:
        """Let it hear the loudspeaker, from a sample of the stream on that has not gone out yet."""
        begin = at - self.sent
        end = begin + len(samples)
        if end > len(self._echo):
            self._echo = np.pad(self._echo, (0, end - len(self._echo)))
        self._echo[begin:end] = added(self._echo[begin:end], samples)

    def frame(self) -> tuple[Place, Samples]:
        """Return the next 80 ms."""
        place = Place(self.stream, self.sent)
        at = self.sent % (len(self._floor) - FRAME)
        heard = self._floor[at : at + FRAME]
        for sound in (self._scenes, self._echo):
            heard = added(heard, sound[:FRAME])
        self._scenes, self._echo = self._scenes[FRAME:], self._echo[FRAME:]
        self.sent += FRAME
        return place, heard


@dataclass(frozen=True)
class Played:
    """A scene in a room's stream.

    Attributes:
        scene: the scene.
        offset_ms: of its first sample in the stream.
    """

    scene: Scene
    offset_ms: float
    _microphone: Microphone

    def at(self, ms: float) -> float:
        """Return the loop's time of a moment of the scene."""
        return self._microphone.time_of((self.offset_ms + ms) * RATE_HZ / 1000)

    async def until(self, ms: float) -> None:
        """Return when this moment of the scene has gone out."""
        end = (self.offset_ms + ms) * RATE_HZ / 1000
        whole_frames = -(-end // FRAME) * FRAME
        wait_s = self._microphone.time_of(whole_frames) - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, wait_s))

    async def over(self) -> None:
        """Return when all of it has gone out."""
        await self.until(self.scene.duration_ms)


@dataclass
class _Answer:
    """An answer that came, or comes."""

    utterance_id: str
    samples: list[Samples] = field(default_factory=list)
    rate_hz: int = 22_050
    ended: bool = False
    stopped: bool = False
    taken: int = 0

    def take(self, count: int) -> Samples:
        """Return up to so many samples that were not played yet."""
        out: list[Samples] = []
        while self.samples and count > 0:
            piece = self.samples[0][:count]
            self.samples[0] = self.samples[0][count:]
            if not len(self.samples[0]):
                del self.samples[0]
            out.append(piece)
            count -= len(piece)
            self.taken += len(piece)
        return np.concatenate(out) if out else np.zeros(0, dtype=np.int16)

    @property
    def played_ms(self) -> int:
        """What of it was played."""
        return 1000 * self.taken // self.rate_hz


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece that the loudspeaker played.

    Attributes:
        at: the loop's time when it began.
        utterance_id: of what.
        ms: its length.
    """

    at: float
    utterance_id: str
    ms: float

    @property
    def end(self) -> float:
        """When it was over, if played in real time."""
        return self.at + self.ms / 1000


class Loudspeaker:
    """Plays what comes, one answer after the other.

    Attributes:
        chunks: what was played, and when.
        pace: 1 is real time.
    """

    def __init__(
        self,
        report: Callable[[PlaybackStatus], None],
        on_chunk: Callable[[float, Samples, int], None],
        pace: float,
    ) -> None:
        self.chunks: list[Chunk] = []
        self._report = report
        self._on_chunk = on_chunk
        self.pace = pace
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._done: set[str] = set()
        self._paused = False
        self._news = asyncio.Event()

    async def on_frame(self, message: RawMessage) -> None:
        """Take a piece of an answer in."""
        utterance_id = message.slots["utterance"]
        if utterance_id in self._done:
            return
        answer = self._answers.setdefault(utterance_id, _Answer(utterance_id))
        if message.payload:
            pcm = wav.unwrap(message.payload)
            answer.rate_hz = pcm.rate_hz
            answer.samples.append(pcm.samples)
        else:
            answer.ended = True
        self._news.set()

    async def on_control(self, message: Message[PlaybackControl]) -> None:
        """Obey."""
        order = message.data
        concerned = [
            answer
            for answer in self._answers.values()
            if order.utterance_id in (None, answer.utterance_id)
        ]
        if order.action == "stop":
            self._paused = False
            for answer in concerned:
                answer.stopped = True
        elif order.action in ("pause", "resume"):
            self._paused = order.action == "pause"
        self._news.set()

    async def run(self) -> None:
        """Play, for ever."""
        while True:
            while not self._answers:
                await self._change()
            answer = next(iter(self._answers.values()))
            state = await self._play(answer)
            del self._answers[answer.utterance_id]
            self._done.add(answer.utterance_id)
            self._tell(answer, state)

    async def _play(self, answer: _Answer) -> Literal["finished", "stopped", "failed"]:
        loop = asyncio.get_running_loop()
        due, begun = loop.time(), False
        while not answer.stopped:
            if self._paused or not (answer.samples or answer.ended):
                if not await self._change(UNDERRUN_S) and not self._paused:
                    return "failed"
                due = loop.time()
                continue
            chunk = answer.take(answer.rate_hz * CHUNK_MS // 1000)
            if not len(chunk):
                return "finished"
            if not begun:
                begun = True
                self._tell(answer, "started")
            length_ms = 1000 * len(chunk) / answer.rate_hz
            self.chunks.append(Chunk(due, answer.utterance_id, length_ms))
            self._on_chunk(due, chunk, answer.rate_hz)
            due += length_ms / 1000 / self.pace
            await asyncio.sleep(max(0.0, due - loop.time()))
        return "stopped"

    async def _change(self, timeout_s: float | None = None) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _tell(
        self, answer: _Answer, state: Literal["started", "finished", "stopped", "failed"]
    ) -> None:
        self._report(
            PlaybackStatus(
                utterance_id=answer.utterance_id, state=state, played_ms=answer.played_ms
            )
        )


class Room:
    """One site, as its satellite would serve it. Use `open`.

    Args:
        bus: of its own, not yet open.
        site: its name.
        pace: of microphone and loudspeaker; 1 is real time.
        echo_db: how much louder (less: quieter) the microphone hears the loudspeaker than it
            plays; None is not at all.
        echo_cancelled: whether to claim that it does not.

    Attributes:
        tamper: what becomes of frames on their way.
        vanishes: whether the end of `open` is a sudden one, without a last word.
    """

    def __init__(
        self,
        bus: Bus,
        site: str,
        *,
        pace: float = 1.0,
        echo_db: float | None = None,
        echo_cancelled: bool = False,
    ) -> None:
        self.site = site
        self.tamper: Tamper = _as_it_is
        self.vanishes = False
        self.echo_db = echo_db
        self._bus = bus
        self._echo_cancelled = echo_cancelled
        self._echo_resampler: Resampler | None = None
        self._echo_at = 0
        self.microphone = Microphone(pace)
        self.loudspeaker = Loudspeaker(self._report, self._on_chunk, pace)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Room]:
        """Be there while the block runs."""
        site = self.site
        self._bus.install(
            [
                listen_raw(
                    AUDIO_OUT.narrowed(site=site), self.loudspeaker.on_frame, queue_limit=100_000
                ),
                listen(PLAYBACK_CONTROL.narrowed(site=site), self.loudspeaker.on_control),
            ]
        )
        async with open_bus(self._bus, CONNECT_TIMEOUT_S):
            self.microphone = Microphone(self.microphone.pace)
            self._say_status(streaming=True)
            async with running(microphone=self._send(), loudspeaker=self.loudspeaker.run()):
                yield self
            if not self.vanishes:
                await self._say_status(streaming=False)

    def play(self, scene: Scene) -> Played:
        """Let the microphone hear a scene next, behind what it is hearing."""
        begin = self.microphone.add_scene(scene.samples)
        return Played(scene, 1000 * begin / RATE_HZ, self.microphone)

    def _say_status(self, *, streaming: bool) -> asyncio.Future[None]:
        status = SiteStatus(
            streaming=streaming,
            stream=self.microphone.stream if streaming else "",
            echo_cancelled=self._echo_cancelled,
        )
        return self._bus.publish(SITE_STATUS, status, site_id=self.site)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            # A microphone hands on what is over.
            due = self.microphone.time_of(self.microphone.sent + FRAME)
            await asyncio.sleep(max(0.0, due - loop.time()))
            place, samples = self.microphone.frame()
            for frame in self.tamper(number, wrap_frame(Pcm(samples, RATE_HZ), place)):
                self._bus.publish_raw(AUDIO_IN, frame, site=self.site)
            number += 1

    def _report(self, status: PlaybackStatus) -> None:
        self._bus.publish(PLAYBACK_STATUS, status, site_id=self.site)

    def _on_chunk(self, at: float, samples: Samples, rate_hz: int) -> None:
        if self.echo_db is None:
            return
        begin = round((at - self.microphone.time_of(0)) * self.microphone.pace * RATE_HZ)
        resampler = self._echo_resampler
        if resampler is None or resampler.from_hz != rate_hz or begin - self._echo_at > FRAME:
            resampler = self._echo_resampler = Resampler(rate_hz, RATE_HZ)
            self._echo_at = begin
        heard = resampler.push(samples)
        # What comes too late for its frame is heard a little later, and not lost.
        self._echo_at = max(self._echo_at, self.microphone.sent - ECHO_DELAY)
        self.microphone.add_echo(self._echo_at + ECHO_DELAY, amplified(heard, self.echo_db))
        self._echo_at += len(heard)
