"""HTML without what makes parsers slow, and without what nobody reads.

A parser compares each attribute of a tag with all before it: 200,000 in one tag, less than 2 MB of
page, cost libxml2 a minute (measured). No text stands in long tags, so that they lose their
attributes. Both passes take linear time: quantifiers here are possessive, and never go back.
"""

from __future__ import annotations

import re

MAX_TAG_CHARS = 1_000

_RAW = re.compile(r"<(script|style)(?=[\s>/])|<!--", re.IGNORECASE)
_ENDS = {
    "script": re.compile(r"</script[^>]*+>?", re.IGNORECASE),
    "style": re.compile(r"</style[^>]*+>?", re.IGNORECASE),
    "": re.compile(r"--!?>"),
}
# As HTML reads a tag: a quote only means one behind an equals sign.
_TAG = re.compile(r"""<([a-zA-Z][a-zA-Z0-9]{0,30}+)(?:[^>=]++|=\s*+(?:"[^"]*+"?|'[^']*+'?)?)*+>?""")


def tamed(text: str) -> str:
    """Return a page without scripts, styles and comments; very long tags keep their names only."""
    return _TAG.sub(_shortened, _without_raw(text))


def _shortened(match: re.Match[str]) -> str:
    return match[0] if match.end() - match.start() <= MAX_TAG_CHARS else f"<{match[1]}>"


def _without_raw(text: str) -> str:
    pieces: list[str] = []
    at = 0
    while (start := _RAW.search(text, at)) is not None:
        pieces.append(text[at : start.start()])
        name = (start[1] or "").lower()
        # A comment may end with the hyphens it began with: <!-->.
        end = _ENDS[name].search(text, start.end() - (0 if name else 2))
        if end is None:
            return "".join(pieces)
        at = end.end()
    return "".join([*pieces, text[at:]])
