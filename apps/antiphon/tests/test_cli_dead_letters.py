"""`antiphon dead`: letters of a worker in memory are listed, shown, tried again and dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import structlog
from antiphon import dead_letters
from antiphon.dead_commands import dead_app
from antiphon_contracts import ASK_SITE, ConfigError, EngineError
from antiphon_runtime import Bus, RawMessage, RuntimeSettings, Settings, Wiring, Worker, listen_raw
from antiphon_runtime.dead_letters import LETTERS, MAX_PAYLOAD_BYTES
from antiphon_runtime.testing import Heard, House
from typer.testing import CliRunner

pytestmark = pytest.mark.unit

HERE = "mqtt://h"


class SickSettings(Settings):
    section = "sick"


class Sick:
    """A worker that crashes over every question until it is healed."""

    def __init__(self) -> None:
        self.sick = True
        self.good = Heard()

    def build(self, _worker: Worker[SickSettings]) -> Wiring:
        return Wiring([listen_raw(ASK_SITE, self.on_ask)])

    async def on_ask(self, message: RawMessage) -> None:
        if self.sick:
            raise ZeroDivisionError
        self.good.add(message.payload.decode(errors="replace"))


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with House() as house:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(dead_letters, "client_bus", bus)
        for name in ("FIRST_LETTER_S", "ALL_LETTERS_S", "TAKEN_UP_S", "CRASHES_AGAIN_S"):
            monkeypatch.setattr(dead_letters, name, 0.05)
        yield house
    structlog.reset_defaults()


async def fall_ill(house: House, *payloads: bytes) -> Sick:
    """Have a worker crash over messages; returns when there is a letter for each."""
    sick, letters = Sick(), await house.hear_raw(LETTERS)
    await house.move_in("sick", SickSettings(), sick.build)
    for payload in payloads:
        house.bus.publish_raw(ASK_SITE, payload, site="hall")
    await letters.until(len(payloads))
    return sick


async def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    await dead_letters.show_list(json=True, broker=HERE)
    found: list[dict[str, object]] = orjson.loads(capsys.readouterr().out)
    return found


async def test_without_letters_the_list_says_so(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await dead_letters.show_list(json=False, broker=HERE)
    assert capsys.readouterr().out == "no dead letters\n"
    assert await listed(capsys) == []


async def test_letters_are_listed_without_and_shown_with_their_words(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await fall_ill(house, b"Where is the canary?", b"\xff\xfe", b"x" * (MAX_PAYLOAD_BYTES + 1))
    letters = await listed(capsys)
    assert [letter["size_bytes"] for letter in letters] == [20, 2, MAX_PAYLOAD_BYTES + 1]
    assert {letter["topic"] for letter in letters} == {ASK_SITE.at(site="hall")}
    await dead_letters.show_list(json=False, broker=HERE)
    out = capsys.readouterr().out
    assert "ZeroDivisionError" in out
    assert "canary" not in out
    for letter, message in zip(
        letters,
        ("Where is the canary?", "(no text: 2 bytes)", "(the message was too long to be kept)"),
        strict=True,
    ):
        await dead_letters.show(str(letter["letter"])[:8], json=False, broker=HERE)
        assert capsys.readouterr().out.endswith(f"{message}\n")
    await dead_letters.show(str(letters[0]["letter"]), json=True, broker=HERE)
    assert orjson.loads(capsys.readouterr().out)["message"] == "Where is the canary?"


async def test_a_letter_is_tried_again(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    sick = await fall_ill(house, b"first", b"second")
    letters = [str(letter["letter"]) for letter in await listed(capsys)]
    with pytest.raises(EngineError, match=r"crashed again \(ZeroDivisionError\)"):
        await dead_letters.retry([letters[0]], broker=HERE)
    attempts = {str(one["letter"]): one["attempts"] for one in await listed(capsys)}
    assert attempts == {letters[0]: 2, letters[1]: 1}
    sick.sick = False
    await dead_letters.retry([], broker=HERE)
    assert sorted(sick.good) == ["first", "second"]
    assert await listed(capsys) == []


async def test_a_letter_that_cannot_be_tried_again_says_why(house: House) -> None:
    await fall_ill(house, b"x" * (MAX_PAYLOAD_BYTES + 1))
    with pytest.raises(EngineError, match="too long to be kept: send the message anew"):
        await dead_letters.retry([], broker=HERE)


async def test_a_letter_of_a_worker_that_is_away_says_so(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    sick, letters = Sick(), await house.hear_raw(LETTERS)
    async with house.resident("sick", SickSettings(), sick.build):
        house.bus.publish_raw(ASK_SITE, b"first", site="hall")
        await letters.until(1)
    with pytest.raises(EngineError, match=r"not taken up: is sick-1 running\?"):
        await dead_letters.retry([], broker=HERE)
    assert len(await listed(capsys)) == 1


async def test_letters_are_dropped(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    await fall_ill(house, b"first", b"second", b"third")
    letters = await listed(capsys)
    await dead_letters.drop([str(letters[0]["letter"])], broker=HERE)
    assert await listed(capsys) == letters[1:]
    await dead_letters.drop([], broker=HERE)
    assert await listed(capsys) == []


async def test_a_letter_that_is_not_there_is_named(house: House) -> None:
    await fall_ill(house, b"first", b"second")
    with pytest.raises(ConfigError, match="no dead letter begins with 'zz'"):
        await dead_letters.show("zz", json=False, broker=HERE)
    with pytest.raises(ConfigError, match="several dead letters begin with ''"):
        await dead_letters.drop([""], broker=HERE)


@pytest.mark.parametrize("command", ["retry", "drop"])
@pytest.mark.parametrize("arguments", [(), ("ab", "--all")])
def test_letters_are_named_or_all(command: str, arguments: tuple[str, ...]) -> None:
    outcome = CliRunner().invoke(dead_app, [command, *arguments])
    assert outcome.exit_code == 2
