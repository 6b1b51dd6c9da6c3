"""The wake worker as a process on a real broker: what it costs, how late and how exact it is.

Piper says "okay nabu" alone and in one breath with commands, at several speeds, in real time. Cost
is the whole process's time on a core, first with no sound at all, then with one site's microphone,
then with four. Late is an event that comes long after the phrase's end (the last sample that can be
heard, of a phrase said alone).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from antiphon.house import broker_settings, client_bus
from antiphon_audio import Pcm, Place, resample, wrap_frame
from antiphon_audio.microphone import FRAME_MS, FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import AUDIO_IN, HEALTH, WAKE_EVENT, Health, Message, WakeEvent
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Bus, RuntimeSettings, listen
from antiphon_tts.engine import piper
from antiphon_tts.settings import TtsSettings
from command import Options, main, say
from figures import Figure, Report, percentile
from numpy.typing import NDArray

Sound = NDArray[np.int16]

SPEEDS = (0.8, 1.0, 1.2)
COMMANDS = ("turn on the lamp", "what time is it", "open the door", "play some music")
PAUSE_S = 1.5
IDLE_S = 10.0
ROUNDS = 2
READY_S = 30.0
AUDIBLE = 700
GOAL_PERCENT = 1.5
CORE = "% of a core"
SITES = ("kitchen", "hall", "study", "attic")


@dataclass(frozen=True)
class Track:
    """What a microphone hears.

    Attributes:
        sound: 16 kHz.
        ends: where phrases that are said alone end, in samples.
        phrases: how many phrases there are.
    """

    sound: Sound
    ends: tuple[int, ...]
    phrases: int


@dataclass(frozen=True)
class Cost:
    """What something took of a core, and what it gave."""

    percent: float
    result: float


@dataclass
class Events:
    """The events that came, with the time at which they did."""

    found: list[tuple[float, Message[WakeEvent]]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_event(self, message: Message[WakeEvent]) -> None:
        """Note an event."""
        self.found.append((time.perf_counter(), message))

    async def on_health(self, message: Message[Health]) -> None:
        """Note that the worker is ready."""
        if message.data.kind == "wake" and message.data.state == "ready":
            self.ready.set()


def make_track(*, quick: bool) -> Track:
    """Return speech with and without commands, at several speeds; blocks."""
    engine = piper(TtsSettings(), ModelStore(default_root()))
    engine.load()
    rng = np.random.default_rng(4)
    pause = np.zeros(int(PAUSE_S * RATE_HZ), dtype=np.int16)
    parts: list[Sound] = [pause]
    ends: list[int] = []
    count = 0
    commands, speeds = (COMMANDS[:1], SPEEDS[:1]) if quick else (COMMANDS, SPEEDS)
    texts = ["Okay nabu.", *(f"Okay nabu {command}." for command in commands)]
    for _, speed, text in itertools.product(range(1 if quick else ROUNDS), speeds, texts):
        spoken = [resample(s, RATE_HZ) for s in engine.synthesize(text, voice=None, speed=speed)]
        sound = np.concatenate([pcm.samples for pcm in spoken])
        if text == texts[0]:
            loud = np.nonzero(np.abs(sound.astype(np.int32)) > AUDIBLE)[0]
            ends.append(sum(map(len, parts)) + int(loud[-1]))
        parts += [sound, pause]
        count += 1
    engine.close()
    whole = np.concatenate(parts)
    room = (whole + rng.normal(0, 8, len(whole))).clip(-32_768, 32_767)
    return Track(room.astype(np.int16), tuple(ends), count)


@asynccontextmanager
async def worker(runtime: RuntimeSettings) -> AsyncIterator[psutil.Process]:
    """Run the wake worker as a process."""
    variables = {
        "ANTIPHON_HOST": runtime.host,
        "ANTIPHON_PORT": str(runtime.port),
        "ANTIPHON_USERNAME": runtime.username,
        "ANTIPHON_PASSWORD": runtime.password.get_secret_value(),
        "ANTIPHON_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon_wake"), env={**os.environ, **variables}, stdout=sys.stderr
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def spent_s(process: psutil.Process) -> float:
    """Return the processor time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def play(bus: Bus, sound: Sound, stream: str, sites: Sequence[str]) -> float:
    """Send sound as microphones do, in real time; return when its first sample was."""
    begun = time.perf_counter()
    for number in range(len(sound) // FRAME_SAMPLES):
        at = number * FRAME_SAMPLES
        frame = wrap_frame(Pcm(sound[at : at + FRAME_SAMPLES], RATE_HZ), Place(stream, at))
        due = begun + (number + 1) * FRAME_MS / 1000
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        for site in sites:
            bus.publish_raw(AUDIO_IN, frame, site=site)
    return begun


def delays_ms(track: Track, begun: float, events: Events) -> list[float]:
    """Return from the end of each phrase said alone to its event."""
    found = []
    for end in track.ends:
        near = [
            came
            for came, message in events.found
            if abs(message.data.detected_ms - end * 1000 / RATE_HZ) < PAUSE_S * 1000 / 2
        ]
        found += [1000 * (came - begun - end / RATE_HZ) for came in near[:1]]
    return found


async def cost_of(process: psutil.Process, seconds: float, work: Awaitable[float]) -> Cost:
    """Return what a process takes while `work` goes on, and what `work` gives."""
    before = spent_s(process)
    result = await work
    return Cost(100 * (spent_s(process) - before) / seconds, result)


async def listened(
    bus: Bus, events: Events, track: Track, runtime: RuntimeSettings, idle_s: float
) -> list[Figure]:
    """Return the figures of a worker that runs."""
    seconds = len(track.sound) / RATE_HZ
    async with worker(runtime) as process:
        async with asyncio.timeout(READY_S):
            await events.ready.wait()
        say(f"idle for {idle_s:g} s, then {seconds:.0f} s of sound, twice")
        idle = await cost_of(process, idle_s, asyncio.sleep(idle_s, 0.0))
        one = await cost_of(process, seconds, play(bus, track.sound, "one", SITES[:1]))
        late, single = delays_ms(track, one.result, events), len(events.found)
        four = await cost_of(process, seconds, play(bus, track.sound, "four", SITES))
        memory_mb = process.memory_full_info().pss / 1e6
    say(f"{single} of {track.phrases} heard; at four sites {len(events.found) - single}")
    further = (four.percent - one.percent) / (len(SITES) - 1)
    return [
        Figure("cost without sound", idle.percent, CORE),
        Figure("cost with one site", one.percent, CORE, GOAL_PERCENT),
        Figure("cost of each further site", further, CORE, GOAL_PERCENT),
        Figure("phrases heard", 100 * single / track.phrases, "%", 95.0, "higher"),
        Figure("end of phrase to event: median", statistics.median(late), "ms"),
        Figure("end of phrase to event: p95", percentile(late, 0.95), "ms"),
        Figure("memory (PSS)", memory_mb, "MB"),
    ]


async def measure(options: Options) -> Report:
    """Measure costs and delays."""
    idle_s = 1.0 if options.quick else IDLE_S
    track = await asyncio.to_thread(make_track, quick=options.quick)
    events = Events()
    with tempfile.TemporaryDirectory() as folder:
        async with broker_settings(Path(folder), "auto") as (runtime, _):
            bus = client_bus(runtime)
            bus.install([listen(WAKE_EVENT, events.on_event), listen(HEALTH, events.on_health)])
            async with bus.open(), bus.handling(drain_s=0):
                figures = await listened(bus, events, track, runtime, idle_s)
    return Report("wake", options.quick, figures)


if __name__ == "__main__":
    main("wake", measure)
