"""Which tools are shown to a model that can tell only a few apart."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from antiphon_contracts import ToolSpec

from antiphon_llm.service.budget import MESSAGE_TOKENS, tokens_of

_WORD = re.compile(r"[^\W_]+")
STEM_CHARS = 5
"""Words count as the same by their beginning: `lights` and `light`, `timers` and `timer`."""

NAME_WEIGHT = 3
MAX_DEPTH = 4
SATURATION = 1.2  # BM25's k1


def relevant(specs: Sequence[ToolSpec], text: str, limit: int) -> tuple[ToolSpec, ...]:
    """Return at most `limit` tools, those that share the rarest words with a text, in their order.

    Words of name, description and arguments (with the values that they allow) are compared as BM25
    does, without the length of the texts. 0 is no limit.
    """
    if not limit or len(specs) <= limit:
        return tuple(specs)
    best = ranked(specs, text)[:limit]
    return tuple(spec for spec in specs if spec in best)


def in_budget(specs: Sequence[ToolSpec], text: str, budget_tokens: int) -> tuple[ToolSpec, ...]:
    """Return the most relevant tools that fit into a budget, in their order.

    One that is too large keeps no other away.
    """
    if tokens_of_tools(specs) <= budget_tokens:
        return tuple(specs)
    kept, left = [], budget_tokens
    for spec in ranked(specs, text):
        size = tokens_of_tools([spec])
        if size <= left:
            left -= size
            kept.append(spec)
    return tuple(spec for spec in specs if spec in kept)


def tokens_of_tools(specs: Iterable[ToolSpec]) -> int:
    """Return roughly how many tokens tools take in a prompt."""
    return sum(
        tokens_of(f"{spec.name}{spec.description}{json.dumps(spec.parameters)}") + MESSAGE_TOKENS
        for spec in specs
    )


def ranked(specs: Sequence[ToolSpec], text: str) -> list[ToolSpec]:
    """Return tools, those first that share most with a text; see `relevant`."""
    bags = [_bag(spec) for spec in specs]
    spread = Counter(word for bag in bags for word in bag)
    asked = set(_stems(text))

    def score(at: int) -> float:
        return sum(
            math.log(1 + len(specs) / spread[word])
            * (bags[at][word] * (SATURATION + 1) / (bags[at][word] + SATURATION))
            for word in asked & bags[at].keys()
        )

    return [specs[at] for at in sorted(range(len(specs)), key=lambda at: (-score(at), at))]


def _bag(spec: ToolSpec) -> Counter[str]:
    bag = Counter(_stems(spec.description))
    for word in _stems(spec.name):
        bag[word] += NAME_WEIGHT
    bag.update(_stems(" ".join(_texts(spec.parameters))))
    return bag


def _texts(schema: Any, depth: int = 0) -> Iterable[str]:
    if depth > MAX_DEPTH:
        return
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, list):
        for item in schema:
            yield from _texts(item, depth + 1)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
            if key in {"properties", "items", "enum", "examples", "description"} or depth % 2:
                yield from _texts(value, depth + 1)


def _stems(text: str) -> list[str]:
    return [word[:STEM_CHARS] for word in _WORD.findall(text.lower()) if len(word) > 1]
