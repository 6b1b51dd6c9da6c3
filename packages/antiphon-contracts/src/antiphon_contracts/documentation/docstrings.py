"""What a payload's docstring says, of the whole and of each field."""

from __future__ import annotations

import inspect
import re

from antiphon_contracts.envelope import Payload

_FIELD = re.compile(r"^    (\w+): (.*)$")

_NONE = re.compile(r"\bNone\b")


def summary(model: type[Payload]) -> str:
    """Return what stands before `Attributes:`, as one paragraph per blank-separated block."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")[0]
    blocks = text.strip().split("\n\n")
    return _NONE.sub("null", "\n\n".join(" ".join(block.split()) for block in blocks))


def field_texts(model: type[Payload]) -> dict[str, str]:
    """Return what `Attributes:` says of each field, in order; `None` reads `null`."""
    section = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    texts: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        found = _FIELD.match(line)
        if found:
            name = found[1]
            texts[name] = found[2]
        elif name and line.strip():
            texts[name] += f" {line.strip()}"
    return {name: _NONE.sub("null", text) for name, text in texts.items()}
