"""Requests to the language model, and cancelling them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

import structlog
from antiphon_contracts import (
    LLM_STREAM,
    EngineError,
    LlmCancel,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Message,
)
from antiphon_runtime.bus import Bus
from antiphon_runtime.tasks import running

from antiphon_llm.service.context import ContextSource, conversation_of
from antiphon_llm.service.draft import Draft
from antiphon_llm.service.model import ChatModel, ToolsUnsupported
from antiphon_llm.service.profiles import Profile
from antiphon_llm.service.question import Question
from antiphon_llm.service.rounds import End, RoundRules, Rounds, ToolMode
from antiphon_llm.service.summaries import Summaries
from antiphon_llm.service.tools import ToolBelt

EARLY_CANCELS = 256

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
        require: raises EngineError if the model is known to be away.
        summarises: whether it sums up long conversations between turns.
    """

    model: ChatModel
    profile: Profile
    context_tokens: int
    require: Callable[[], None] = _nothing
    summarises: bool = True


class Replies:
    """Answers requests with the brain that it was given.

    Args:
        bus: pieces of replies are published on it.
        context: memories and history.
        tools: tools on offer.
        summaries: keeps out of the way of replies.
        rules: limits of a reply.
        tool_mode: `auto` is native, changing to schema for good when the server takes no tools,
            and none where the profile has no use for tools.
        timeout_s: longest time for a whole reply.
    """

    def __init__(
        self,
        bus: Bus,
        context: ContextSource,
        tools: ToolBelt,
        summaries: Summaries,
        rules: RoundRules,
        *,
        tool_mode: Literal["auto"] | ToolMode = "auto",
        timeout_s: float = 180.0,
    ) -> None:
        self._bus = bus
        self._context = context
        self._tools = tools
        self._summaries = summaries
        self._rules = rules
        self._tool_mode = tool_mode
        self._auto_mode: ToolMode = "native"
        self._timeout_s = timeout_s
        self._brain: Brain | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def begin(self, brain: Brain) -> None:
        """Answer with this brain from now on."""
        self._brain = brain
        self._auto_mode = "native"
        if brain.summarises and brain.profile.history_tokens:
            self._summaries.begin(brain.model, brain.profile.history_tokens, brain.context_tokens)

    async def on_request(self, message: Message[LlmRequest]) -> LlmResponse:
        """Return the reply; what goes wrong is a reply too, with a sentence for people."""
        with self._summaries.while_replying():
            return await self._reply(message)

    async def _reply(self, message: Message[LlmRequest]) -> LlmResponse:
        draft = Draft(message, partial(self._publish, message))
        outcome: list[LlmResponse] = []
        if message.id not in self._cancelled:
            async with running() as group:
                task = group.create_task(self._answer(draft, outcome), name=f"reply:{message.id}")
                self._running[message.id] = task
                try:
                    await asyncio.wait({task})
                finally:
                    del self._running[message.id]
        self._cancelled.pop(message.id, None)
        response = outcome[0] if outcome else draft.cancelled()
        log.info(
            "reply.done",
            finish_reason=response.finish_reason,
            chars=len(response.reply),
            tools=response.tools_used,
            notes=len(response.sources),
            **response.usage.model_dump(),
        )
        return response

    async def on_cancel(self, message: Message[LlmCancel]) -> None:
        """Stop a reply at once; a cancel that overtakes its request waits for it."""
        request_id = message.data.request_id
        task = self._running.get(request_id)
        if task is not None:
            task.cancel()
            return
        self._cancelled[request_id] = None
        while len(self._cancelled) > EARLY_CANCELS:
            self._cancelled.popitem(last=False)

    def _publish(self, request: Message[LlmRequest], seq: int, text: str) -> None:
        self._bus.publish(
            LLM_STREAM,
            LlmStream(seq=seq, delta=text),
            turn_id=request.turn_id,
            site_id=request.site_id,
            correlation_id=request.id,
        )

    async def _answer(self, draft: Draft, outcome: list[LlmResponse]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                end = await self._think(draft)
        except TimeoutError:
            sentence = f"The language model took longer than {self._timeout_s:g} seconds."
            outcome.append(draft.failed(sentence))
        except EngineError as error:
            log.warning("reply.failed", detail=str(error))
            outcome.append(draft.failed(str(error)))
        else:
            outcome.append(draft.finished(end))

    async def _think(self, draft: Draft) -> End:
        brain = self._brain
        if brain is None:
            msg = "The language model is still starting."
            raise EngineError(msg, retryable=True)
        brain.require()
        request = draft.request
        known = await self._context.gather(request, brain.profile)
        draft.note_context()
        self._summaries.note(conversation_of(request), request.site_id, known.history)
        question, prompt = brain.profile.prepare(
            Question(
                request.data.text,
                datetime.now().astimezone(),
                known.notes,
                known.history.messages,
                known.history.summary,
                request.data.system,
                request.data.params,
            ),
            brain.context_tokens,
        )
        draft.notes = question.notes
        specs = self._tools.specs() if request.data.tools else ()
        rounds = Rounds(
            brain.model,
            self._tools,
            draft,
            self._rules,
            partial(brain.profile.filters, question),
        )
        mode = self._mode(brain.profile)
        try:
            return await rounds.run(prompt, specs, mode)
        except ToolsUnsupported:
            if self._tool_mode != "auto" or draft.text:
                raise
        log.warning("tools.by_schema", reason="the server takes no native tool calls")
        self._auto_mode = "schema"
        return await rounds.run(prompt, specs, "schema")

    def _mode(self, profile: Profile) -> ToolMode:
        if self._tool_mode != "auto":
            return self._tool_mode
        return self._auto_mode if profile.calls_tools else "none"
