"""The fake of the `ChatModel` port, and the worker around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from antiphon_contracts import EngineError
from antiphon_models import ModelStore
from antiphon_runtime.worker import Wiring, Worker

from antiphon_llm.service import (
    Brain,
    Delta,
    Pace,
    Profile,
    Prompt,
    RequestedCall,
    SmallProfile,
    StandardProfile,
    tool_mode_for,
)
from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build

Step = str | Delta | EngineError | asyncio.Event
Turn = Sequence[Step]


class ScriptedModel:
    """Plays one turn for each prompt; an event in a turn is waited for.

    Attributes:
        turns: what is left of the script.
        prompts: what it was asked.
        closed: how many answers were left before their end, by an error, a cancel or the reader.
    """

    name = "scripted"

    def __init__(self, *turns: Turn) -> None:
        self.turns = list(turns)
        self.prompts: list[Prompt] = []
        self.closed = 0

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """See `ChatModel`."""
        self.prompts.append(prompt)
        turn = self.turns.pop(0)
        finished = False
        try:
            for step in turn:
                if isinstance(step, EngineError):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield Delta(step) if isinstance(step, str) else step
            finished = True
        finally:
            self.closed += not finished


def calls(*wanted: tuple[str, str]) -> Delta:
    """Return a last piece that calls tools, each by name and arguments."""
    requested = (RequestedCall(f"c{n}", name, text) for n, (name, text) in enumerate(wanted))
    return Delta(calls=tuple(requested), finish_reason="stop")


def end(*, cut: bool = False) -> Delta:
    """Return a last piece."""
    return Delta(finish_reason="length" if cut else "stop", prompt_tokens=7, completion_tokens=3)


def brain_of(
    model: ScriptedModel,
    *others: ScriptedModel,
    small: bool = False,
    own: bool = False,
    context_tokens: int = 4096,
    history_tokens: int = 1000,
) -> Callable[[Worker[LlmSettings]], Wiring]:
    """Return the worker's real wiring around a scripted model, and others that fall in for it."""

    @asynccontextmanager
    async def open_brains(settings: LlmSettings, _models: ModelStore) -> AsyncIterator[list[Brain]]:
        brains = []
        for number, scripted in enumerate((model, *others)):
            profile: Profile = (
                SmallProfile() if small else StandardProfile(history_tokens=history_tokens)
            )
            mode = tool_mode_for(settings.tool_mode, profile, is_embedded=own)
            brains.append(
                Brain(
                    scripted,
                    profile,
                    context_tokens,
                    name=f"m{number}",
                    tool_mode=mode,
                    adapts=settings.tool_mode == "auto",
                    is_own=own,
                    pace=Pace(settings.first_token_timeout_s, settings.stall_timeout_s),
                    thinking_s=settings.thinking_timeout_s,
                )
            )
        yield brains

    return partial(build, open_brains=open_brains)
