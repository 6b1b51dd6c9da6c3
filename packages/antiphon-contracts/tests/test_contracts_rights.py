"""Rights: the whole table, and the names by which somebody is bound."""

from __future__ import annotations

import pytest
from antiphon_contracts import (
    EVERYONE,
    PEOPLE,
    WORKERS,
    ContractError,
    Flow,
    Rights,
    Role,
    all_topics,
    rights,
)

pytestmark = pytest.mark.unit

SAID_BY_WORKERS = "dead/{}/+"
HEARD_BY_WORKERS = (
    "control/all control/{0} health/+ dead/all/+ dead/{0}/+ dead/all/+/retry dead/{0}/+/retry"
)

# Written out by hand, so that a topic's flow cannot change unseen: role, publishes, takes.
TABLE = {
    Role.SATELLITE: (
        (
            "audio/hall/in audio/hall/level site/hall/status audio/hall/utterance/+ "
            "playback/hall/status capture/hall/status dialogue/hall/control health/w-1"
        ),
        (
            "audio/hall/out/+ playback/hall/control capture/hall/control wake/event/hall "
            "dialogue/hall/state timer/event/hall"
        ),
    ),
    Role.WAKE: ("wake/event/+ health/w-1", "audio/+/in site/+/status wake/+/control"),
    Role.STT: (
        "stt/partial stt/final health/w-1",
        "audio/+/in audio/+/utterance/+ site/+/status stt/control",
    ),
    Role.LLM: (
        (
            "llm/stream llm/response llm/notice persona tools/call tools/cancel memory/query "
            "history/query history/summarise health/w-1"
        ),
        (
            "llm/request llm/cancel tools/result tools/registry memory/results history/results "
            "history/done"
        ),
    ),
    Role.TOOLS: (
        (
            "tools/result tools/registry tools/logged memory/query memory/remember memory/forget "
            "knowledge/search timer/set timer/change timer/query announce user/ask health/w-1"
        ),
        (
            "tools/call tools/cancel tools/log knowledge/results memory/results memory/done "
            "timer/done timer/list announced user/answer"
        ),
    ),
    Role.ROUTER: (
        (
            "playback/+/control stt/control wake/+/control llm/request llm/cancel tools/call "
            "tools/cancel timer/set timer/change timer/query "
            "memory/query memory/remember memory/forget history/append tts/say "
            "tts/prepare tts/cancel dialogue/+/state announced user/answer answer/+ health/w-1"
        ),
        (
            "playback/+/status site/+/status wake/event/+ stt/partial stt/final llm/stream "
            "llm/response llm/notice persona tools/result tools/registry timer/done timer/list "
            "timer/event/+ memory/results memory/done history/done tts/status "
            "dialogue/+/control announce user/ask say say/+ ask ask/+ answer/+"
        ),
    ),
    Role.MEMORY: (
        (
            "memory/results memory/page memory/done knowledge/done knowledge/progress "
            "knowledge/documents knowledge/results history/done history/results history/sessions "
            "history/page history/found history/deleted health/w-1"
        ),
        (
            "memory/query memory/list memory/import memory/remember memory/forget "
            "knowledge/add knowledge/remove knowledge/refresh knowledge/cancel knowledge/list "
            "knowledge/search history/append history/query history/summarise history/list "
            "history/show history/search history/delete"
        ),
    ),
    Role.TTS: ("audio/+/out/+ tts/status health/w-1", "tts/say tts/prepare tts/cancel"),
    Role.TIMER: (
        (
            "timer/done timer/list timer/event/+ audio/+/out/+ playback/+/control announce "
            "health/w-1"
        ),
        "timer/set timer/change timer/query playback/+/status dialogue/+/state announced",
    ),
    Role.OPERATOR: (
        (
            "audio/+/in site/+/status audio/+/utterance/+ playback/+/control playback/+/status "
            "capture/+/control wake/+/control memory/query memory/list memory/import "
            "memory/remember memory/forget knowledge/add knowledge/remove knowledge/refresh "
            "knowledge/cancel knowledge/list knowledge/search "
            "tools/call tools/cancel tools/log timer/set timer/change timer/query "
            "history/list history/show history/search history/delete tts/say dialogue/+/control "
            "announce user/ask say say/+ ask ask/+ control/+ dead/+/+ dead/+/+/retry"
        ),
        (
            "audio/+/in audio/+/level site/+/status audio/+/out/+ playback/+/control "
            "playback/+/status capture/+/status wake/event/+ stt/partial stt/final memory/done "
            "knowledge/done knowledge/progress knowledge/documents knowledge/results "
            "memory/page memory/results history/sessions history/page history/found "
            "tools/result tools/registry tools/logged timer/done timer/list timer/event/+ "
            "llm/notice persona "
            "history/deleted tts/status dialogue/+/state announced user/answer answer/+ health/+ "
            "dead/+/+"
        ),
    ),
    Role.CLIENT: (
        (
            "audio/+/utterance/+ capture/+/control dialogue/+/control announce say say/+ ask ask/+ "
            "timer/set timer/change timer/query"
        ),
        (
            "tools/registry timer/done timer/list timer/event/+ llm/notice persona "
            "audio/+/level site/+/status audio/+/out/+ playback/+/status capture/+/status "
            "wake/event/+ tts/status dialogue/+/state announced answer/+ health/+"
        ),
    ),
    Role.METRICS: ("", "stt/final llm/response tts/status answer/+ health/+"),
}


@pytest.mark.parametrize("role", EVERYONE, ids=lambda role: role.words)
def test_a_role_may_do_this_and_nothing_else(role: Role) -> None:
    publish, take = TABLE[role]
    if role in WORKERS:
        publish = f"{publish} {SAID_BY_WORKERS.format('w-1')}"
        take = f"{take} {HEARD_BY_WORKERS.format('w-1')}"
    found = rights(role, worker="w-1", site="hall")
    assert sorted(found.publish) == sorted(publish.split())
    assert sorted(found.take) == sorted(take.split())
    assert isinstance(found, Rights)


def test_every_topic_is_published_and_taken_by_somebody() -> None:
    everybody = [rights(role, worker="w", site="s") for role in EVERYONE]
    published = {name for each in everybody for name in each.publish}
    taken = {name for each in everybody for name in each.take}
    for topic in all_topics().values():
        names = {"site": "s", "worker": "w", "utterance": "{u}", "letter": "{l}"}
        own = topic.pattern.format(**names).replace("{u}", "+").replace("{l}", "+")
        assert {topic.filter, own} & published, topic.pattern
        assert {topic.filter, own} & taken, topic.pattern


def test_people_fill_in_any_site_and_own_no_worker_s_name() -> None:
    for role in PEOPLE:
        assert rights(role) == rights(role, worker="w", site="hall")


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "../a", "a\n", "all"])
def test_a_worker_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ContractError):
        rights(Role.STT, worker=name)


@pytest.mark.parametrize("site", ["", "+", "#", "a/b", "../a", "a\n"])
def test_a_satellite_needs_one_site(site: str) -> None:
    with pytest.raises(ContractError):
        rights(Role.SATELLITE, worker="satellite-1", site=site)


def test_a_flow_reads_as_a_sentence_part() -> None:
    assert str(Flow(Role.ROUTER | Role.LLM, Role.TOOLS)) == "llm, router -> tools"
    assert str(Flow(WORKERS, EVERYONE)) == "every worker -> everyone"
    assert str(Flow()) == " -> "
