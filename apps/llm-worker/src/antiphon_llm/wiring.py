"""The LLM worker on one screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

from antiphon_contracts import (
    HISTORY_QUERY,
    HISTORY_SUMMARISE,
    LLM_CANCEL,
    LLM_REQUEST,
    MEMORY_QUERY,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    Message,
    ToolRegistry,
)
from antiphon_models import ModelStore, default_root
from antiphon_runtime.handlers import listen, serve
from antiphon_runtime.health import HealthReporter
from antiphon_runtime.tasks import running
from antiphon_runtime.upstream import Upstream
from antiphon_runtime.worker import Wiring, Worker

from antiphon_llm.engine import open_brains
from antiphon_llm.persona import Wardrobe
from antiphon_llm.service import (
    Brain,
    CallRules,
    Chain,
    ContextSource,
    GuardedModel,
    Replies,
    Summaries,
    ToolBelt,
    Warmth,
)
from antiphon_llm.settings import LlmSettings

QUEUE_LIMIT = 16

OpenBrains = Callable[[LlmSettings, ModelStore], AbstractAsyncContextManager[list[Brain]]]


def build(worker: Worker[LlmSettings], open_brains: OpenBrains = open_brains) -> Wiring:
    """Return what the worker is made of."""
    settings, bus, health = worker.settings, worker.bus, worker.health
    tools = ToolBelt(
        bus, timeout_s=settings.tool_timeout_s, result_chars=settings.tool_result_chars
    )
    summaries = Summaries(
        bus, idle_s=settings.history_summary_idle_s, timeout_s=settings.reply_timeout_s
    )
    warmth = Warmth(tools.specs)
    context = ContextSource(bus, timeout_s=settings.context_timeout_s)
    rules = _rules(settings)
    replies = Replies(
        bus, context, tools, summaries, warmth, rules, timeout_s=settings.reply_timeout_s
    )
    wardrobe = Wardrobe(bus, health, settings.persona)

    async def on_registry(message: Message[ToolRegistry]) -> None:
        await tools.on_registry(message)
        warmth.touch()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        models = ModelStore(default_root(worker.runtime.models_dir))
        async with open_brains(settings, models) as brains, AsyncExitStack() as stack:
            guarded = [await _guarded(stack, worker, brain, len(brains)) for brain in brains]
            chain = Chain(guarded, _teller(health))
            await stack.enter_async_context(wardrobe.open(chain, warmth))
            if chain.usual.is_own:
                await warmth.prefill(chain.usual)
            background = running(summaries=summaries.run(), warmth=warmth.run(chain))
            await stack.enter_async_context(background)
            health.engine = _engine(chain)
            replies.begin(chain)
            warmth.touch()
            yield

    return Wiring(
        handlers=[
            serve(
                LLM_REQUEST,
                replies.on_request,
                concurrency=settings.concurrency,
                queue_limit=QUEUE_LIMIT,
            ),
            listen(LLM_CANCEL, replies.on_cancel),
            listen(TOOLS_REGISTRY, on_registry),
        ],
        requests=[MEMORY_QUERY, HISTORY_QUERY, HISTORY_SUMMARISE, TOOLS_CALL],
        lifespan=lifespan,
    )


def _rules(settings: LlmSettings) -> CallRules:
    return CallRules(
        settings.tool_rounds,
        settings.tool_total_s,
        settings.tool_notice_s,
        settings.tools_limit,
    )


async def _guarded(
    stack: AsyncExitStack, worker: Worker[LlmSettings], brain: Brain, count: int
) -> Brain:
    """Return the brain behind a breaker of its own."""
    upstream = Upstream.before(
        brain.model,
        "model" if count == 1 else f"model:{brain.name}",
        worker.health,
        called=f"The language model {brain.model.name}",
        retry_s=worker.runtime.server_retry_s,
        retry_delay_s=worker.settings.retry_delay_s,
    )
    await stack.enter_async_context(upstream.open())
    model = GuardedModel(brain.model, upstream, brain.pace)
    return replace(brain, model=model, source=brain.model, require=upstream.require)


def _teller(health: HealthReporter) -> Callable[[str, str], None]:
    def tell(name: str, sentence: str) -> None:
        if sentence:
            health.note(name, sentence)
        else:
            health.clear_note(name)

    return tell


def _engine(chain: Chain) -> str:
    usual = f"{chain.usual.model.name}, {chain.usual.profile.name} prompt"
    return "; else ".join([usual, *(brain.model.name for brain in chain.brains[1:])])
