"""`antiphon memory`, with a memory worker in memory."""

from __future__ import annotations

import io
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
import structlog
from antiphon import memories
from antiphon.memory_commands import memory_app
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import WordEmbedder
from antiphon_memory.wiring import Stores, wire
from antiphon_runtime import Bus, RuntimeSettings, Wiring, Worker
from antiphon_runtime.testing import House
from typer.testing import CliRunner

pytestmark = pytest.mark.integration

HERE = "mqtt://h"


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[House]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    def build(worker: Worker[MemorySettings]) -> Wiring:
        store = SqliteStore(tmp_path / "memory.sqlite", worker.health)
        talks = SqliteConversations(tmp_path / "conversations.sqlite", worker.health)
        documents = SqliteKnowledge(tmp_path / "knowledge.sqlite", worker.health)
        return wire(worker, Stores(store, talks, documents), WordEmbedder())

    async with House() as house:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(memories, "client_bus", bus)
        await house.move_in("memory", MemorySettings(), build)
        yield house
    structlog.reset_defaults()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person types, in order."""
    typed: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _question: typed.pop(0))
    return typed


async def tell(*texts: str, scope: str = "household") -> None:
    for text in texts:
        await memories.remember(text, scope, broker=HERE)


async def listed(
    capsys: pytest.CaptureFixture[str], *, superseded: bool = False
) -> list[dict[str, str]]:
    capsys.readouterr()
    await memories.show_list([], superseded=superseded, json=True, broker=HERE)
    found: list[dict[str, str]] = orjson.loads(capsys.readouterr().out)
    return found


async def test_remember_list_search(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    await memories.show_list([], superseded=False, json=False, broker=HERE)
    assert capsys.readouterr().out == "nothing is remembered\n"
    await tell("my bicycle is red", "my bicycle is blue")
    assert "superseded: my bicycle is red" in capsys.readouterr().out
    await tell("the lamp is green", scope="person:Anna")
    assert [one["text"] for one in await listed(capsys)] == [
        "my bicycle is blue",
        "the lamp is green",
    ]
    assert len(await listed(capsys, superseded=True)) == 3
    await memories.show_list(["person:Anna"], superseded=True, json=False, broker=HERE)
    assert capsys.readouterr().out.endswith("  person:Anna  the lamp is green\n")
    await memories.search("lamp", ["all"], count=5, json=False, broker=HERE)
    assert "the lamp is green" in capsys.readouterr().out
    await memories.search("Hamlet", ["all"], count=5, json=False, broker=HERE)
    assert capsys.readouterr().out == "nothing like that is remembered\n"
    with pytest.raises(EngineError, match="question"):
        await tell("what colour is my bicycle?")
    with pytest.raises(ConfigError, match="a scope is"):
        await tell("the lamp is green", scope="anna")


async def test_forget_by_id_and_by_query(
    house: House, capsys: pytest.CaptureFixture[str], answers: list[str]
) -> None:
    await tell("my bicycle is red", "the bicycle pump is broken", "the tent is in the attic")
    tent = next(one["id"] for one in await listed(capsys) if "tent" in one["text"])
    assert await memories.forget([tent], broker=HERE)
    assert capsys.readouterr().out == "forgotten: the tent is in the attic\n"
    assert not await memories.forget([tent], broker=HERE)
    answers += ["none", "7", "1"]
    for deleted in (False, False, True):
        done = await memories.forget_matching("my bicycle", ["all"], yes=False, broker=HERE)
        assert done is deleted
        assert len(await listed(capsys)) == (1 if deleted else 2)
    assert await memories.forget_matching("bicycle", ["all"], yes=True, broker=HERE)
    assert not await memories.forget_matching("bicycle", ["all"], yes=True, broker=HERE)
    assert await listed(capsys) == []


async def test_forget_scopes_and_everything(
    house: House, capsys: pytest.CaptureFixture[str], answers: list[str]
) -> None:
    await tell("my bicycle is red", "my bicycle is blue", "the tent is in the attic")
    await tell("the lamp is green", scope="site:kitchen")
    answers += ["no", "yes"]
    kitchen = ["site:kitchen"]
    assert not await memories.forget_scopes(kitchen, yes=False, broker=HERE)
    assert await memories.forget_scopes(kitchen, yes=False, broker=HERE)
    assert capsys.readouterr().out.endswith("forgotten: 1\n")
    assert len(await listed(capsys)) == 2
    assert await memories.forget_scopes(["all"], yes=True, broker=HERE)
    assert capsys.readouterr().out == "forgotten: 3\n"
    assert await listed(capsys, superseded=True) == []


async def test_nobody_to_ask(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await tell("my bicycle is red")
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(ConfigError, match="--yes"):
        await memories.forget_scopes(["all"], yes=False, broker=HERE)
    with pytest.raises(ConfigError, match="--yes"):
        await memories.forget_matching("bicycle", ["all"], yes=False, broker=HERE)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def test_export_and_import_go_round(
    house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, again = tmp_path / "all.jsonl", tmp_path / "again.jsonl"
    await tell("my bicycle is red", "my bicycle is blue", "Größe 42 – 東京 🚲")
    await tell("the lamp is green", scope="person:Anna")
    await memories.export_to(str(file), [], broker=HERE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await memories.import_from(str(file), broker=HERE)
    assert capsys.readouterr().out.endswith("imported: 0, there already: 4, bad lines: 0\n")
    await memories.forget_scopes(["all"], yes=True, broker=HERE)
    assert await memories.import_from(str(file), broker=HERE)
    assert capsys.readouterr().out.endswith("imported: 4, there already: 0, bad lines: 0\n")
    await memories.export_to(str(again), [], broker=HERE)
    assert text_of(again) == text_of(file)
    first = orjson.loads(text_of(file).splitlines()[0])
    assert sorted(first) == ["id", "scope", "source", "superseded_by", "text", "ts"]
    assert len(await listed(capsys)) == 3
    await memories.search("bicycle", ["all"], count=5, json=True, broker=HERE)
    assert len(orjson.loads(capsys.readouterr().out)) == 1


async def test_bad_lines_are_named_and_lose_nothing_else(
    house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = b'{"id": "%d", "text": "box %d holds nails"}'
    bad = [
        b"no json",
        b"[]",
        b'{"id": "x"}',
        b'{"id": "x", "text": ""}',
        b'{"id": "x", "text": " "}',
        b'{"id": "x", "text": "y", "scope": "anna"}',
        b'{"id": "x", "text": "y", "ts": "today"}',
        b"\xff\xfe",
    ]
    lines = [b""]
    for number, wrong in enumerate(bad):
        lines += [good % (number, number), wrong]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\n".join([*lines, good % (0, 0)]))
    assert not await memories.import_from(str(file), broker=HERE)
    out, err = capsys.readouterr()
    assert out == "imported: 8, there already: 1, bad lines: 8\n"
    assert [line.split(":")[0] for line in err.splitlines()] == [
        f"line {number}" for number in range(3, 18, 2)
    ]
    assert len(await listed(capsys)) == 8


async def test_many_memories_go_in_bounded_messages(
    house: House,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = [
        {"id": f"{number:05}", "text": f"{number} " + "ü" * 15_000, "ts": 1.5}
        for number in range(120)
    ]
    raw = b"\n".join(map(orjson.dumps, records))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    assert await memories.import_from("-", broker=HERE)
    sent = [len(payload) for topic, payload, *_ in house.broker.published if "import" in topic]
    assert len(sent) > 3
    assert max(sent) < 1_000_000
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=out))
    await memories.export_to("-", ["household"], broker=HERE)
    monkeypatch.undo()
    exported = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert [one["id"] for one in exported] == [one["id"] for one in records]
    assert [one["text"] for one in exported] == [one["text"] for one in records]
    pages = [len(payload) for topic, payload, *_ in house.broker.published if "page" in topic]
    assert len(pages) > 3
    assert max(pages) < 1_500_000


async def test_a_file_that_cannot_be_is_said_so(house: House, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        await memories.import_from(str(tmp_path / "none"), broker=HERE)
    with pytest.raises(ConfigError, match="cannot be written"):
        await memories.export_to(str(tmp_path / "none" / "file"), [], broker=HERE)


@pytest.mark.parametrize(
    "words",
    [
        ["forget"],
        ["forget", "id", "--everything"],
        ["forget", "id", "--scope", "household"],
        ["forget", "--query", "x", "--everything"],
        ["remember", " "],
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(memory_app, words).exit_code == 2
