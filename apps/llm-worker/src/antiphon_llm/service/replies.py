"""Requests to the language model, and cancelling them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Literal

import structlog
from antiphon_contracts import (
    LLM_NOTICE,
    LLM_STREAM,
    EngineError,
    LlmCancel,
    LlmNotice,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Message,
    ToolSpec,
    Usage,
)
from antiphon_runtime.bus import Bus
from antiphon_runtime.tasks import running

from antiphon_llm.service.calling import Calling, CallRules
from antiphon_llm.service.chain import Brain, Chain
from antiphon_llm.service.context import ContextSource, Known, conversation_of
from antiphon_llm.service.draft import Draft
from antiphon_llm.service.model import Declined, Prompt, ToolsUnsupported
from antiphon_llm.service.orders import NOT_UNDERSTOOD, is_order
from antiphon_llm.service.outside import Suspicion
from antiphon_llm.service.phrases import CHECKING, OTHER_MODEL, in_language
from antiphon_llm.service.question import Question
from antiphon_llm.service.rounds import End, Rounds
from antiphon_llm.service.selection import in_budget, relevant, tokens_of_tools
from antiphon_llm.service.summaries import Summaries
from antiphon_llm.service.tools import ToolBelt
from antiphon_llm.service.warmth import Warmth

Kind = Literal["tool", "fallback"]

EARLY_CANCELS = 256
MARGIN_S = 0.5
"""The answer, or the sentence that there is none, must be there before its asker gives up."""

OWN_TOOLS = 6
"""So many tools a model of our own is asked to choose from."""

TOOLS_SHARE = 3  # of a context window, one part in so many at most

log = structlog.get_logger(__name__)


class SpokenError(EngineError):
    """A model failed when something of its answer was said already."""


class Replies:
    """Answers requests with the brains that it was given.

    Args:
        bus: pieces of replies are published on it.
        context: memories and history.
        tools: tools on offer.
        summaries: keeps out of the way of replies.
        warmth: keeps out of the way of replies.
        rules: limits of the calls of tools.
        timeout_s: longest time for a whole reply.
    """

    def __init__(
        self,
        bus: Bus,
        context: ContextSource,
        tools: ToolBelt,
        summaries: Summaries,
        warmth: Warmth,
        rules: CallRules,
        *,
        timeout_s: float = 180.0,
    ) -> None:
        self._bus = bus
        self._context = context
        self._tools = tools
        self._summaries = summaries
        self._warmth = warmth
        self._rules = rules
        self._timeout_s = timeout_s
        self._chain: Chain | None = None
        self._suspicion = Suspicion()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def begin(self, chain: Chain) -> None:
        """Answer with these brains from now on."""
        self._chain = chain
        brain = chain.usual
        if brain.summarises and brain.profile.history_tokens:
            self._summaries.begin(brain.model, brain.profile.history_tokens, brain.context_tokens)

    async def on_request(self, message: Message[LlmRequest]) -> LlmResponse:
        """Return the reply; what goes wrong is a reply too, with a sentence for people."""
        with self._summaries.while_replying(), self._warmth.while_replying():
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
        self._count(response.usage)
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

    def _notify(self, request: Message[LlmRequest], kind: Kind, text: str) -> None:
        self._bus.publish(
            LLM_NOTICE,
            LlmNotice(kind=kind, text=text),
            turn_id=request.turn_id,
            site_id=request.site_id,
            correlation_id=request.id,
        )

    def _count(self, usage: Usage) -> None:
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            self._bus.counters[f"llm_{name}"] += getattr(usage, name)

    async def _answer(self, draft: Draft, outcome: list[LlmResponse]) -> None:
        timeout_s = self._timeout_s
        if draft.request.ttl_s is not None:
            timeout_s = min(timeout_s, max(draft.request.ttl_s - MARGIN_S, draft.request.ttl_s / 2))
        try:
            async with asyncio.timeout(timeout_s):
                end = await self._think(draft)
        except TimeoutError:
            sentence = f"The language model took longer than {timeout_s:g} seconds."
            outcome.append(draft.failed(sentence))
        except EngineError as error:
            log.warning("reply.failed", detail=str(error))
            outcome.append(draft.failed(str(error)))
        else:
            outcome.append(draft.finished(end))

    async def _think(self, draft: Draft) -> End:
        chain = self._chain
        if chain is None:
            msg = "The language model is still starting."
            raise EngineError(msg, retryable=True)
        brains = chain.available()
        request = draft.request
        known = await self._context.gather(request, [brain.profile for brain in brains])
        draft.note_context()
        conversation = conversation_of(request)
        self._summaries.note(conversation, request.site_id, known.history)
        language = chain.usual.profile.persona.language
        checking = partial(self._notify, request, "tool", in_language(CHECKING, language))
        remembers = bool(known.history.messages or known.history.summary)
        suspected = remembers and self._suspicion.holds(conversation)
        calling = Calling(self._tools, draft, self._rules, checking, suspected=suspected)
        try:
            return await self._first_answer(chain, brains, draft, known, calling)
        finally:
            if calling.tainted:
                self._suspicion.note(conversation)

    async def _first_answer(
        self,
        chain: Chain,
        brains: Sequence[Brain],
        draft: Draft,
        known: Known,
        calling: Calling,
    ) -> End:
        """Have the first brain answer that can."""
        failure: EngineError | None = None
        for brain in brains:
            try:
                return await self._with(chain, brain, draft, known, calling)
            except SpokenError as error:
                raise EngineError(str(error), retryable=error.retryable) from error
            except Declined:
                raise
            except EngineError as error:
                chain.failed(brain, error)
                failure = failure or error
        raise failure or EngineError("There is no language model.")

    async def _with(
        self, chain: Chain, brain: Brain, draft: Draft, known: Known, calling: Calling
    ) -> End:
        """Have one brain answer.

        Raises:
            SpokenError: it failed after its first word: no other can take over.
            EngineError: it failed before.
        """
        specs = self._shown(brain, calling, draft.request.data.text)
        known = known.for_profile(brain.profile)
        question, prompt = self._prompt(brain, draft.request, known, specs)
        draft.notes, draft.model = question.notes, brain.model.name
        calling.tainted = calling.tainted or any(note.is_from_outside for note in question.notes)
        draft.before_first = partial(self._announce, chain, brain, draft)
        rounds = Rounds(
            brain.model,
            calling,
            draft,
            partial(brain.profile.filters, question),
            thinking_s=brain.thinking_s,
            speaks_results=brain.is_own,
        )
        mode = chain.mode_of(brain)
        if mode == "none" and is_order(draft.request.data.text):
            draft.add(NOT_UNDERSTOOD)
            return "stop"
        try:
            try:
                return await rounds.run(prompt, specs, mode)
            except ToolsUnsupported:
                if not brain.adapts or rounds.has_spoken:
                    raise
            chain.takes_no_tools(brain)
            return await rounds.run(prompt, specs, "schema")
        except EngineError as error:
            if rounds.has_spoken:
                raise SpokenError(str(error), retryable=error.retryable) from error
            raise

    def _announce(self, chain: Chain, brain: Brain, draft: Draft) -> None:
        """Tell people, once for each outage, that it is not the usual one who speaks."""
        if chain.answers(brain):
            self._bus.counters["llm_fallbacks"] += 1
            language = brain.profile.persona.language
            self._notify(draft.request, "fallback", in_language(OTHER_MODEL, language))

    def _shown(self, brain: Brain, calling: Calling, text: str) -> tuple[ToolSpec, ...]:
        own = OWN_TOOLS if brain.is_own else 0
        limit = self._rules.shown or brain.profile.tools_shown or own
        chosen = relevant(calling.specs, text, limit)
        return in_budget(chosen, text, brain.context_tokens // TOOLS_SHARE)

    def _prompt(
        self,
        brain: Brain,
        request: Message[LlmRequest],
        known: Known,
        specs: tuple[ToolSpec, ...],
    ) -> tuple[Question, Prompt]:
        question = Question(
            request.data.text,
            datetime.now().astimezone(),
            known.notes,
            known.history.messages,
            known.history.summary,
            request.data.system,
            request.data.params,
        )
        offered = specs if brain.tool_mode != "none" else ()
        return brain.profile.prepare(question, brain.context_tokens - tokens_of_tools(offered))
