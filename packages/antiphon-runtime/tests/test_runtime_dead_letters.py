"""Dead letters: what crashed is kept, bounded, tried again and never loops."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog
from antiphon_contracts import (
    ASK_SITE,
    DEAD,
    DEAD_RETRY,
    MEMORY_QUERY,
    STT_FINAL,
    DeadLetter,
    EngineError,
    MemoryQuery,
    MemoryResults,
    Message,
    RemoteError,
    SttFinal,
    parse,
)
from antiphon_runtime import (
    Bus,
    RawMessage,
    RuntimeSettings,
    Settings,
    Wiring,
    Worker,
    listen,
    listen_raw,
    serve,
)
from antiphon_runtime.dead_letters import LETTERS, MAX_LETTERS, MAX_PAYLOAD_BYTES, read_letter
from antiphon_runtime.testing import Heard, House

pytestmark = [pytest.mark.unit, pytest.mark.timeout(20)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """As in a worker: without this, structlog draws every crash with all its locals."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
    yield
    structlog.reset_defaults()


class SickSettings(Settings):
    section = "sick"


class Sick:
    """A worker whose handlers crash over some texts until it is healed."""

    def __init__(self) -> None:
        self.sick = True
        self.good = Heard()
        self.crashes: Counter[str] = Counter()

    def build(self, _worker: Worker[SickSettings]) -> Wiring:
        return Wiring(
            [
                listen(STT_FINAL, self.on_final),
                listen_raw(ASK_SITE, self.on_ask, queue_limit=10_000),
                serve(MEMORY_QUERY, self.on_query),
            ]
        )

    async def on_final(self, message: Message[SttFinal]) -> None:
        self._take(message.data.text)

    async def on_ask(self, message: RawMessage) -> None:
        self._take(message.payload.decode())

    async def on_query(self, message: Message[MemoryQuery]) -> MemoryResults:
        self._take(message.data.text)
        return MemoryResults(results=())

    def _take(self, text: str) -> None:
        if text == "refused":
            msg = "not that"
            raise EngineError(msg)
        if self.sick and text.startswith("poison"):
            self.crashes[text] += 1
            raise ZeroDivisionError(text)
        self.good.add(text)


class Letters(Heard):
    """The letters that the broker holds."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, DeadLetter] = {}

    async def on_letter(self, message: RawMessage) -> None:
        if message.payload:
            letter = read_letter(message.payload)
            self.held[message.slots["letter"]] = letter
            self.add(letter)
        else:
            self.held.pop(message.slots["letter"], None)
            self.add(None)


async def read_letters(house: House) -> Letters:
    letters = Letters()
    await house._attend(listen_raw(LETTERS, letters.on_letter, queue_limit=10_000))
    return letters


async def move_in(house: House, sick: Sick) -> Bus:
    return await house.move_in("sick", SickSettings(), sick.build, runtime=RuntimeSettings())


def ask(house: House, text: str) -> None:
    house.bus.publish_raw(ASK_SITE, text.encode(), site="kitchen")


async def test_a_message_whose_handler_crashed_is_kept_with_where_and_why() -> None:
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        bus = await move_in(house, sick)
        ask(house, "poison of the canary")
        ask(house, "good")
        await sick.good.until(1)
        [letter] = await letters.until(1)
        assert (letter.worker, letter.topic) == ("sick-1", ASK_SITE.at(site="kitchen"))
        assert (letter.error, letter.attempts) == ("ZeroDivisionError", 1)
        assert letter.where[-1].startswith("test_runtime_dead_letters.py:")
        assert all("/" not in place for place in letter.where)
        assert base64.b64decode(letter.payload or "") == b"poison of the canary"
        assert letter.size_bytes == len("poison of the canary")
        assert bus.counters["dead_letters"] == 1


async def test_the_logs_do_not_say_what_the_message_said() -> None:
    with structlog.testing.capture_logs() as logs:
        async with House() as house:
            letters, sick = await read_letters(house), Sick()
            await move_in(house, sick)
            ask(house, "poison of the canary")
            await letters.until(1)
    assert any(entry["event"] == "handler.crashed" for entry in logs)
    assert "canary" not in str(logs)


async def test_refusals_are_no_dead_letters_and_crashed_requests_are() -> None:
    async with House(requests=[MEMORY_QUERY]) as house:
        letters, sick = await read_letters(house), Sick()
        await move_in(house, sick)
        for text in ("refused", "poison"):
            with pytest.raises(RemoteError):
                await house.bus.request(MEMORY_QUERY, MemoryQuery(text=text), timeout_s=2)
        [letter] = await letters.until(1)
        assert letter.topic == MEMORY_QUERY.pattern
        assert parse(base64.b64decode(letter.payload or ""))["data"]["text"] == "poison"


@pytest.mark.parametrize("kind", ["event", "raw"])
async def test_a_letter_is_tried_again_on_demand_and_counts_its_attempts(kind: str) -> None:
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        await move_in(house, sick)
        if kind == "event":
            house.say(STT_FINAL, SttFinal(utterance_id="u1", text="poison"))
        else:
            ask(house, "poison")
        [first] = await letters.until(1)
        slots = {"worker": "sick-1", "letter": first.letter}
        house.bus.publish_raw(DEAD_RETRY, b"", **slots)
        await letters.until(3)
        assert letters.held[first.letter].attempts == 2
        sick.sick = False
        house.bus.publish_raw(DEAD_RETRY, b"", **slots)
        await sick.good.until(1)
        await letters.until(4)
        assert letters.held == {}
        assert sick.crashes == {"poison": 2}


async def test_letters_outlive_their_worker() -> None:
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        async with house.resident("sick", SickSettings(), sick.build):
            ask(house, "poison")
            [letter] = await letters.until(1)
        sick.sick = False
        await move_in(house, sick)
        async with asyncio.timeout(5):
            while not sick.good:
                house.bus.publish_raw(DEAD_RETRY, b"", worker="sick-1", letter=letter.letter)
                await asyncio.sleep(0)
        assert sick.good[0] == "poison"


async def test_what_cannot_be_tried_again_does_no_harm() -> None:
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        await move_in(house, sick)
        long = "poison" + "x" * MAX_PAYLOAD_BYTES
        ask(house, long)
        [letter] = await letters.until(1)
        assert letter.payload is None
        assert letter.size_bytes == len(long)
        for name in (letter.letter, "unknown"):
            house.bus.publish_raw(DEAD_RETRY, b"", worker="sick-1", letter=name)
        house.bus.publish_raw(LETTERS, b"nonsense", worker="sick-1", letter="n")
        ask(house, "good")
        await sick.good.until(1)
        assert sum(sick.crashes.values()) == 1


async def test_a_flood_of_poison_is_bounded_and_does_not_loop() -> None:
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        bus = await move_in(house, sick)
        for number in range(500):
            ask(house, f"poison {number}")
        ask(house, "good")
        await sick.good.until(1)
        assert set(sick.crashes.values()) == {1}
        await letters.until(MAX_LETTERS)
        assert len(letters.held) == len(letters) == MAX_LETTERS
        assert bus.counters["dead_letters_not_kept"] == 500 - MAX_LETTERS


async def test_the_oldest_letters_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_runtime.dead_letters.MINUTE_S", 0.0)
    async with House() as house:
        letters, sick = await read_letters(house), Sick()
        await move_in(house, sick)
        for number in range(MAX_LETTERS + 3):
            ask(house, f"poison {number}")
        await letters.until(lambda _: "poison 34" in str(sick.crashes) and len(letters) == 38)
        texts = {base64.b64decode(one.payload or "").decode() for one in letters.held.values()}
        assert texts == {f"poison {number}" for number in range(3, MAX_LETTERS + 3)}


def test_letters_are_retained_and_the_order_to_try_again_is_not() -> None:
    assert (DEAD.retain, LETTERS.retain, DEAD_RETRY.retain) == (True, True, False)
