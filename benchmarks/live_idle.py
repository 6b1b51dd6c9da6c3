"""What the whole stack costs while nobody speaks and it listens.

`antiphon up` as a person starts it, its satellite's microphone hearing a quiet room; processor time
of every process over 30 s, as a share of one core, and memory (PSS).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path

import psutil
from antiphon.house import client_bus
from antiphon_audio import Pcm, wav
from antiphon_contracts import AUDIO_IN
from antiphon_runtime import RawMessage, RuntimeSettings, listen_raw
from command import Options, main, say
from figures import Figure, Report
from footprint import has_pss, memory_of, name_of, up
from room import floor_noise
from studio import RATE_HZ

SETTLE_S, QUICK_SETTLE_S = 10.0, 2.0
WATCH_S, QUICK_WATCH_S = 30.0, 4.0
GOAL_PERCENT = 6.0
FRAMES_PER_S = 12.5
ENOUGH = 0.9
"""Share of the frames that must have come, or it was not listening."""


def processor_s(pid: int) -> dict[str, float]:
    """Return the processor time, so far, of a process and all that it started, by name."""
    top = psutil.Process(pid)
    found: dict[str, float] = defaultdict(float)
    for process in (top, *top.children(recursive=True)):
        times = process.cpu_times()
        found[name_of(process.cmdline())] += times.user + times.system
    return dict(found)


async def frames_of(settings: RuntimeSettings, watch_s: float) -> int:
    """Return how many frames microphones send within a time.

    Raises:
        BusError: the broker does not answer.
    """
    count = 0

    async def on_frame(_message: RawMessage) -> None:
        nonlocal count
        count += 1

    bus = client_bus(settings)
    bus.install([listen_raw(AUDIO_IN, on_frame, queue_limit=10_000)])
    async with bus.open():
        await bus.wait_connected(watch_s)
        async with bus.handling(drain_s=0):
            await asyncio.sleep(watch_s)
    return count


async def measure(options: Options) -> Report:
    """Return what it costs."""
    report = Report("live_idle", options.quick)
    settle_s = QUICK_SETTLE_S if options.quick else SETTLE_S
    watch_s = QUICK_WATCH_S if options.quick else WATCH_S
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        quiet = folder / "quiet.wav"
        wav.write(quiet, Pcm(floor_noise(), RATE_HZ))
        microphone = {
            "ANTIPHON_SATELLITE_MICROPHONE": "file",
            "ANTIPHON_SATELLITE_IN_FILE": str(quiet),
            "ANTIPHON_SATELLITE_IN_REPEAT": "true",
            "ANTIPHON_SATELLITE_PACE": "1",
        }
        async with up(folder, microphone) as (pid, settings):
            await asyncio.sleep(settle_s)
            say(f"live_idle: watching for {watch_s:g} s")
            before = await asyncio.to_thread(processor_s, pid)
            await asyncio.sleep(watch_s)
            after = await asyncio.to_thread(processor_s, pid)
            # Apart from the watching: who counts frames costs the broker something.
            frames = await frames_of(settings, QUICK_WATCH_S)
            memory = await asyncio.to_thread(memory_of, pid) if has_pss() else {}
    percents = {
        process: 100 * (after[process] - before.get(process, 0.0)) / watch_s for process in after
    }
    heard = frames / (FRAMES_PER_S * QUICK_WATCH_S)
    report.figures = [
        Figure("processor: whole stack", sum(percents.values()), "% of a core", GOAL_PERCENT),
        *(
            Figure(f"processor: {process}", percents[process], "% of a core")
            for process in sorted(percents)
        ),
        Figure("microphone frames that came", heard, "of those due", ENOUGH, "higher"),
        *(Figure(f"PSS: {process}", memory[process], "MB") for process in sorted(memory)),
    ]
    if memory:
        report.figures.append(Figure("PSS: whole stack", sum(memory.values()), "MB"))
    report.details = {"watched_s": watch_s}
    return report


if __name__ == "__main__":
    main("live_idle", measure)
