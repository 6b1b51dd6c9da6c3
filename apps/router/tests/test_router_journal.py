"""Turns that were open when the router died: apologised for once, and nothing is done twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    PLAYBACK_CONTROL,
    STT_FINAL,
    TTS_CANCEL,
    Message,
    PlainAnswer,
    PlainAsk,
    SttFinal,
    encode,
)
from antiphon_router import journal as journal_module
from antiphon_router import journal_file, phrases, recovery
from antiphon_router.answers import digest
from antiphon_router.journal import Journal, Notes
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import home
from antiphon_runtime import PublishOptions
from antiphon_runtime.testing import MemoryTransport

pytestmark = pytest.mark.unit


class Noted(dict[str, str]):
    """Notes, by name."""

    def note(self, name: str, sentence: str) -> None:
        self[name] = sentence

    def clear_note(self, name: str) -> None:
        self.pop(name, None)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "OWN_ANSWERS_S", 0.0)
    monkeypatch.setattr(journal_module, "END_S", 0.1)


@asynccontextmanager
async def a_journal(
    folder: Path, *, age_s: float = 0.0, notes: Notes | None = None
) -> AsyncIterator[Journal]:
    """Run the journal of the router of `folder`; `age_s` ago, as it believes."""
    now = asyncio.get_running_loop().time
    journal = Journal(
        folder / "router-1-journal.sqlite",
        Noted() if notes is None else notes,
        keep_s=60.0,
        clock=lambda: now() - age_s,
    )
    async with asyncio.timeout(5), journal.lifespan():
        yield journal


async def begin(
    journal: Journal, entry: str, site: str = "kitchen", *, asked: PlainAsk, again: bool = False
) -> None:
    written = journal.begin(
        entry,
        turn_id=entry,
        site_id=site,
        question=digest(site, asked),
        ask_id=asked.id,
        spoken=asked.speak,
        may_repeat=again or asked.id is not None,
    )
    assert written is not None
    await written


async def leave(folder: Path, *asks: PlainAsk, site: str = "kitchen", age_s: float = 0.0) -> None:
    """Let a router have died with open turns t0, t1, …."""
    async with a_journal(folder, age_s=age_s) as journal:
        for number, asked in enumerate(asks):
            await begin(journal, f"t{number}", site, asked=asked)


QUESTION = PlainAsk(text="Is it red?", id="q1")


async def test_an_open_turn_gets_one_answer_and_one_spoken_apology(tmp_path: Path) -> None:
    await leave(tmp_path, QUESTION)
    async with home(data_dir=tmp_path) as h:
        [answer] = await h.answers.until(1)
        await h.until_said()
        assert (answer.id, answer.turn_id, answer.answer) == ("q1", "t0", phrases.LOST_IN_CRASH)
        assert answer.error
        assert h.sites == ["kitchen"]
        assert h.spoken() == h.spoken(answer.utterance_id) == phrases.LOST_IN_CRASH
    async with home(data_dir=tmp_path) as h:
        h.ask("what time is it", speak=False)
        [only] = await h.answers.until(1)
        assert only.transcript == "what time is it"


async def test_several_open_turns_at_a_site_get_an_answer_each_and_one_sentence(
    tmp_path: Path,
) -> None:
    more = PlainAsk(text="Is it blue?"), PlainAsk(text="Is it loud?", id="q3", speak=False)
    await leave(tmp_path, QUESTION, *more)
    async with home(data_dir=tmp_path) as h:
        await h.answers.until(3)
        await h.until_said()
        assert [answer.id for answer in h.answers] == ["q1", None, "q3"]
        assert h.spoken() == phrases.LOST_IN_CRASH


async def test_a_silent_turn_is_apologised_for_in_writing(tmp_path: Path) -> None:
    await leave(tmp_path, PlainAsk(text="Is it red?", id="q1", speak=False))
    async with home(data_dir=tmp_path) as h:
        [answer] = await h.answers.until(1)
        h.ask("what time is it", "bath")
        await h.until_said()
        assert answer.utterance_id is None
        assert {message.site_id for message in h.said} == {"bath"}


async def test_old_turns_are_forgotten(tmp_path: Path) -> None:
    await leave(tmp_path, QUESTION, age_s=61.0)
    async with home(data_dir=tmp_path) as h:
        h.ask("what time is it")
        await h.answers.until(1)
        await h.until_said()
        assert h.answers[0].transcript == "what time is it"
        assert {message.turn_id for message in h.said} == {h.answers[0].turn_id}


async def test_turns_of_before_a_restart_of_the_machine_are_forgotten(tmp_path: Path) -> None:
    await leave(tmp_path, QUESTION, age_s=-1000.0)  # the clock began anew
    async with a_journal(tmp_path) as journal:
        assert journal.left_over == ()


async def test_how_old_a_turn_may_be_is_a_setting(tmp_path: Path) -> None:
    await leave(tmp_path, QUESTION, age_s=5.0)
    async with home(RouterSettings(apologise_within_s=1.0), data_dir=tmp_path) as h:
        h.ask("what time is it")
        [answer] = await h.answers.until(1)
        assert answer.transcript == "what time is it"


async def test_a_turn_whose_answer_had_left_gets_no_apology(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "OWN_ANSWERS_S", 0.05)
    await leave(tmp_path, QUESTION, PlainAsk(text="Is it blue?", id="q2"))
    async with home(data_dir=tmp_path) as h:
        had = PlainAnswer(
            id="q1", turn_id="t0", transcript="Is it red?", answer="Yes.", route="llm"
        )
        h.house.bus.publish_raw(ANSWER, had.model_dump_json().encode(), site="kitchen")
        await h.answers.until(2)
        await h.until_said()
        assert [answer.id for answer in h.answers] == ["q1", "q2"]
    async with a_journal(tmp_path) as journal:
        assert journal.left_over == ()


async def test_a_newer_turn_is_not_spoken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "OWN_ANSWERS_S", 0.05)
    await leave(tmp_path, QUESTION)
    async with home(data_dir=tmp_path) as h:
        cancels = await h.house.hear(TTS_CANCEL)
        stops = await h.house.hear(PLAYBACK_CONTROL)
        h.ask("what time is it", "kitchen")
        await h.answers.until(2)
        await h.until_said()
        by_id = {answer.id: answer for answer in h.answers}
        assert by_id["q1"].error
        assert by_id["q1"].utterance_id is None
        assert h.spoken() == by_id[None].answer
        assert len(await cancels.until(1)) == len(await stops.until(1)) == 1


async def test_what_the_broker_brings_again_is_not_answered_twice(tmp_path: Path) -> None:
    for asked in (QUESTION, PlainAsk(text="Is it red?")):
        await leave(tmp_path, asked)
        async with home(data_dir=tmp_path) as h:
            broker, transport = h.house.broker, h.router._transport
            assert isinstance(transport, MemoryTransport)
            h.gate.clear()
            broker.kill(transport)
            h.ask(asked.text, "kitchen", **({"id": asked.id} if asked.id else {}))
            transport.regain()
            h.ask("what time is it", "bath", speak=False)
            await h.answers.until(2)
            await h.until_said()
            assert sorted(h.sites) == ["bath", "kitchen"]
            assert h.asked == []


async def test_an_utterance_that_the_broker_brings_again_is_apologised_for(tmp_path: Path) -> None:
    async with a_journal(tmp_path) as journal:
        spoken = journal.begin(
            "m1",
            turn_id="u1",
            site_id="kitchen",
            question=digest("kitchen", "u1"),
            spoken=True,
            may_repeat=True,
        )
        assert spoken is not None
        await spoken
    final = Message(
        data=SttFinal(utterance_id="u1", text="Is it red?"),
        type=STT_FINAL.type,
        id="m1",
        turn_id="u1",
        site_id="kitchen",
    )
    async with home(data_dir=tmp_path) as h:
        kept = PublishOptions(qos=1)
        h.house.broker.take(h.house.bus.path(STT_FINAL), encode(final), kept)
        h.ask("what time is it", "bath", speak=False)
        await h.answers.until(2)
        await h.until_said()
        assert h.spoken() == phrases.LOST_IN_CRASH
        assert {answer.turn_id for answer in h.answers} > {"u1"}
        assert h.asked == []


async def test_the_same_question_may_be_asked_again_after_the_apology(tmp_path: Path) -> None:
    await leave(tmp_path, QUESTION)
    async with home(data_dir=tmp_path) as h:
        await h.answers.until(1)
        h.ask(QUESTION.text, "kitchen", id="q1")
        await h.answers.until(2)
        assert h.answers[1].answer == "It is red. Really."


async def test_the_journal_holds_no_words_and_is_for_its_owner_only(tmp_path: Path) -> None:
    async with home(data_dir=tmp_path) as h:
        h.gate.clear()
        h.ask("Where is the canary?", "kitchen", id="q1")
        async with asyncio.timeout(5):
            await h.streamed.wait()
        for suffix in ("", "-wal", "-shm"):
            path = tmp_path / f"router-1-journal.sqlite{suffix}"
            assert b"canary" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
        h.gate.set()


async def test_an_answered_turn_leaves_the_journal(tmp_path: Path) -> None:
    async with home(data_dir=tmp_path) as h:
        h.ask("what time is it", "kitchen", id="q1")
        h.speak("what time is it", "u1")
        h.speak("what time is it", "u1")
        await h.answers.until(2)
    async with a_journal(tmp_path) as journal:
        assert journal.left_over == ()


async def test_a_repetition_that_was_noted_too_is_one_turn(tmp_path: Path) -> None:
    bare = PlainAsk(text="Is it red?")
    async with a_journal(tmp_path) as journal:
        await begin(journal, "t0", asked=bare)
        await begin(journal, "t1", asked=bare)
        await begin(journal, "t2", asked=bare, again=True)
    async with a_journal(tmp_path) as journal:
        assert [turn.entry for turn in journal.left_over] == ["t0", "t1"]


async def test_at_first_a_turn_begins_when_it_is_written(tmp_path: Path) -> None:
    """So that a question which kills the router cannot do so for ever."""

    async with a_journal(tmp_path) as journal:
        journal.begin(
            "t0",
            turn_id="t0",
            site_id="kitchen",
            question=digest("kitchen", QUESTION),
            spoken=True,
            may_repeat=True,
        )
        await journal.noted("t0")
        async with a_journal(tmp_path) as of_the_next_life:
            assert [turn.entry for turn in of_the_next_life.left_over] == ["t0"]


async def test_later_a_turn_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FIRST_S", 0.0)
    monkeypatch.setattr(journal_module, "GATHERED_S", 3600.0)
    async with home(data_dir=tmp_path) as h:
        h.ask("what time is it", "kitchen", id="q1")
        h.speak("what time is it", "u1")
        await h.answers.until(2)


# The disk


async def test_a_full_disk_does_not_keep_the_router_from_answering(tmp_path: Path) -> None:
    async with home(data_dir=tmp_path) as h:
        with closing(sqlite3.connect(tmp_path / "router-1-journal.sqlite")) as other:
            other.execute("DROP TABLE open_turns")
            h.ask("what time is it", "kitchen", id="q1")
            [answer] = await h.answers.until(1)
            assert answer.error is None


async def test_what_cannot_be_noted_is_said_and_what_can_again_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Noted()
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"

    def fail(*_args: object) -> None:
        raise full

    async with a_journal(tmp_path, notes=notes) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(journal_file.JournalFile, "write", fail)
            await begin(journal, "t0", asked=QUESTION)
            assert "the disk is full" in notes["journal"]
        await begin(journal, "t1", asked=PlainAsk(text="Is it blue?"))
        assert notes == {}


async def test_to_delete_what_was_never_noted_is_no_sign_of_room(tmp_path: Path) -> None:
    notes = Noted()
    async with a_journal(tmp_path, notes=notes) as journal:
        with closing(sqlite3.connect(tmp_path / "router-1-journal.sqlite")) as other:
            other.execute(
                "CREATE TRIGGER no_room BEFORE INSERT ON open_turns "
                "BEGIN SELECT RAISE(FAIL, 'no room'); END"
            )
            await begin(journal, "t0", asked=QUESTION)
            heard = journal.end_of("kitchen", "t0")
            assert heard is not None
            await heard
            assert "I cannot note them" in notes["journal"]
            other.execute("DROP TRIGGER no_room")
        await begin(journal, "t1", asked=PlainAsk(text="Is it blue?"))
        assert notes == {}


async def test_a_folder_that_cannot_be_made_costs_the_journal_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with home(data_dir=tmp_path / "file" / "folder") as h:
        h.ask("what time is it", "kitchen", id="q1")
        [answer] = await h.answers.until(1)
        assert answer.error is None


async def test_a_disk_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WRITTEN_WITHIN_S", 0.02)
    async with a_journal(tmp_path) as journal:
        hangs = asyncio.Event()

        async def hang(*_args: object) -> None:
            await hangs.wait()

        with monkeypatch.context() as patch:
            patch.setattr(journal_file.JournalFile, "write", hang)
            await begin(journal, "t0", asked=QUESTION)
            assert journal.is_open("t0")
            hangs.set()


async def test_a_damaged_journal_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "router-1-journal.sqlite").write_bytes(b"no database at all" * 100)
    async with a_journal(tmp_path) as journal:
        await begin(journal, "t0", asked=QUESTION)
    async with a_journal(tmp_path) as journal:
        assert [turn.turn_id for turn in journal.left_over] == ["t0"]


async def test_health_says_that_the_journal_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes = Noted()
    journal = Journal(tmp_path / "file" / "journal.sqlite", notes, keep_s=60.0)
    async with asyncio.timeout(5), journal.lifespan():
        assert orjson.dumps(notes["journal"])
        await begin(journal, "t0", asked=QUESTION)
