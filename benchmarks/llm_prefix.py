"""The embedded model's first token, with and without the beginning of its prompt in the cache.

Each round asks one question of a model that knows nothing yet (`cold`), another that begins alike
(`warm`), one after the beginning alone was computed ahead, as the worker does at start
(`prefilled`), and one whose prompt begins otherwise. It is asked in the standard prompt with a
persona of four examples, and in the small one.

What is compared is processor time: whatever else the machine does drops out of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from antiphon_llm.engine import open_brains
from antiphon_llm.service import Brain, ChatMessage, PersonaCard, Prompt
from antiphon_llm.service.question import Question
from antiphon_llm.settings import LlmSettings
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_settings
from command import Options, main, say
from figures import Figure, Report, spread

ROUNDS, QUICK_ROUNDS = 3, 1
PERSONA = PersonaCard(
    "Ada",
    "You are friendly, a little dry, and you like short answers. You never apologise twice.",
    examples=(
        ("Good morning.", "Morning. The coffee machine is more awake than I am."),
        ("Are you a robot?", "I prefer to be called a voice without a body."),
        ("What can you do?", "Timers, lists, lamps, and the odd fact. Try me."),
        ("Thank you.", "Any time."),
    ),
)
QUESTIONS = ("What is the capital of Japan?", "Who invented the telephone?", "How old is Rome?")
WAYS = ("cold", "warm", "prefilled", "other beginning")


@dataclass(frozen=True)
class Asked:
    """How one question went: processor time and time to the first token, and what was read."""

    cpu_ms: float
    first_ms: float
    prompt_tokens: int
    cached_tokens: int


@asynccontextmanager
async def fresh(profile: str) -> AsyncIterator[Brain]:
    """Load a model of its own, with nothing in its cache."""
    settings = LlmSettings.model_validate({"provider": "embedded", "profile": profile})
    models = ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
    async with open_brains(settings, models) as [brain]:
        brain.profile.persona = PERSONA
        yield brain


async def ask(brain: Brain, prompt: Prompt) -> Asked:
    """Return how long the first token took, and what was read."""
    begun, cpu_begun = time.perf_counter(), time.process_time()
    first = cpu = 0.0
    read = cached = 0
    async with aclosing(brain.model.stream(replace(prompt, max_tokens=4))) as deltas:
        async for delta in deltas:
            first, cpu = first or time.perf_counter(), cpu or time.process_time()
            read, cached = read + delta.prompt_tokens, cached + delta.cached_tokens
    return Asked(1000 * (cpu - cpu_begun), 1000 * (first - begun), read, cached)


def prompt_of(brain: Brain, text: str) -> Prompt:
    """Return the worker's own prompt of a question."""
    return brain.profile.prepare(Question(text, datetime.now().astimezone()), 2048)[1]


async def one_round(profile: str) -> dict[str, Asked]:
    """Ask in every way."""
    found = {}
    first, second, third = QUESTIONS
    async with fresh(profile) as brain:
        found["cold"] = await ask(brain, prompt_of(brain, first))
        found["warm"] = await ask(brain, prompt_of(brain, second))
        brain.profile.persona = replace(PERSONA, name="Grace", style="You speak like a sailor.")
        found["other beginning"] = await ask(brain, prompt_of(brain, third))
    async with fresh(profile) as brain:
        prefix = Prompt((*brain.profile.prefix(), ChatMessage("user", "Hello")), max_tokens=1)
        await ask(brain, prefix)
        found["prefilled"] = await ask(brain, prompt_of(brain, third))
    return found


async def measure(options: Options) -> Report:
    """Return the comparison."""
    report = Report("llm_prefix", options.quick)
    for profile in ("standard", "small"):
        rounds = []
        for number in range(QUICK_ROUNDS if options.quick else ROUNDS):
            say(f"llm_prefix: {profile}, round {number + 1}")
            rounds.append(await one_round(profile))
        for way in WAYS:
            times = spread([found[way].cpu_ms for found in rounds])
            name = f"{profile}: first token, {way}: p50"
            report.figures.append(Figure(name, times.p50, "ms of one core"))
        report.details[profile] = {
            way: {
                "read": rounds[0][way].prompt_tokens,
                "known": rounds[0][way].cached_tokens,
                "first_ms": [round(found[way].first_ms) for found in rounds],
            }
            for way in WAYS
        }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("llm_prefix", measure)
