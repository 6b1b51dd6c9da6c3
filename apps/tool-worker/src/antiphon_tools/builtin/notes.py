"""Notes: the tools `take_note` and `read_notes`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from antiphon_tools.builtin.shelf import Note, ShelfKeeper
from antiphon_tools.tool import Tool, ToolContext, ToolError, tool

MAX_NOTES = 500
_SAME_S = 600.0
_TIMEOUT_S = 5.0


def notes_tools(keeper: ShelfKeeper) -> list[Tool]:
    """Return the tools that take and read notes.

    The same words said twice within ten minutes are one note: a model that gets no answer asks
    again under another id.
    """

    @tool(
        "take_note",
        "Writes down a note, with the time.",
        {"text": {"type": "string", "minLength": 1, "maxLength": 1_000}},
        required=["text"],
        idempotent=True,
        timeout_s=_TIMEOUT_S,
    )
    async def take_note(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        text = " ".join(arguments["text"].split())
        if not text:
            raise ToolError("Say what I shall note down.", code="bad_arguments")
        async with keeper.opened(context.call_id) as shelf:
            if shelf.answer is not None:
                return shelf.answer
            newest = await shelf.notes(1)
            age_s = context.clock().timestamp() - newest[0].ts if newest else _SAME_S
            if not newest or newest[0].text != text or age_s >= _SAME_S:
                if await shelf.count_notes() >= MAX_NOTES:
                    raise ToolError(f"There are {MAX_NOTES} notes already; I can take no more.")
                await shelf.note(text)
            shelf.answer = {"text": "I noted it down."}
            return shelf.answer

    @tool(
        "read_notes",
        "Reads the newest notes.",
        {"limit": {"type": "integer", "minimum": 1, "maximum": 10, "description": "5 if unsaid."}},
        idempotent=True,
        timeout_s=_TIMEOUT_S,
    )
    async def read_notes(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        async with keeper.opened("") as shelf:
            notes = await shelf.notes(arguments.get("limit", 5))
        if not notes:
            return {"text": "There are no notes.", "notes": []}
        return {
            "text": " ".join(_said(note, context) for note in notes),
            "notes": [{"at": _at(note, context).isoformat(), "text": note.text} for note in notes],
        }

    return [take_note, read_notes]


def _at(note: Note, context: ToolContext) -> datetime:
    return datetime.fromtimestamp(round(note.ts), UTC).astimezone(context.zone)


def _said(note: Note, context: ToolContext) -> str:
    at, today = _at(note, context), context.clock().astimezone(context.zone).date()
    days = (today - at.date()).days
    day = {0: "Today", 1: "Yesterday"}.get(days) or f"On {at.day} {at:%B}"
    mark = "" if note.text.endswith((".", "!", "?")) else "."
    return f"{day} at {at:%H:%M}: {note.text}{mark}"
