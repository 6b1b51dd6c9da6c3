"""The LLM worker on one screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from antiphon_contracts import (
    HISTORY_QUERY,
    HISTORY_SUMMARISE,
    LLM_CANCEL,
    LLM_REQUEST,
    MEMORY_QUERY,
    TOOLS_CALL,
    TOOLS_REGISTRY,
)
from antiphon_models import ModelStore, default_root
from antiphon_runtime.handlers import listen, serve
from antiphon_runtime.tasks import running
from antiphon_runtime.upstream import Upstream
from antiphon_runtime.worker import Wiring, Worker

from antiphon_llm.engine import open_brain
from antiphon_llm.service import (
    Brain,
    ChatModel,
    ContextSource,
    GuardedModel,
    Replies,
    RoundRules,
    Summaries,
    ToolBelt,
)
from antiphon_llm.settings import LlmSettings

QUEUE_LIMIT = 16

OpenBrain = Callable[[LlmSettings, ModelStore], AbstractAsyncContextManager[Brain]]


def build(worker: Worker[LlmSettings], open_brain: OpenBrain = open_brain) -> Wiring:
    """Return what the worker is made of."""
    settings = worker.settings
    tools = ToolBelt(
        worker.bus,
        timeout_s=settings.tool_timeout_s,
        result_chars=settings.tool_result_chars,
    )
    context = ContextSource(worker.bus, timeout_s=settings.context_timeout_s)
    summaries = Summaries(
        worker.bus,
        idle_s=settings.history_summary_idle_s,
        timeout_s=settings.reply_timeout_s,
    )
    replies = Replies(
        worker.bus,
        context,
        tools,
        summaries,
        RoundRules(settings.tool_rounds),
        tool_mode=settings.tool_mode,
        timeout_s=settings.reply_timeout_s,
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        models = ModelStore(default_root(worker.runtime.models_dir))
        async with open_brain(settings, models) as brain:
            upstream = _upstream(worker, brain.model)
            async with upstream.open(), running(summaries=summaries.run()):
                worker.health.engine = f"{brain.model.name}, {brain.profile.name} prompt"
                guarded = GuardedModel(brain.model, upstream)
                replies.begin(replace(brain, model=guarded, require=upstream.require))
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
            listen(TOOLS_REGISTRY, tools.on_registry),
        ],
        requests=[MEMORY_QUERY, HISTORY_QUERY, HISTORY_SUMMARISE, TOOLS_CALL],
        lifespan=lifespan,
    )


def _upstream(worker: Worker[LlmSettings], model: ChatModel) -> Upstream:
    return Upstream.before(
        model,
        "model",
        worker.health,
        called=f"The language model {model.name}",
        retry_s=worker.runtime.server_retry_s,
        retry_delay_s=worker.settings.retry_delay_s,
    )
