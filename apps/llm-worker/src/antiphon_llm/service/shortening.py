"""What a tool returned, short enough for a prompt and still of use."""

from __future__ import annotations

import json
from typing import Any

HEAD_SHARE = 0.7
MAX_STEPS = 200


def shortened(value: Any, limit_chars: int) -> str:
    """Return a JSON value as text of at most `limit_chars` (at least 40).

    Lists lose whole items from their end, the longest list first, and say how many; a text that is
    still too long keeps its head and its tail.
    """
    if isinstance(value, str):
        return cut_text(value, limit_chars)
    text = _dumped(value)
    for _ in range(MAX_STEPS):
        if len(text) <= limit_chars:
            return text
        smaller = _with_shorter_list(value, limit_chars / len(text))
        if smaller is None:
            break
        value, text = smaller, _dumped(smaller)
    return cut_text(text, limit_chars)


def cut_text(text: str, limit_chars: int) -> str:
    """Return the head and the tail of a text that is too long, and how much is missing between."""
    if len(text) <= limit_chars:
        return text
    mark = f"… ({len(text)} characters in all, cut) …"
    room = max(0, limit_chars - len(mark))
    head = int(room * HEAD_SHARE)
    tail = room - head
    return f"{text[:head]}{mark}{text[len(text) - tail :]}"[:limit_chars]


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _with_shorter_list(value: Any, share: float) -> Any | None:
    """Return the value with its longest list cut; None if no list can give anything up."""
    if isinstance(value, list):
        return _cut_list(value, share)
    if not isinstance(value, dict):
        return None
    sizes = {k: len(_dumped(v)) for k, v in value.items() if isinstance(v, list | dict)}
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        smaller = _with_shorter_list(value[key], share)
        if smaller is not None:
            return {**value, key: smaller}
    return None


def _cut_list(items: list[Any], share: float) -> list[Any] | None:
    mark = _missing(items[-1]) if items else 0
    real = items[:-1] if mark else items
    if len(real) <= 1:
        return None
    kept = max(1, min(len(real) - 1, int(len(real) * share)))
    return [*real[:kept], f"({len(real) - kept + mark} more left out)"]


def _missing(item: Any) -> int:
    """Return how many items a mark of ours says are left out; 0 if it is none."""
    is_mark = isinstance(item, str) and item.startswith("(") and item.endswith(" more left out)")
    count = item[1:].partition(" ")[0] if is_mark else ""
    return int(count) if count.isascii() and count.isdigit() else 0
