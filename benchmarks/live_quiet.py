"""Half an hour of everything that is not for the house: nobody must be answered.

At four times real time: silence, white, pink, brown and babble noise, tones and music at several
levels, and a reader who never says the wake word. Once as a house that waits for its wake word
(`wake`), once as one that listens all the time (`open`), to what has no words in it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import cycle

from antiphon_contracts import (
    LlmRequest,
    PlainAnswer,
    SttFinal,
    TtsSay,
    WakeEvent,
)
from command import Options, main, say
from figures import Figure, Report
from live_house import LiveHouse, live_house
from scenes import Author, Scene, silence
from studio import Noise

PARTS = ("wake", "open")
PACE = 4.0
PIECE_S = 30.0
LEVELS_DBFS = (-50.0, -35.0, -25.0)
KINDS: tuple[Noise | str, ...] = (
    "silence",
    "white",
    "pink",
    "brown",
    "babble",
    "tones",
    "music",
    "reading",
)
WITH_WORDS = frozenset({"babble", "reading"})
MINUTES, QUICK_MINUTES = 30.0, 1.0
OPEN_SETTINGS = {"ANTIPHON_ROUTER_MODE": "open"}
TAIL_MS = 12_000


def piece(author: Author, kind: Noise | str, dbfs: float) -> Scene:
    """Return half a minute of a kind at about a level."""
    if kind == "silence":
        return silence(round(1000 * PIECE_S))
    if kind == "reading":
        return author.reading(PIECE_S).louder(dbfs + 30)
    return author.sound(kind, PIECE_S, dbfs=dbfs)  # type: ignore[arg-type]  # one of NOISES


async def endure(
    live: LiveHouse, site: str, kinds: Sequence[Noise | str], minutes: float, author: Author
) -> tuple[dict[str, int], list[str]]:
    """Let a room hear so many minutes; returns what it came to, and by what."""
    pieces = cycle(
        [
            (f"{kind} at {dbfs:g} dBFS", piece(author, kind, dbfs))
            for dbfs in LEVELS_DBFS
            for kind in kinds
        ]
    )
    spoiled: list[str] = []
    counts = dict.fromkeys(("wake events", "turns", "phantom transcripts", "spoken"), 0)
    async with live.room(site, pace=PACE) as room:
        heard_s = 0.0
        while heard_s < 60 * minutes:
            name, scene = next(pieces)
            await room.play(scene).over()
            heard_s += scene.duration_ms / 1000
            _count(live, site, name, counts, spoiled)
        await room.play(silence(TAIL_MS)).over()
        _count(live, site, "the end", counts, spoiled)
    return counts, spoiled


def _count(
    live: LiveHouse, site: str, name: str, counts: dict[str, int], spoiled: list[str]
) -> None:
    witness = live.witness
    phantoms = witness.all(SttFinal, site, where=lambda final: bool(final.text))
    turns = {seen.turn_id for kind in (LlmRequest, PlainAnswer) for seen in witness.all(kind, site)}
    found = {
        "wake events": len(witness.all(WakeEvent, site)),
        "turns": len(turns),
        "phantom transcripts": len(phantoms),
        "spoken": len(witness.all(TtsSay, site)),
    }
    for key, count in found.items():
        counts[key] += count
    if any(found.values()):
        texts = "; ".join(phantom.data.text for phantom in phantoms)
        spoiled.append(f"{name}: {found} {texts}".strip())
    witness.forget()


def figures_of(part: str, counts: dict[str, int]) -> list[Figure]:
    """Return the figures of a part."""
    return [
        Figure(f"{part}: turns", counts["turns"], "turns", 0),
        Figure(f"{part}: phantom transcripts", counts["phantom transcripts"], "transcripts", 0),
        Figure(f"{part}: clauses spoken", counts["spoken"], "clauses", 0),
        Figure(f"{part}: wake events", counts["wake events"], "events"),
    ]


async def measure(options: Options) -> Report:
    """Return what came of it."""
    report = Report("live_quiet", options.quick)
    minutes = QUICK_MINUTES if options.quick else MINUTES
    author = Author()
    if "wake" in options.parts:
        async with live_house() as live:
            say(f"live_quiet: {minutes:g} min at {PACE:g}x, waiting for a wake word")
            counts, spoiled = await endure(live, "wake", KINDS, minutes, author)
        report.figures += figures_of("wake", counts)
        report.details["wake"] = spoiled
    if "open" in options.parts:
        async with live_house(OPEN_SETTINGS) as live:
            say(f"live_quiet: {minutes:g} min at {PACE:g}x, listening all the time")
            kinds = [kind for kind in KINDS if kind not in WITH_WORDS]
            counts, spoiled = await endure(live, "open", kinds, minutes, author)
        report.figures += figures_of("open", counts)
        report.details["open"] = spoiled
    report.details["minutes"] = minutes
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_quiet", measure, PARTS)
