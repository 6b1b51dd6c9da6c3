"""Lists: the tools `list_add`, `list_remove`, `list_show` and `list_clear`.

A call that comes again is answered as it was the first time, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from antiphon_tools.builtin.item_names import enumerated, item_key, item_text, list_name
from antiphon_tools.builtin.shelf import Item, Shelf, ShelfKeeper
from antiphon_tools.lookup_sections import ListsSection
from antiphon_tools.tool import Tool, ToolContext, ToolError, ToolFunction, tool

MAX_LISTS = 50
MAX_ITEMS = 300
MAX_SHOWN = 150
"""So many things of a list are in a result, which may have 64 KiB."""

_TIMEOUT_S = 5.0
_ITEMS = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 120},
    "minItems": 1,
    "maxItems": 50,
}


class Lists:
    """The lists of the house, as tools.

    Args:
        keeper: where they are kept.
        section: which are always there.
        on_names: told the names of all lists after each change.
    """

    def __init__(
        self,
        keeper: ShelfKeeper,
        section: ListsSection,
        on_names: Callable[[Sequence[str]], None],
    ) -> None:
        self._keeper = keeper
        self._section = section
        self._on_names = on_names

    def tools(self, known: Sequence[str]) -> list[Tool]:
        """Return the tools; `known` are the names of lists that are there already."""
        names = list(dict.fromkeys((*self._section.names, self._section.default, *known)))
        name = {
            "type": "string",
            "minLength": 1,
            "maxLength": 60,
            "description": "Which list.",
            "examples": names[:MAX_LISTS],
        }
        kinds: tuple[tuple[str, str, dict[str, Any], list[str], ToolFunction], ...] = (
            ("list_add", "Puts things on a list.", {"items": _ITEMS}, ["list", "items"], self._add),
            (
                *("list_remove", "Takes things off a list."),
                *({"items": _ITEMS}, ["list", "items"], self._remove),
            ),
            ("list_show", "Tells what is on a list.", {}, [], self._show),
            ("list_clear", "Takes everything off a list.", {}, [], self._clear),
        )
        return [
            tool(
                *(kind, description, {"list": name, **properties}),
                required=required,
                idempotent=True,
                timeout_s=_TIMEOUT_S,
            )(function)
            for kind, description, properties, required, function in kinds
        ]

    async def _add(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        name, wanted = self._name(arguments), _items(arguments)
        async with self._keeper.opened(context.call_id) as shelf:
            if shelf.answer is not None:
                return shelf.answer
            there = {item.key for item in await shelf.items(name)}
            new = [item for item in wanted if item.key not in there]
            old = [item for item in wanted if item.key in there]
            await self._require_room(shelf, name, len(there) + len(new), is_new=not there)
            for item in new:
                await shelf.add(name, item)
            return await self._answered(shelf, name, _said_of_adding(name, new, old), new)

    async def _require_room(self, shelf: Shelf, name: str, count: int, *, is_new: bool) -> None:
        if count > MAX_ITEMS:
            raise ToolError(f"The {_called(name)} is full; take something off first.")
        if is_new and len(await shelf.names()) >= MAX_LISTS:
            raise ToolError("There are too many lists; clear one first.")

    async def _remove(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        name, wanted = self._name(arguments), _items(arguments)
        async with self._keeper.opened(context.call_id) as shelf:
            if shelf.answer is not None:
                return shelf.answer
            there = {item.key: item for item in await shelf.items(name)}
            found = [there[item.key] for item in wanted if item.key in there]
            missing = [item for item in wanted if item.key not in there]
            await shelf.remove(name, [item.key for item in found])
            sentences = []
            if found:
                sentences.append(f"I took {_texts(found)} off the {_called(name)}.")
            if missing:
                sentences.append(f"{_upper(_are(missing))} not on the {_called(name)}.")
            return await self._answered(shelf, name, " ".join(sentences), found)

    async def _show(self, arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        name = self._name(arguments)
        async with self._keeper.opened("") as shelf:
            items = await shelf.items(name)
            sentence = (
                f"On the {_called(name)}: {_texts(items)}."
                if items
                else f"The {_called(name)} is empty."
            )
            return await self._answered(shelf, name, sentence)

    async def _clear(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        name = self._name(arguments)
        async with self._keeper.opened(context.call_id) as shelf:
            if shelf.answer is not None:
                return shelf.answer
            items = await shelf.items(name)
            await shelf.remove(name, [item.key for item in items])
            things = "one thing" if len(items) == 1 else f"{len(items)} things"
            sentence = (
                f"I cleared the {_called(name)}; it had {things} on it."
                if items
                else f"The {_called(name)} was empty already."
            )
            return await self._answered(shelf, name, sentence, items)

    def _name(self, arguments: Mapping[str, Any]) -> str:
        return list_name(arguments.get("list") or "") or self._section.default

    async def _answered(
        self, shelf: Shelf, name: str, sentence: str, changed: Sequence[Item] = ()
    ) -> JsonValue:
        """Return a result: a sentence, what is on the list now, and what was put on or taken off.

        Of a long list the first things are told.
        """
        texts: list[JsonValue] = [item.text for item in (await shelf.items(name))[:MAX_SHOWN]]
        differs: list[JsonValue] = [item.text for item in changed[:MAX_SHOWN]]
        shelf.answer = {"text": sentence, "list": texts, "changed": differs}
        self._on_names(await shelf.names())
        return shelf.answer


def _items(arguments: Mapping[str, Any]) -> list[Item]:
    found = {item_key(text): item_text(text) for text in reversed(arguments["items"])}
    items = [Item(key, text) for key, text in reversed(found.items()) if key]
    if not items:
        raise ToolError("Say what it is, e.g. milk.", code="bad_arguments")
    return items


def _said_of_adding(name: str, new: Sequence[Item], old: Sequence[Item]) -> str:
    if not new:
        return f"{_upper(_are(old))} already on the {_called(name)}."
    added = f"I put {_texts(new)} on the {_called(name)}"
    return f"{added}; {_are(old)} already on it." if old else f"{added}."


def _are(items: Sequence[Item]) -> str:
    [last, *others] = reversed(items)
    is_many = bool(others) or last.text.casefold() != last.key
    return f"{_texts(items)} {'are' if is_many else 'is'}"


def _texts(items: Sequence[Item]) -> str:
    return enumerated([item.text for item in items])


def _called(name: str) -> str:
    return f"{name} list"


def _upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
