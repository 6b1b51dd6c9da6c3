"""The router's wiring."""

from __future__ import annotations

from collections.abc import Callable

from antiphon_contracts import (
    ANNOUNCE,
    ANSWER,
    ASK,
    ASK_SITE,
    ASK_USER,
    DIALOGUE_CONTROL,
    HEALTH,
    HISTORY_APPEND,
    LLM_NOTICE,
    LLM_REQUEST,
    LLM_STREAM,
    MEMORY_FORGET,
    MEMORY_REMEMBER,
    PERSONA,
    PLAYBACK_STATUS,
    SAY,
    SAY_SITE,
    SITE_STATUS,
    STT_FINAL,
    STT_PARTIAL,
    TIMER_CHANGE,
    TIMER_EVENT,
    TIMER_QUERY,
    TIMER_SET,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    TTS_STATUS,
    WAKE_EVENT,
)
from antiphon_runtime import Wiring, Worker, listen, listen_raw, serve

from antiphon_router.arbitration import Arbiter, EnergyArbiter, FirstArbiter, Groups
from antiphon_router.engine import HassilGrammar
from antiphon_router.journal import Journal
from antiphon_router.language_model import LanguageModel
from antiphon_router.service import Dialogue
from antiphon_router.settings import RouterSettings

ARBITERS: dict[str, Callable[[], Arbiter]] = {"first": FirstArbiter, "energy": EnergyArbiter}
TURNS_AT_ONCE = 128
"""By each way in; a `stop` must not wait behind other sites' turns."""

REQUESTS_AT_ONCE = 16


def build(worker: Worker[RouterSettings]) -> Wiring:
    """Return the router's handlers."""
    settings = worker.settings
    llm = LanguageModel(
        worker.bus,
        timeout_s=settings.llm_timeout_s,
        use_rag=settings.use_rag,
        tools=settings.tools,
    )
    grammar = HassilGrammar(settings.language)
    journal = Journal(
        worker.runtime.data_dir / f"{worker.bus.source}-journal.sqlite",
        worker.health,
        keep_s=settings.apologise_within_s,
    )
    dialogue = Dialogue(
        worker.bus,
        grammar,
        llm,
        journal,
        settings.live_rules(),
        Groups(settings.hear_each_other, ARBITERS[settings.arbitration]),
        waiting_turns=settings.waiting_turns,
        language=settings.language,
    )
    listening, announcer = dialogue.listening, dialogue.announcer
    worker.health.engine = f"hassil {settings.language}"
    return Wiring(
        handlers=[
            *(
                listen_raw(
                    topic,
                    dialogue.on_ask,
                    concurrency=TURNS_AT_ONCE,
                    queue_limit=1024,
                    take_over=dialogue.take_over_ask,
                )
                for topic in (ASK, ASK_SITE)
            ),
            listen_raw(
                ANSWER,
                dialogue.on_answer,
                queue_limit=1024,
                overflow="drop_oldest",
                take_over=dialogue.take_over_answer,
            ),
            listen_raw(SAY, dialogue.on_say),
            listen_raw(SAY_SITE, dialogue.on_say),
            listen(
                STT_FINAL,
                dialogue.on_final,
                concurrency=TURNS_AT_ONCE,
                take_over=dialogue.take_over_final,
            ),
            listen(WAKE_EVENT, listening.on_wake, concurrency=TURNS_AT_ONCE),
            listen(STT_PARTIAL, listening.on_partial),
            listen(SITE_STATUS, listening.on_status, queue_limit=1024),
            listen(HEALTH, listening.on_health, queue_limit=1024),
            listen(DIALOGUE_CONTROL, dialogue.on_control),
            serve(ANNOUNCE, announcer.on_announce, concurrency=REQUESTS_AT_ONCE),
            serve(ASK_USER, announcer.on_ask_user, concurrency=REQUESTS_AT_ONCE),
            listen(LLM_STREAM, dialogue.on_delta, queue_limit=8192),
            listen(LLM_NOTICE, dialogue.on_notice),
            listen(PERSONA, dialogue.on_persona),
            listen(TTS_STATUS, dialogue.on_synthesis),
            listen(PLAYBACK_STATUS, dialogue.on_playback),
            listen(TOOLS_REGISTRY, dialogue.on_registry),
            listen(TIMER_EVENT, dialogue.on_timer_event, queue_limit=1024),
        ],
        requests=[
            LLM_REQUEST,
            TOOLS_CALL,
            MEMORY_REMEMBER,
            MEMORY_FORGET,
            HISTORY_APPEND,
            TIMER_SET,
            TIMER_CHANGE,
            TIMER_QUERY,
        ],
        lifespan=dialogue.lifespan,
    )
