import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from antiphon_contracts import EngineError
from antiphon_tools import Tool, ToolContext, ToolError
from antiphon_tools.builtin.item_names import item_key, list_name
from antiphon_tools.builtin.lists import MAX_ITEMS, MAX_LISTS, MAX_SHOWN, Lists
from antiphon_tools.builtin.notes import MAX_NOTES, notes_tools
from antiphon_tools.engine import ListsFile
from antiphon_tools.lookup_sections import ListsSection
from antiphon_tools.service import MAX_OUTPUT_BYTES

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 7, 30, tzinfo=UTC)


class NoMemory:
    async def remember(self, text: str) -> Sequence[str]:
        raise ToolError(text)

    async def query(self, text: str) -> Sequence[str]:
        raise ToolError(text)


class Shelves:
    """The tools of lists and notes, on a file."""

    def __init__(self, path: Path) -> None:
        self.now_s = NOON.timestamp()
        self.names: list[str] = []
        self.file = ListsFile(path, lambda: self.now_s)
        made = Lists(self.file, ListsSection(), self.on_names).tools([])
        self.tools: dict[str, Tool] = {t.spec.name: t for t in (*made, *notes_tools(self.file))}
        self._calls = 0

    def on_names(self, names: Sequence[str]) -> None:
        self.names = list(names)

    async def call(self, tool: str, call_id: str = "", **arguments: Any) -> Any:
        self._calls += 1
        context = ToolContext(
            *("kitchen", None, NoMemory(), lambda: datetime.fromtimestamp(self.now_s, UTC), UTC),
            call_id or f"call-{self._calls}",
        )
        return await self.tools[tool](arguments, context)

    async def text(self, tool: str, call_id: str = "", **arguments: Any) -> str:
        return str((await self.call(tool, call_id, **arguments))["text"])


@pytest.fixture
async def shelves(tmp_path: Path) -> AsyncIterator[Shelves]:
    made = Shelves(tmp_path / "new" / "lists.sqlite")
    yield made
    await made.file.close()


async def test_a_list_from_its_first_thing_to_its_last(shelves: Shelves) -> None:
    say = shelves.text
    assert await say("list_show") == "The shopping list is empty."
    added = await shelves.call("list_add", list="shopping", items=["milk", "two eggs", "Bread"])
    assert added == {
        "text": "I put milk, two eggs and Bread on the shopping list.",
        "list": ["milk", "two eggs", "Bread"],
        "changed": ["milk", "two eggs", "Bread"],
    }
    assert await say("list_show", list="my shopping list") == (
        "On the shopping list: milk, two eggs and Bread."
    )
    assert await say("list_remove", list="Shopping", items=["the breads"]) == (
        "I took Bread off the shopping list."
    )
    assert await say("list_clear", list="shopping") == (
        "I cleared the shopping list; it had 2 things on it."
    )
    assert await say("list_clear") == "The shopping list was empty already."


async def test_what_is_there_is_not_put_there_again(shelves: Shelves) -> None:
    say = shelves.text
    await say("list_add", list="shopping", items=["milk", "egg"])
    assert await say("list_add", list="shopping", items=["some Milk"]) == (
        "Milk is already on the shopping list."
    )
    done = await shelves.call("list_add", list="shopping", items=["eggs", "tea", "Tea"])
    assert done["text"] == "I put tea on the shopping list; eggs are already on it."
    assert done["changed"] == ["tea"]
    assert done["list"] == ["milk", "egg", "tea"]


async def test_what_is_not_there_cannot_be_taken_off(shelves: Shelves) -> None:
    await shelves.text("list_add", list="shopping", items=["tomatoes", "cherries"])
    said = await shelves.text("list_remove", list="shopping", items=["tomato", "cherry", "gas"])
    assert (
        said
        == "I took tomatoes and cherries off the shopping list. Gas is not on the shopping list."
    )


async def test_lists_are_apart_and_their_names_are_known(shelves: Shelves) -> None:
    await shelves.text("list_add", list="the packing list", items=["socks"])
    await shelves.text("list_add", list="shopping", items=["milk"])
    assert shelves.names == ["packing", "shopping"]
    assert (await shelves.call("list_show", list="packing"))["list"] == ["socks"]


async def test_a_call_that_comes_again_changes_nothing(shelves: Shelves) -> None:
    first = await shelves.call("list_add", "c1", list="shopping", items=["milk"])
    await shelves.text("list_remove", "c2", list="shopping", items=["milk"])
    assert await shelves.call("list_add", "c1", list="shopping", items=["milk"]) == first
    assert (await shelves.call("list_show"))["list"] == []
    await shelves.text("take_note", "c3", text="The key is under the mat")
    await shelves.text("take_note", "c4", text="Something else")
    assert await shelves.text("take_note", "c3", text="The key is under the mat") == (
        "I noted it down."
    )
    assert len((await shelves.call("read_notes"))["notes"]) == 2


async def test_it_is_all_there_after_a_restart_also_what_was_answered(tmp_path: Path) -> None:
    answers = []
    for _ in range(2):
        shelves = Shelves(tmp_path / "lists.sqlite")
        answers.append(await shelves.call("list_add", "c1", list="shopping", items=["milk"]))
        await shelves.file.close()
    assert answers[0] == answers[1]
    assert answers[0]["text"] == "I put milk on the shopping list."


async def test_a_call_that_is_cancelled_leaves_the_lists_usable(shelves: Shelves) -> None:
    await shelves.text("list_show")
    for turns in range(25):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            call = shelves.call("list_add", f"x{turns}", list="shopping", items=[f"thing {turns}a"])
            task = group.create_task(call, name="add")
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
    await shelves.text("list_add", list="shopping", items=["milk"])
    assert "milk" in (await shelves.call("list_show"))["list"]


async def test_twenty_at_once_are_all_there(shelves: Shelves) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(20):
            call = shelves.call("list_add", list="shopping", items=[f"item {number}x"])
            group.create_task(call, name=f"add {number}")
    assert len((await shelves.call("list_show"))["list"]) == 20
    assert (await shelves.text("list_show")).count(",") == 18


async def test_lists_are_bounded(shelves: Shelves) -> None:
    for start in range(0, MAX_ITEMS, 50):
        items = [f"thing {number}x" for number in range(start, start + 50)]
        await shelves.call("list_add", list="shopping", items=items)
    shown = await shelves.call("list_show")
    assert shown["text"].endswith(f"and {MAX_ITEMS - 20} more.")
    assert len(shown["list"]) == MAX_SHOWN
    with pytest.raises(ToolError, match="full"):
        await shelves.call("list_add", list="shopping", items=["one more"])
    for number in range(MAX_LISTS - 1):
        await shelves.call("list_add", list=f"list no {number}", items=["x"])
    with pytest.raises(ToolError, match="too many lists"):
        await shelves.call("list_add", list="another", items=["x"])
    assert (await shelves.call("list_show", list="another"))["list"] == []


async def test_words_without_a_thing_are_refused(shelves: Shelves) -> None:
    with pytest.raises(ToolError, match="Say what it is"):
        await shelves.call("list_add", list="shopping", items=["  ", "..."])


async def test_notes_are_read_newest_first_with_their_time(shelves: Shelves) -> None:
    assert await shelves.text("read_notes") == "There are no notes."
    shelves.now_s = datetime(2026, 11, 2, 9, 5, tzinfo=UTC).timestamp()
    await shelves.text("take_note", text="Boiler pressure 1.4")
    shelves.now_s = datetime(2026, 11, 20, 18, 0, tzinfo=UTC).timestamp()
    await shelves.text("take_note", text="Is it on?")
    shelves.now_s = NOON.timestamp()
    await shelves.text("take_note", text="Call Anna.")
    await shelves.text("take_note", text="Call  Anna.")  # the same within ten minutes
    read = await shelves.call("read_notes")
    assert read["text"] == (
        "Today at 12:07: Call Anna. Yesterday at 18:00: Is it on? "
        "On 2 November at 09:05: Boiler pressure 1.4."
    )
    assert read["notes"][0] == {"at": "2026-11-21T12:07:30+00:00", "text": "Call Anna."}
    assert len((await shelves.call("read_notes", limit=2))["notes"]) == 2


async def test_notes_are_bounded(shelves: Shelves) -> None:
    async with shelves.file.opened("") as shelf:
        for number in range(MAX_NOTES):
            await shelf.note(f"note {number}")
    with pytest.raises(ToolError, match="can take no more"):
        await shelves.call("take_note", text="one more")


async def test_a_damaged_file_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lists.sqlite"
    path.write_bytes(b"no database, " * 1000)
    shelves = Shelves(path)
    with pytest.raises(EngineError, match=r"cannot be read or written \(SQLITE_NOTADB\).*sqlite"):
        await shelves.call("list_show")


async def test_the_file_is_for_its_owner_only(shelves: Shelves, tmp_path: Path) -> None:
    await shelves.text("list_show")
    path = tmp_path / "new" / "lists.sqlite"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("milk", "The milk"),
        ("egg", "some eggs"),
        ("cherry", "cherries"),
        ("box of matches", "box of  Match."),
        ("tomato", "tomatoes"),
        ("potato", "Potatoes"),
        ("apple pie", "apple pies"),
        ("a bus", "bus"),
        ("glass", "glasses"),
    ],
)
def test_the_same_thing_in_other_words(one: str, other: str) -> None:
    assert item_key(one) == item_key(other)


def test_names_of_lists() -> None:
    said = ["shopping", "my shopping list", "the Shopping List", "shopping list"]
    assert {list_name(text) for text in said} == {"shopping"}
    assert list_name("list") == "list"
    assert list_name("to-do") == "to-do"


async def test_the_largest_answers_fit_into_a_result(shelves: Shelves) -> None:
    for start in range(0, MAX_ITEMS, 50):
        items = [f"{number} {'漢' * 110}" for number in range(start, start + 50)]
        await shelves.call("list_add", list="shopping", items=items)
    for number in range(10):
        await shelves.call("take_note", text=f"{number} {'漢' * 990}")
    for answer in (await shelves.call("list_show"), await shelves.call("read_notes", limit=10)):
        assert len(orjson.dumps(answer)) <= MAX_OUTPUT_BYTES
