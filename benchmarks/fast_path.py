"""How quickly and how well the router understands what needs no language model.

The real grammar on the whole corpus of what people say, and the whole router on the in-memory
broker, from a plain question to its answer, with tools and timers that answer at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from antiphon_contracts import ToolRegistry, ToolSpec
from antiphon_router.engine import HassilGrammar
from antiphon_router.testing import Home, home
from antiphon_router.testing_corpus import HOUSE, Saying, commands_of, misunderstood, understood
from command import Options, main, say
from figures import Figure, Report, percentile

DATA = Path(__file__).parents[1] / "apps" / "router" / "tests" / "data"
COMMANDS = (
    *("commands.tsv", "commands5.tsv"),
    *(f"commands_blind{part}.tsv" for part in ("", "2", "3", "4", "5", "7")),
)
ROUNDS, QUICK_SAYINGS = 3, 20
SITES = 300
"""So many that what is never played at one does not pile up there."""
ACCURACY, P99_MS = 0.95, 10.0


def registry() -> ToolRegistry:
    """Return the corpus's house as a tool worker offers it."""
    named = {
        "home_set": {"target": {"enum": list(HOUSE.targets)}},
        "home_scene": {"scene": {"enum": list(HOUSE.scenes)}},
        "list_add": {"list": {"examples": list(HOUSE.lists)}},
    }
    tools = (
        ToolSpec(name=name, description=name, parameters={"properties": named.get(name, {})})
        for name in sorted(HOUSE.tools)
    )
    return ToolRegistry(tools=tuple(tools))


def recognition(grammar: HassilGrammar, texts: Sequence[str], rounds: int) -> list[float]:
    """Return how long the grammar took for each text, the quickest of some rounds, in ms."""
    best = [float("inf")] * len(texts)
    for _ in range(rounds):
        for place, text in enumerate(texts):
            begun = time.perf_counter()
            grammar.recognize(text)
            best[place] = min(best[place], (time.perf_counter() - begun) * 1000)
    return best


async def answered_ms(h: Home, text: str, site: str) -> tuple[float, float] | None:
    """Return how long an answer took, and how long this process computed for it.

    It computes for the scripted workers as well. None if the language model answered.
    """
    before = len(h.answers)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    h.ask(text, site)
    await h.answers.until(before + 1)
    took_ms = (time.perf_counter() - begun) * 1000
    computed_ms = (time.process_time() - begun_cpu) * 1000
    return (took_ms, computed_ms) if h.answers[-1].route == "fast" else None


async def whole_router(sayings: Sequence[Saying], rounds: int) -> tuple[list[float], list[float]]:
    """Return how long each command took the quickest of some times, and computed, in ms."""
    best: dict[str, tuple[float, float]] = {}
    async with home() as h:
        await h.offer(registry())
        for _ in range(rounds):
            for place, saying in enumerate(sayings):
                took = await answered_ms(h, saying.text, f"s{place % SITES}")
                if took is not None:
                    best[saying.text] = min(took, best.get(saying.text, took))
    return [took for took, _ in best.values()], [computed for _, computed in best.values()]


def accuracy(grammar: HassilGrammar, name: str, few: int | None) -> float:
    """Return the share of a file's commands that are understood with all their slots."""
    sayings = list(commands_of(DATA / name))[:few]
    return 1 - len(misunderstood(grammar, sayings)) / len(sayings)


def chat(few: int | None) -> list[str]:
    """Return what is for the language model."""
    files = sorted(DATA.glob("chat*.txt"))
    english = [file for file in files if file.stem != "chat_de_fr"]
    return [text for file in english for text in file.read_text("utf-8").splitlines()[:few]]


async def measure(options: Options) -> Report:
    """Measure it all."""
    few, rounds = (QUICK_SAYINGS, 1) if options.quick else (None, ROUNDS)
    # Standard output is for the report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    begun = time.perf_counter()
    grammar = HassilGrammar("en")
    grammar.load()
    grammar.learn(HOUSE)
    load_s = time.perf_counter() - begun
    sayings = [saying for name in COMMANDS for saying in list(commands_of(DATA / name))[:few]]
    say("recognition")
    commands_ms = recognition(grammar, [saying.text for saying in sayings], rounds)
    chat_ms = recognition(grammar, chat(few), rounds)
    captured = sum(understood(grammar, text) is not None for text in chat(few))
    say("the whole router")
    router_ms, computed_ms = await whole_router(sayings, rounds)
    figures = [
        *(
            Figure(f"understood of {name}", accuracy(grammar, name, few), "", ACCURACY, "higher")
            for name in COMMANDS
        ),
        Figure("chit-chat captured", captured, "sentences", 0),
        Figure("load", load_s, "s"),
        *_times("recognition, commands", commands_ms),
        *_times("recognition, chit-chat", chat_ms),
        *_times("router, question to answer", router_ms, P99_MS),
        *_times("router, of that computing", computed_ms, P99_MS),
    ]
    return Report("fast_path", figures=figures, quick=options.quick)


def _times(name: str, times_ms: list[float], goal: float | None = None) -> list[Figure]:
    return [
        Figure(f"{name}, p50", percentile(times_ms, 0.5), "ms"),
        Figure(f"{name}, p99", percentile(times_ms, 0.99), "ms", goal),
    ]


if __name__ == "__main__":
    main("fast_path", measure)
