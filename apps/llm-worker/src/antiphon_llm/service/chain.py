"""Models in the order in which they are asked, and which of them answers just now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog
from antiphon_contracts import EngineError

from antiphon_llm.service.guarded import Pace
from antiphon_llm.service.model import ChatModel
from antiphon_llm.service.persona import PersonaCard
from antiphon_llm.service.profiles import Profile
from antiphon_llm.service.rounds import ToolMode

log = structlog.get_logger(__name__)


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Brain:
    """A model, and how to ask it.

    Attributes:
        model: who answers.
        profile: how prompts are made.
        context_tokens: its context window.
        name: what the settings call it; unique in its chain.
        require: raises EngineError if the model is known to be away.
        summarises: whether it sums up long conversations between turns.
        tool_mode: how it calls tools.
        adapts: whether it calls by schema once its server takes no native calls.
        is_own: whether it computes in this process: small, and alone with its cache.
        source: the model itself where `model` stands before it.
        pace: how long it may keep silent.
        thinking_s: how long it may think before its first word.
        prefills: whether what every prompt begins with is computed ahead.
    """

    model: ChatModel
    profile: Profile
    context_tokens: int
    name: str = "model"
    require: Callable[[], None] = _nothing
    summarises: bool = True
    tool_mode: ToolMode = "native"
    adapts: bool = True
    is_own: bool = False
    source: ChatModel | None = None
    pace: Pace = field(default_factory=Pace)
    thinking_s: float = 50.0
    prefills: bool = False


def tool_mode_for(
    asked: Literal["auto"] | ToolMode, profile: Profile, *, is_embedded: bool = False
) -> ToolMode:
    """Return how a model calls tools.

    Embedded models get no tools unless asked for: of 25 commands a model of half a billion weights
    got 4 right by schema, and set timers that nobody wanted (benchmarks/llm_tools.py).
    """
    if asked != "auto":
        return asked
    return "native" if profile.calls_tools and not is_embedded else "none"


class Chain:
    """Brains in the order in which they are asked; the first is the usual one.

    Args:
        brains: at least one.
        say: shows a sentence about a brain in health; an empty one takes it away.
    """

    def __init__(
        self, brains: Sequence[Brain], say: Callable[[str, str], None] = lambda _name, _text: None
    ) -> None:
        self.brains = tuple(brains)
        self._say = say
        self._by_schema: set[str] = set()
        self._is_out = False

    @property
    def usual(self) -> Brain:
        """The one that is asked first."""
        return self.brains[0]

    def wear(self, persona: PersonaCard) -> None:
        """Be this person from now on."""
        for brain in self.brains:
            brain.profile.persona = persona

    def available(self) -> list[Brain]:
        """Return those that are not known to be away.

        Raises:
            EngineError: all are; the sentence is the usual one's.
        """
        found, first = [], None
        for brain in self.brains:
            try:
                brain.require()
            except EngineError as error:
                first = first or error
            else:
                found.append(brain)
        if not found and first is not None:
            raise first
        return found

    def failed(self, brain: Brain, error: EngineError) -> None:
        """A brain came to no word."""
        log.warning("brain.failed", brain=brain.name, detail=str(error))
        if len(self.brains) > 1:
            self._say(f"brain:{brain.name}", str(error))

    def answers(self, brain: Brain) -> bool:
        """A brain begins to speak; returns whether people are to be told that it is another."""
        self._say(f"brain:{brain.name}", "")
        was_out, self._is_out = self._is_out, brain is not self.usual
        return self._is_out and not was_out

    def mode_of(self, brain: Brain) -> ToolMode:
        """Return how a brain calls tools, as far as it is known."""
        return "schema" if brain.name in self._by_schema else brain.tool_mode

    def takes_no_tools(self, brain: Brain) -> None:
        """A brain's server takes no native calls; from now on it calls by schema."""
        log.warning("tools.by_schema", brain=brain.name, reason="it takes no native tool calls")
        self._by_schema.add(brain.name)
