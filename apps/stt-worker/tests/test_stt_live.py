"""Live listening on the in-memory bus: scripted engine and voices, virtual frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, Span, wrap_frame
from antiphon_contracts import (
    AUDIO_IN,
    HEALTH,
    SITE_STATUS,
    STT_CONTROL,
    STT_FINAL,
    STT_PARTIAL,
    EngineError,
    SiteStatus,
    SttControl,
    SttFinal,
    SttPartial,
)
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_stt import Hints, Segment, SttSettings, Transcript
from antiphon_stt.wiring import wire
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

SPEECH = 8_000
FRAME = 1_280
WINDOW_MS = 32


class Gate:
    def spans(self, pcm: Pcm) -> list[Span]:
        return []


class Voices:
    """Takes loud samples for speech: a detector without a memory."""

    def stream(self) -> Voices:
        return Voices()

    def __init__(self) -> None:
        self.rest = np.zeros(0, dtype=np.int16)

    def push(self, samples: NDArray[np.int16]) -> list[float]:
        self.rest = np.concatenate((self.rest, samples))
        odds = []
        while len(self.rest) >= 512:
            odds.append(1.0 if np.abs(self.rest[:512]).mean() > SPEECH / 2 else 0.0)
            self.rest = self.rest[512:]
        return odds


def said(text: str) -> Transcript:
    return Transcript((Segment(text, -0.1, 0.01, 0.8, 6),) if text else ())


class Engine:
    """Answers with `script`; a draft with its first word."""

    name = "scripted"

    def __init__(self, script: Callable[[Pcm], Transcript | Exception]) -> None:
        self.script = script
        self.heard: list[Pcm] = []
        self.drafts = 0

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript:
        if hints.is_draft:
            self.drafts += 1
            return said("turn on")
        self.heard.append(pcm)
        answer = self.script(pcm)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Room:
    """A site whose microphone is the test's."""

    def __init__(self, house: House, engine: Engine, finals: Heard, partials: Heard) -> None:
        self.house, self.engine = house, engine
        self.finals, self.partials = finals, partials
        self.places: dict[tuple[str, str], int] = {}

    def sound(self, ms: int, level: int, *, site: str = "den", stream: str = "s") -> None:
        key = (site, stream)
        for _ in range(ms // 80):
            place = self.places.get(key, 0)
            pcm = Pcm(np.full(FRAME, level, dtype=np.int16), 16_000)
            self.house.bus.publish_raw(AUDIO_IN, wrap_frame(pcm, Place(stream, place)), site=site)
            self.places[key] = place + FRAME

    def speak(self, ms: int, **where: str) -> None:
        self.sound(ms, SPEECH, **where)

    def hush(self, ms: int, **where: str) -> None:
        self.sound(ms, 0, **where)

    def order(self, utterance: str, *, site: str = "den", **order: Any) -> None:
        action = order.pop("action", "listen")
        data = SttControl(action=action, utterance_id=utterance, **order)
        self.house.say(STT_CONTROL, data, site_id=site)

    async def settle(self) -> None:
        """Let everything that was sent be worked on."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def final(self, utterance: str) -> SttFinal:
        await self.finals.until(lambda all_: any(m.data.utterance_id == utterance for m in all_))
        (found,) = [m.data for m in self.finals if m.data.utterance_id == utterance]
        assert isinstance(found, SttFinal)
        return found

    async def candidate(self) -> SttPartial:
        await self.partials.until(lambda all_: any(m.data.candidate for m in all_))
        found = next(m.data for m in self.partials if m.data.candidate)
        assert isinstance(found, SttPartial)
        return found


@asynccontextmanager
async def room(
    script: Callable[[Pcm], Transcript | Exception] = lambda _pcm: said("Turn on the lamp."),
    **settings: Any,
) -> AsyncIterator[Room]:
    engine = Engine(script)
    async with House() as house:
        finals, partials = await house.hear(STT_FINAL), await house.hear(STT_PARTIAL)
        build = partial(wire, transcriber=engine, open_gate=Gate, open_detector=Voices)
        await house.move_in("stt", SttSettings(**settings), build)
        yield Room(house, engine, finals, partials)


async def test_an_utterance_becomes_partials_and_one_final() -> None:
    async with room() as den:
        den.hush(400)
        await den.settle()
        den.order("u", reason="follow_up", window_s=5.0)
        await den.settle()
        den.hush(240)
        den.speak(800)
        den.hush(160)
        candidate = await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert (final.text, final.rejected) == ("Turn on the lamp.", None)
    assert (final.reason, final.stream) == ("follow_up", "s")
    assert final.start_ms == pytest.approx(640, abs=WINDOW_MS)
    assert final.end_ms == pytest.approx(1_440, abs=WINDOW_MS)
    assert final.speech_ms == pytest.approx(800, abs=WINDOW_MS)
    assert final.confidence == pytest.approx(0.9048, abs=1e-3)
    assert 350 <= final.endpoint_ms <= 450
    assert candidate.text == final.text
    assert candidate.stable_chars == len(final.text)
    first = den.partials[0].data
    assert (first.text, first.seq, first.candidate) == ("", 0, False)
    assert [m.data.seq for m in den.partials] == list(range(len(den.partials)))
    assert den.partials[0].turn_id == "u"
    assert len(den.engine.heard) == 1, "the candidate is the final, with no new work"


async def test_nothing_is_done_without_a_window() -> None:
    async with room() as den:
        den.speak(2_000)
        den.hush(2_000)
        await den.settle()
        assert not den.engine.heard
        assert not den.partials


async def test_a_window_may_begin_in_the_past() -> None:
    async with room() as den:
        den.hush(800)
        den.speak(800)
        den.hush(160)
        await den.settle()
        den.order("u", stream="s", start_ms=700, window_s=5.0)
        await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert final.text == "Turn on the lamp."
    assert final.start_ms == pytest.approx(800, abs=WINDOW_MS)


@pytest.mark.parametrize(
    ("stream", "start_ms"), [("other", 10), ("s", 10_000_000), ("", None), ("", 800)]
)
async def test_an_unknown_place_means_now(stream: str, start_ms: int | None) -> None:
    async with room() as den:
        den.hush(800)
        await den.settle()
        den.order("u", stream=stream, start_ms=start_ms, window_s=5.0)
        await den.settle()
        den.speak(480)
        den.hush(160)
        await den.candidate()
        den.hush(400)
        assert (await den.final("u")).text == "Turn on the lamp."


async def test_speech_that_goes_on_withdraws_the_candidate() -> None:
    texts = iter(("Turn on the", "Turn on the lamp."))
    async with room(lambda _pcm: said(next(texts))) as den:
        den.order("u", window_s=5.0)
        den.speak(480)
        den.hush(160)
        await den.candidate()
        den.hush(480)
        await den.settle()
        assert not den.finals, "an article is followed by more"
        den.speak(480)
        den.hush(160)
        await den.partials.until(lambda all_: sum(m.data.candidate for m in all_) == 2)
        den.hush(400)
        assert (await den.final("u")).text == "Turn on the lamp."
    kinds = [(m.data.text, m.data.candidate) for m in den.partials if m.data.text]
    assert kinds == [("Turn on the", True), ("Turn on the", False), ("Turn on the lamp.", True)]
    assert len(den.engine.heard[1]) > len(den.engine.heard[0])


async def test_nobody_speaks() -> None:
    async with room() as den:
        den.order("u", window_s=1.0)
        den.hush(1_200)
        final = await den.final("u")
    assert (final.rejected, final.text) == ("no_speech", "")
    assert final.detail.endswith(".")
    assert not den.engine.heard


async def test_a_new_window_cancels_the_old_and_the_same_order_is_ignored() -> None:
    async with room() as den:
        den.order("one", window_s=5.0)
        den.order("two", window_s=5.0)
        den.order("two", window_s=5.0)
        assert (await den.final("one")).rejected == "cancelled"
        den.hush(80)
        den.order("", action="stop")
        assert (await den.final("two")).rejected == "cancelled"
        den.order("two", window_s=5.0)
        den.order("three", window_s=0.1)
        den.hush(400)
        await den.final("three")
    assert [m.data.utterance_id for m in den.finals] == ["one", "two", "three"]


async def test_only_the_named_window_is_stopped() -> None:
    async with room() as den:
        den.order("u", window_s=0.5)
        den.order("other", action="stop")
        den.hush(800)
        assert (await den.final("u")).rejected == "no_speech"


async def test_a_stream_that_breaks_off_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_stt.window.LOST_S", 0.05)
    async with room() as den:
        den.order("u")
        den.speak(400)
        assert (await den.final("u")).rejected == "lost"
        den.order("silent site", site="attic")
        assert (await den.final("silent site")).rejected == "lost"


async def test_a_stream_that_begins_anew_loses_speech_but_not_silence() -> None:
    async with room() as den:
        den.order("u")
        den.hush(400)
        den.hush(400, stream="t")
        den.speak(400, stream="t")
        await den.partials.until(1)
        assert not den.finals
        den.speak(80, stream="v")
        final = await den.final("u")
    assert (final.rejected, final.stream) == ("lost", "t")


@pytest.mark.parametrize(
    "status", [SiteStatus(streaming=False), SiteStatus(streaming=True, muted=True)]
)
async def test_a_microphone_that_is_switched_off_is_lost(status: SiteStatus) -> None:
    async with room() as den:
        den.order("u")
        den.speak(160)
        await den.settle()
        den.house.say(SITE_STATUS, status, site_id="den")
        assert (await den.final("u")).rejected == "lost"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(EngineError("The server is tired."), "engine"), (ZeroDivisionError(), "engine")],
)
async def test_an_engine_that_fails_is_heard(failure: Exception, reason: str) -> None:
    answers: list[Transcript | Exception] = [failure, said("Turn on the lamp.")]
    async with room(lambda _pcm: answers.pop(0)) as den:
        for utterance in ("bad", "good"):
            den.order(utterance, window_s=5.0)
            den.speak(480)
            den.hush(1_200)
            await den.final(utterance)
    bad, good = (m.data for m in den.finals)
    assert (bad.rejected, bad.text) == (reason, "")
    assert bad.detail.endswith(".")
    assert good.text == "Turn on the lamp."


async def test_what_is_heard_with_a_deaf_ear_is_silence() -> None:
    async with room() as den:
        den.hush(160)
        await den.settle()
        den.order("", action="gate", window_s=30.0)
        await den.settle()
        den.order("u", reason="open", window_s=5.0)
        den.speak(1_600)
        await den.settle()
        assert not den.partials
        den.order("", action="gate", window_s=0.0)
        await den.settle()
        den.speak(480)
        den.hush(160)
        await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert final.start_ms == pytest.approx(160 + 1_600, abs=WINDOW_MS)
    assert final.speech_ms == pytest.approx(480, abs=WINDOW_MS)


async def test_a_gate_ends_by_itself() -> None:
    async with room() as den:
        den.order("", action="gate", window_s=0.4)
        await den.settle()
        den.order("u", window_s=5.0)
        den.speak(800)
        den.hush(160)
        await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert final.speech_ms == pytest.approx(400, abs=WINDOW_MS)


async def test_a_wake_phrase_is_not_transcribed_and_alone_is_no_utterance() -> None:
    texts = iter(("Okay, Naboo.", "Turn on the lamp."))
    async with room(lambda _pcm: said(next(texts))) as den:
        den.hush(400)
        den.speak(800)  # the phrase, and a tail that its end is early by
        den.hush(160)
        await den.settle()
        den.order(
            "u",
            reason="wake",
            stream="s",
            start_ms=960,
            phrase_begin_ms=400,
            phrase="okay_nabu",
            window_s=5.0,
        )
        den.hush(800)
        await den.settle()
        assert not den.finals
        den.speak(480)
        den.hush(160)
        await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert final.text == "Turn on the lamp."
    assert not any("abo" in m.data.text for m in den.partials)


async def test_one_breath_is_transcribed_with_its_phrase_and_told_without() -> None:
    async with room(lambda _pcm: said("OK, Nabu, turn on the lamp.")) as den:
        den.hush(400)
        den.speak(1_600)
        den.hush(160)
        await den.settle()
        den.order("u", start_ms=1_000, phrase_begin_ms=400, phrase="okay_nabu", window_s=5.0)
        await den.candidate()
        den.hush(400)
        final = await den.final("u")
    assert final.text == "Turn on the lamp."
    assert den.engine.heard[0].duration_ms > 1_600, "all of the phrase is heard by the engine"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(""), "noise"),
        (said("la la la " * 30), "unlikely"),
        (Transcript((Segment(" Thank you.", -0.9, 0.3),)), "unlikely"),
    ],
)
async def test_what_is_made_up_ends_an_open_window_with_its_reason(
    answer: Transcript, reason: str
) -> None:
    async with room(lambda _pcm: answer) as den:
        den.order("u", reason="open")
        den.speak(240)
        den.hush(1_200)
        final = await den.final("u")
    assert (final.rejected, final.text) == (reason, "")
    assert not any(m.data.text for m in den.partials)


async def test_a_cough_does_not_end_a_window_that_waits_for_words() -> None:
    texts = iter(("", "Turn on the lamp."))
    async with room(lambda _pcm: said(next(texts))) as den:
        den.order("u", reason="follow_up", window_s=5.0)
        den.speak(240)
        den.hush(1_200)
        await den.settle()
        assert not den.finals
        den.speak(480)
        den.hush(160)
        await den.candidate()
        den.hush(400)
        assert (await den.final("u")).text == "Turn on the lamp."


async def test_endless_speech_is_ended() -> None:
    async with room(max_utterance_s=2.0) as den:
        den.order("u")
        den.speak(2_400)
        final = await den.final("u")
    assert final.text == "Turn on the lamp."
    assert 2_000 <= final.speech_ms <= 2_100


async def test_drafts_tell_what_is_understood_and_can_be_switched_off() -> None:
    for partials, drafts in ((True, 1), (False, 0)):
        async with room(partials=partials, partial_every_s=0.5) as den:
            den.order("u")
            den.speak(800)
            if partials:
                await den.partials.until(lambda all_: any(m.data.text for m in all_))
            den.hush(1_200)
            await den.final("u")
        assert den.engine.drafts == drafts
        drafted = [m.data.text for m in den.partials if not m.data.candidate and m.data.text]
        assert drafted == ["turn on"] * drafts


async def test_sites_are_independent() -> None:
    sites = ("a", "b", "c", "d")
    async with room() as den:
        for site in sites:
            den.order(f"in {site}", site=site, window_s=5.0)
        await den.settle()
        for site in sites:
            den.speak(480, site=site)
            den.hush(1_200, site=site)
        for site in sites:
            assert (await den.final(f"in {site}")).text == "Turn on the lamp."
    assert {(m.site_id, m.data.utterance_id) for m in den.finals} == {
        (site, f"in {site}") for site in sites
    }


async def test_too_many_sites_are_told_busy() -> None:
    async with room(max_sites=1) as den:
        healths = await den.house.hear(HEALTH)
        den.hush(80, site="a")
        await den.settle()
        den.order("u", site="b")
        assert (await den.final("u")).rejected == "busy"
        await healths.until(lambda all_: any(m.data.notes for m in all_))
        (note,) = healths[-1].data.notes
        assert "'b'" in note
        assert "max_sites in [stt]" in note


async def test_two_microphones_at_one_site_are_noted_in_the_health() -> None:
    async with room() as den:
        healths = await den.house.hear(HEALTH)
        for _ in range(4):
            den.hush(80, stream="one")
            den.hush(80, stream="two")
        await healths.until(lambda all_: any(m.data.notes for m in all_))
        (note,) = healths[-1].data.notes
    assert "'den'" in note
    assert "--site" in note


async def test_microphones_that_begin_anew_are_not_taken_for_two() -> None:
    async with room() as den:
        healths = await den.house.hear(HEALTH)
        for number in range(12):
            den.hush(160, stream=f"stream {number}")
            den.hush(160, site="elsewhere", stream=f"other {number % 3}")
        await healths.until(lambda all_: any(m.data.notes for m in all_))
        notes = {note for m in healths for note in m.data.notes}
    assert [note for note in notes if "'den'" in note] == []
    assert len(notes) == 1


async def test_a_worker_that_stops_answers_open_windows() -> None:
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        engine = Engine(lambda _pcm: said("x"))
        build = partial(wire, transcriber=engine, open_gate=Gate, open_detector=Voices)
        async with house.resident("stt", SttSettings(), build):
            order = SttControl(action="listen", utterance_id="u")
            house.say(STT_CONTROL, order, site_id="den")
            for _ in range(50):
                await asyncio.sleep(0)
        await finals.until(1)
    assert [m.data.rejected for m in finals] == ["cancelled"]
