"""What foreign tools are called here."""

from __future__ import annotations

import re
from hashlib import sha256

MAX_CHARS = 64
_DIGEST_CHARS = 8


def fitting_name(prefix: str, name: str) -> str:
    """Return `prefix.name` as a tool's name: it fits our contract, and language models' APIs.

    They allow letters, digits, `_` and `-`, 64 in all, and get `__` for our dot. Other characters
    become `_`; what is too long, or was changed, ends with a digest, so that two names stay two.

    Args:
        prefix: stands before it; empty is nothing.
        name: as the server calls it.
    """
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"
    room = MAX_CHARS - (len(prefix) + 2 if prefix else 0)
    if clean != name or len(clean) > room:
        digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARS]
        clean = f"{clean[: room - _DIGEST_CHARS - 1]}_{digest}"
    return f"{prefix}.{clean}" if prefix else clean
