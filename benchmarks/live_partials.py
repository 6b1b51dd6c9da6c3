"""Partial transcripts: how near the last one comes to the final, and what they cost.

Two recognisers in one run, one that tells what it understands while somebody speaks and one that
does not, hear the same utterances in turn. The benchmark opens their windows itself.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import psutil
from antiphon.house import client_bus, open_bus
from antiphon.wording import word_error_rate
from antiphon_contracts import STT_CONTROL, SttControl, SttFinal, SttPartial, new_id
from antiphon_runtime import Bus
from command import Options, main, say
from figures import RATIO, Figure, Report
from live_house import LiveHouse, live_house
from room import Room
from scenes import Author, Scene, joined, silence
from studio import Voice

SITE = "bench"
ROUNDS, QUICK_ROUNDS = 3, 1
SENTENCES = (
    "Could you please put bread and butter and a bottle of milk on the shopping list",
    "I would like to know how far it is from here to the sea and how long the train takes",
    "Tell me a story about an old fox who lives at the edge of a dark forest",
    "Remember that my sister arrives on Friday evening and that she does not eat any meat",
)
WINDOW_S = 10.0
TIMEOUT_S = 20.0
LEAD_MS = 400
TAIL_MS = 1_500


@dataclass
class Listener:
    """A recogniser, and what is known of it.

    Attributes:
        live: its house.
        room: where it hears.
        bus: for its orders.
        cpu_s: processor time of each utterance.
        pairs: of each, the last partial that was no candidate, the last candidate, the final.
        counts: partials of each.
    """

    live: LiveHouse
    room: Room
    bus: Bus
    cpu_s: list[float] = field(default_factory=list)
    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def processor_s(self) -> float:
        """Return the processor time that it took so far."""
        assert self.live.house is not None
        pid = self.live.house.supervisor.children["stt-1"].pid
        assert pid is not None
        top = psutil.Process(pid)
        times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
        return sum(time.user + time.system for time in times)

    async def hear(self, scene: Scene) -> None:
        """Hear an utterance, and note what it costs and what comes of it."""
        before, name = self.processor_s(), new_id()
        order = SttControl(
            action="listen",
            utterance_id=name,
            reason="question",
            stream=self.room.microphone.stream,
            window_s=WINDOW_S,
        )
        self.bus.publish(STT_CONTROL, order, site_id=SITE)
        played = self.room.play(joined([silence(LEAD_MS), scene, silence(TAIL_MS)]))
        await played.over()
        final = await self.live.witness.first(
            SttFinal, SITE, where=lambda final: final.utterance_id == name, timeout_s=TIMEOUT_S
        )
        partials = [
            seen.data
            for seen in self.live.witness.all(
                SttPartial, SITE, where=lambda partial: partial.utterance_id == name
            )
            if seen.data.text
        ]
        self.cpu_s.append(self.processor_s() - before)
        drafts = [partial.text for partial in partials if not partial.candidate]
        candidates = [partial.text for partial in partials if partial.candidate]
        last = drafts[-1] if drafts else ""
        self.pairs.append((last, candidates[-1] if candidates else "", final.data.text))
        self.counts.append(len(drafts))


@asynccontextmanager
async def listener(*, partials: bool) -> AsyncIterator[Listener]:
    """Run a recogniser while the block runs."""
    settings = {"ANTIPHON_STT_PARTIALS": "true" if partials else "false"}
    async with (
        live_house(settings, kinds=("stt",)) as live,
        open_bus(client_bus(live.settings), TIMEOUT_S) as bus,
        live.room(SITE) as room,
    ):
        yield Listener(live, room, bus)


async def measure(options: Options) -> Report:
    """Return what partials are worth, and what they cost."""
    report = Report("live_partials", options.quick)
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    author = Author()
    scenes = [author.speech(text, Voice("piper", 0.9)) for text in SENTENCES]
    if not options.quick:
        scenes += [Scene(samples) for samples, _ in author.studio.recorded()]
    async with AsyncExitStack() as stack:
        telling = await stack.enter_async_context(listener(partials=True))
        silent = await stack.enter_async_context(listener(partials=False))
        for one in (telling, silent):
            await one.hear(scenes[0])
            one.cpu_s.clear()
            one.pairs.clear()
            one.counts.clear()
        say(f"live_partials: {rounds * len(scenes)} utterances, twice")
        for number in range(rounds):
            for scene in scenes:
                for one in (telling, silent) if number % 2 else (silent, telling):
                    await one.hear(scene)
    told = [(draft, final) for draft, _, final in telling.pairs if draft and final]
    errors = [word_error_rate(final, draft) for draft, final in told]
    candidates = [(last, final) for _, last, final in telling.pairs if final]
    same = sum(last == final for last, final in candidates)
    cost = sum(telling.cpu_s) / max(sum(silent.cpu_s), 1e-9)
    report.figures = [
        Figure("processor time with partials, to final only", cost, RATIO, 2.0),
        Figure("utterances without a partial", len(telling.pairs) - len(told), "utterances"),
        Figure("finals that were candidates before", same / max(1, len(candidates)), "of finals"),
    ]
    if errors:
        report.figures += [
            Figure("WER of the last partial against the final", statistics.mean(errors), "of words")
        ]
    report.details = {
        "utterances": len(telling.pairs),
        "partials_each": round(statistics.mean(telling.counts), 1),
        "processor_ms_each": {
            "with_partials": round(1000 * statistics.mean(telling.cpu_s)),
            "final_only": round(1000 * statistics.mean(silent.cpu_s)),
        },
        "rejected": sum(not final for _, _, final in telling.pairs),
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_partials", measure)
