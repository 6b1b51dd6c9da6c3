"""What is asked of the history, on a store in memory and a clock of one's own."""

from __future__ import annotations

from typing import TypeVar

import pytest
from antiphon_contracts import (
    HistoryAppend,
    HistoryDelete,
    HistoryList,
    HistoryQuery,
    HistoryResults,
    HistorySearch,
    HistoryShow,
    HistorySummarise,
    Message,
    Payload,
)
from antiphon_memory.conversations import Turn
from antiphon_memory.history import History, Retention, snippet
from antiphon_memory.testing import ConversationsInMemory

pytestmark = pytest.mark.unit

NOON = 1_000_000.0

P = TypeVar("P", bound=Payload)


class Talk:
    """A history, and short ways to use it."""

    def __init__(self, *, idle_s: float = 1800.0, kept_s: float = 30 * 86_400.0) -> None:
        self.now = NOON
        self.store = ConversationsInMemory()
        self.history = History(self.store, Retention(idle_s, kept_s), now=lambda: self.now)

    async def say(self, text: str, site: str = "hall", **more: object) -> None:
        said = HistoryAppend.model_validate({"role": "user", "text": text, **more})
        assert (await self.history.on_append(message(said, site))).error is None

    async def read(self, site: str = "hall", **more: object) -> HistoryResults:
        query = HistoryQuery.model_validate(more)
        return await self.history.on_query(message(query, site))

    async def texts(self, site: str = "hall", **more: object) -> list[str]:
        return [one.text for one in (await self.read(site, **more)).messages]

    async def ids(self, **more: object) -> list[str]:
        asked = HistoryList.model_validate(more)
        return [one.id for one in (await self.history.on_list(message(asked))).sessions]


def message(data: P, site: str = "hall") -> Message[P]:
    return Message(data, "x/1", site_id=site)


@pytest.fixture
def talk() -> Talk:
    return Talk()


# What the language model reads


async def test_a_conversation_is_a_sites_or_a_persons(talk: Talk) -> None:
    await talk.say("at the site")
    await talk.say("hers", session_id="anna")
    await talk.say("elsewhere", site="attic")
    assert await talk.texts() == ["at the site"]
    assert await talk.texts(site="attic", session_id="anna") == ["hers"]
    found = await talk.history.on_list(message(HistoryList(conversation="anna")))
    assert [(one.conversation, one.site, one.first_words) for one in found.sessions] == [
        ("anna", "hall", "hers")
    ]


async def test_after_a_silence_the_model_is_told_nothing(talk: Talk) -> None:
    await talk.say("a")
    talk.now += 1800.0
    await talk.say("b")
    assert await talk.texts() == ["a", "b"]
    talk.now += 1800.1
    assert await talk.read() == HistoryResults()
    await talk.say("c")
    assert await talk.texts() == ["c"]
    assert len(await talk.ids()) == 2


async def test_a_session_lasts_no_longer_than_it_is_kept() -> None:
    talk = Talk(idle_s=1800.0, kept_s=60.0)
    await talk.say("a")
    talk.now += 61.0
    assert await talk.texts() == []


async def test_someone_who_is_never_silent_begins_anew_after_half_a_day(talk: Talk) -> None:
    for _ in range(49):
        await talk.say("a")
        talk.now += 900.0
    await talk.say("b")
    assert await talk.texts() == ["b"]


async def test_the_newest_stay_whole_within_the_budget(talk: Talk) -> None:
    for number in range(9):
        await talk.say(f"{number} twelve chars" + " " * 2)  # 4 tokens each
    results = await talk.read(max_tokens=13)
    assert [one.text[0] for one in results.messages] == ["6", "7", "8"]
    assert (results.first, results.covered, results.summary) == (6, 0, "")
    assert results.session == (await talk.ids())[0]
    assert await talk.texts(max_tokens=1) == []
    talk.now += 60.0
    await talk.say("new")
    assert await talk.texts(max_age_s=30.0) == ["new"]


@pytest.mark.parametrize("count", [63, 64, 65, 400])
async def test_many_short_messages_come_all(talk: Talk, count: int) -> None:
    for number in range(count):
        await talk.say(f"{number}")
    results = await talk.read()
    assert [one.text for one in results.messages] == [str(number) for number in range(count)]
    assert results.first == 0


async def test_a_summary_stands_for_what_it_covers_and_costs_its_tokens(talk: Talk) -> None:
    for number in range(6):
        await talk.say(f"{number} twelve chars" + " " * 2)
    session = (await talk.read()).session
    summary = HistorySummarise(session=str(session), summary="They counted.", covered=3)
    assert (await talk.history.on_summarise(message(summary))).error is None
    results = await talk.read(max_tokens=16)
    assert results.summary == "They counted."  # 4 tokens; 12 are left
    assert [one.text[0] for one in results.messages] == ["3", "4", "5"]
    assert (results.first, results.covered) == (3, 3)
    results = await talk.read(max_tokens=7)  # the summary would take more than half
    assert results.summary == ""
    assert [one.text[0] for one in results.messages] == ["5"]
    assert (results.first, results.covered) == (5, 3)
    again = await talk.history.on_summarise(message(summary))
    assert again.error == "That session is gone, or has a newer summary."


async def test_an_interrupted_turn_is_marked(talk: Talk) -> None:
    await talk.say("It is", role="assistant", interrupted=True)
    (spoken,) = (await talk.read()).messages
    assert (spoken.role, spoken.interrupted, spoken.ts) == ("assistant", True, NOON)


# What people ask


async def test_sessions_are_listed_by_pages_the_last_first(talk: Talk) -> None:
    for number in range(5):
        await talk.say(f"t{number}")
        talk.now += 4000.0
    page = await talk.history.on_list(message(HistoryList(limit=2)))
    assert [one.first_words for one in page.sessions] == ["t4", "t3"]
    assert page.more
    page = await talk.history.on_list(message(HistoryList(limit=2, skip=4)))
    assert [one.first_words for one in page.sessions] == ["t0"]
    assert not page.more
    assert page.sessions[0].begin == page.sessions[0].end == NOON


async def test_a_session_is_shown_by_pages(talk: Talk) -> None:
    for number in range(5):
        await talk.say(f"t{number}")
    await talk.say("other", site="attic")
    page = await talk.history.on_show(message(HistoryShow(conversation="hall", skip=1, limit=2)))
    assert page.session is not None
    assert (page.session.count, page.more) == (5, True)
    assert [one.text for one in page.messages] == ["t1", "t2"]
    same = await talk.history.on_show(message(HistoryShow(session=page.session.id, skip=3)))
    assert [one.text for one in same.messages] == ["t3", "t4"]
    assert not same.more
    newest = await talk.history.on_show(message(HistoryShow()))
    assert [one.text for one in newest.messages] == ["other"]
    for asked in (HistoryShow(session="nobody's"), HistoryShow(conversation="nobody")):
        assert (await talk.history.on_show(message(asked))).error == "There is no such session."


async def test_a_page_of_long_messages_stays_small(talk: Talk) -> None:
    for _ in range(10):
        await talk.say("x" * 100_000)
    page = await talk.history.on_show(message(HistoryShow()))
    assert len(page.messages) == 4
    assert page.more


async def test_search_takes_all_words_and_shows_the_place(talk: Talk) -> None:
    await talk.say("word " * 100 + "the canary is in the attic " + "word " * 100)
    talk.now += 1.0
    await talk.say("Canary! Attic?")
    await talk.say("a canary")
    found = await talk.history.on_search(message(HistorySearch(text="attic, CANARY")))
    first, second = found.matches
    assert first.text == "Canary! Attic?"
    assert "canary is in the attic" in second.text
    assert len(second.text) < 220
    assert first.session == (await talk.ids())[0]
    page = await talk.history.on_search(message(HistorySearch(text="canary", limit=1)))
    assert page.more
    nothing = await talk.history.on_search(message(HistorySearch(text=" ?! ")))
    assert nothing.error == "There is no word to search for."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" two\nlines ", "two lines"),
        ("a" * 300, "a" * 200 + " …"),
        ("key " + "b " * 200, ("key " + "b " * 200)[:199] + " …"),
        ("c " * 200 + "key", "… " + "c " * 25 + "key"),
    ],
)
def test_a_snippet_is_cut_at_words(text: str, shown: str) -> None:
    assert snippet(text, ["key"]) == shown


async def test_sessions_are_deleted_by_name_by_conversation_or_all(talk: Talk) -> None:
    for site in ("hall", "attic", "cellar", "garage"):
        await talk.say("x", site=site)
    hall = (await talk.ids(conversation="hall"))[0]
    asked = HistoryDelete(sessions=(hall, hall, "nobody's"))
    done = await talk.history.on_delete(message(asked))
    assert (done.sessions, done.missing) == (1, ("nobody's",))
    done = await talk.history.on_delete(message(HistoryDelete(conversation="attic")))
    assert done.sessions == 1
    assert len(await talk.ids()) == 2
    done = await talk.history.on_delete(message(HistoryDelete(everything=True)))
    assert done.sessions == 2
    assert await talk.ids() == []


@pytest.mark.parametrize(
    "asked", [HistoryDelete(), HistoryDelete(everything=True, conversation="hall")]
)
async def test_what_to_delete_has_to_be_said_in_one_way(talk: Talk, asked: HistoryDelete) -> None:
    await talk.say("x")
    assert (await talk.history.on_delete(message(asked))).error
    assert len(await talk.ids()) == 1


async def test_a_repeated_delete_deletes_nothing_that_came_later(talk: Talk) -> None:
    await talk.say("x")
    order = message(HistoryDelete(everything=True))
    await talk.history.on_delete(order)
    await talk.say("y")
    assert (await talk.history.on_delete(order)).sessions == 1
    assert await talk.texts() == ["y"]


async def test_all_sessions_are_deleted_however_many(talk: Talk) -> None:
    for number in range(1203):
        turn = Turn(f"c{number}", "user", "x", interrupted=False, ts=NOON)
        await talk.store.append(f"m{number}", turn, ended_before=0, begun_before=0)
    done = await talk.history.on_delete(message(HistoryDelete(everything=True)))
    assert done.sessions == 1203


async def test_old_sessions_are_pruned() -> None:
    talk = Talk(kept_s=7 * 86_400.0)
    await talk.history.prune()
    assert talk.store.pruned == [(NOON - 7 * 86_400.0, NOON - 86_400.0)]
