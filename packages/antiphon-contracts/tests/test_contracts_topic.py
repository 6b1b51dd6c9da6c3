"""Typed topics: paths, filters, matching, and what may stand in a level."""

from __future__ import annotations

import pytest
from antiphon_contracts import (
    ANSWER,
    ASK,
    ASK_SITE,
    AUDIO_OUT,
    CAPTURE_CONTROL,
    HEALTH,
    MEMORY_QUERY,
    MEMORY_RESULTS,
    STT_FINAL,
    CaptureControl,
    ContractError,
    Flow,
    MemoryQuery,
    RawTopic,
    all_topics,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

HOSTILE = {
    "empty": "",
    "slash": "/",
    "one level up": "../kitchen",
    "two levels": "a/b",
    "plus": "+",
    "hash": "#",
    "plus within": "a+b",
    "hash within": "a#",
    "NUL": "\x00",
    "NUL within": "a\x00b",
    "line feed": "a\n",
    "delete": "a\x7f",
    "C1 control": "a\x85",
    "noncharacter": "a\ufdd0",
    "last of its plane": "a\uffff",
    "last of a higher plane": "a\U0001fffe",
    "half a surrogate pair": "a\udcff",
    "slot": "{utterance}",
    "open brace": "a{",
    "too long": "x" * 129,
}

FRIENDLY = ("kitchen", "küche", "living room", "台所", "👩‍🍳", "$x", ".", "a-b_c.d", "x" * 128)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_level_is_never_published_to(value: str) -> None:
    with pytest.raises(ContractError, match=r"answer/\{site\}: site must be one topic level"):
        ANSWER.at(site=value)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_level_is_never_subscribed_to(value: str) -> None:
    with pytest.raises(ContractError, match=r"answer/\{site\}: site must be one topic level"):
        ANSWER.narrowed(site=value)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_level_is_not_matched(value: str) -> None:
    assert ANSWER.match(f"answer/{value}") is None


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_the_error_does_not_quote_a_hostile_level(value: str) -> None:
    with pytest.raises(ContractError) as caught:
        AUDIO_OUT.at(site=f"canary{value}" if value else "", utterance=f"canary{value}/")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", FRIENDLY)
def test_a_friendly_level_goes_and_comes_back(value: str) -> None:
    assert ANSWER.match(ANSWER.at(site=value)) == {"site": value}
    assert ANSWER.narrowed(site=value).at() == f"answer/{value}"
    assert ANSWER.narrowed(site=value).match(f"answer/{value}") == {}


def test_a_missing_level_is_said() -> None:
    with pytest.raises(ContractError, match="utterance must be"):
        AUDIO_OUT.at(site="kitchen")
    with pytest.raises(ContractError, match="site must be"):
        ASK_SITE.at()
    with pytest.raises(ContractError, match="worker must be"):
        HEALTH.at(site="kitchen")


def test_fixing_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(ContractError, match=r"answer/\{site\} has no level 'worker' to fix"):
        ANSWER.narrowed(worker="stt-1")
    with pytest.raises(ContractError, match="ask has no level 'site' to fix"):
        ASK.narrowed(site="kitchen")


def test_paths_and_filters() -> None:
    assert AUDIO_OUT.slots == ("site", "utterance")
    assert AUDIO_OUT.filter == "audio/+/out/+"
    assert AUDIO_OUT.at(site="hall", utterance="u1") == "audio/hall/out/u1"
    assert AUDIO_OUT.match("audio/hall/out/u1") == {"site": "hall", "utterance": "u1"}
    assert STT_FINAL.filter == STT_FINAL.at() == "stt/final"
    assert STT_FINAL.match("stt/final") == {}


@pytest.mark.parametrize(
    "path",
    ["audio/hall/out", "audio/hall/out/", "audio//out/u1", "audio/hall/out/u1/x", "x/audio/h/out/u",
     "audio/hall/in/u1", "AUDIO/hall/out/u1", ""],
)  # fmt: skip
def test_other_paths_do_not_match(path: str) -> None:
    assert AUDIO_OUT.match(path) is None


def test_dots_in_a_pattern_stand_for_themselves() -> None:
    topic = RawTopic("a.b/{x}", 0, Flow(), "")
    assert topic.match("a.b/1") == {"x": "1"}
    assert topic.match("aXb/1") is None


def test_a_narrowed_topic_keeps_all_but_its_pattern() -> None:
    narrowed = CAPTURE_CONTROL.narrowed(site="hall")
    assert (narrowed.pattern, narrowed.filter) == ("capture/hall/control", "capture/hall/control")
    assert narrowed.model is CaptureControl
    assert (narrowed.type, narrowed.qos) == (CAPTURE_CONTROL.type, CAPTURE_CONTROL.qos)
    assert AUDIO_OUT.narrowed(site="hall").filter == "audio/hall/out/+"
    assert AUDIO_OUT.narrowed(site="hall").at(utterance="u1") == "audio/hall/out/u1"
    assert AUDIO_OUT.filter == "audio/+/out/+"


def test_a_request_knows_its_reply_and_who_answers() -> None:
    assert MEMORY_QUERY.reply is MEMORY_RESULTS
    assert MEMORY_QUERY.receiver == "memory"


def test_a_message_of_a_topic_has_its_type_and_a_fresh_id() -> None:
    first, second = (MEMORY_QUERY.message(MemoryQuery(text="x"), site_id="hall") for _ in range(2))
    assert first.type == "memory.query/1"
    assert first.site_id == "hall"
    assert first.id != second.id


def test_no_path_belongs_to_two_topics() -> None:
    topics = all_topics().values()
    for topic in topics:
        path = topic.at(site="s", utterance="u", worker="w", letter="l")
        assert [t.pattern for t in topics if t.match(path) is not None] == [topic.pattern]


@given(st.text(max_size=140))
def test_what_may_be_published_to_is_what_is_matched(value: str) -> None:
    try:
        path = ANSWER.at(site=value)
    except ContractError:
        assert ANSWER.match(f"answer/{value}") is None
    else:
        assert ANSWER.match(path) == {"site": value}
        path.encode()
