"""First sound of a 5 s sentence: through the TTS worker, and by Piper sentence by sentence.

Both in one run, sentence by sentence in turn, each in a process of its own, no phrase cached.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from antiphon.house import client_bus, open_bus
from antiphon_contracts import TTS_SAY, TtsSay, TtsStatus, new_id
from antiphon_runtime import Bus
from children import Child, child
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, rotated, spread
from live_house import LiveHouse, live_house
from witness import Sound

SITE = "bench"
ROUNDS, QUICK_ROUNDS = 5, 1
SENTENCES = (
    "The museum in the old town opens at ten in the morning, except on the first Monday.",
    "You have three meetings tomorrow, and the first one begins at nine with the architects.",
    "It will rain in the afternoon and the wind comes from the west, so take the warm coat.",
    "The recipe wants two cups of flour and a spoon of salt, and the dough rests for an hour.",
    "Your train leaves from platform four at seven and arrives a little before midnight.",
    "The telephone was invented by Alexander Graham Bell, who taught people to speak clearly.",
)
TIMEOUT_S = 20.0


async def through_the_house(live: LiveHouse, bus: Bus, text: str) -> tuple[float, float]:
    """Return the ms to the first sound, and the length of all of it."""
    utterance_id = new_id()
    begun = asyncio.get_running_loop().time()
    clause = TtsSay(utterance_id=utterance_id, seq=0, text=text, last=True)
    bus.publish(TTS_SAY, clause, site_id=SITE)
    first = await live.witness.first(
        Sound, SITE, where=lambda sound: sound.utterance_id == utterance_id, timeout_s=TIMEOUT_S
    )
    over = await live.witness.first(
        TtsStatus,
        SITE,
        where=lambda status: (status.utterance_id, status.state) == (utterance_id, "synthesised"),
        timeout_s=TIMEOUT_S,
    )
    return 1000 * (first.at - begun), over.data.audio_ms


async def by_piper(bare: Child, text: str) -> float:
    """Return the ms to the first sentence."""
    return float((await bare.ask({"text": text}))["ms"])


async def measure(options: Options) -> Report:
    """Return the comparison."""
    report = Report("live_first_audio", options.quick)
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    ours: list[float] = []
    theirs: list[float] = []
    lengths: list[float] = []
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(
            live_house({"ANTIPHON_TTS_PHRASE_CACHE_MB": "0"}, kinds=("tts",))
        )
        bare = await stack.enter_async_context(child("bare_stages.py", "tts", config={}))
        bus = await stack.enter_async_context(open_bus(client_bus(live.settings), TIMEOUT_S))
        await through_the_house(live, bus, SENTENCES[0])
        await by_piper(bare, SENTENCES[0])
        say(f"live_first_audio: {rounds * len(SENTENCES)} sentences")
        for number in range(rounds * len(SENTENCES)):
            text = SENTENCES[number % len(SENTENCES)]
            for who in rotated(("house", "piper"), number):
                if who == "house":
                    first_ms, length_ms = await through_the_house(live, bus, text)
                    ours.append(first_ms)
                    lengths.append(length_ms)
                else:
                    theirs.append(await by_piper(bare, text))
    ratio = block_ratio([[ms] for ms in ours], [[ms] for ms in theirs])
    report.figures = [
        Figure("first audio: p50 to Piper, sentence at a time", ratio, RATIO, 0.5),
        Figure("first audio: p50", spread(ours).p50, "ms"),
    ]
    report.details = {
        "sentences": len(ours),
        "sound_ms": spread(lengths).as_json(),
        "house_ms": spread(ours).as_json(),
        "piper_ms": spread(theirs).as_json(),
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_first_audio", measure)
