"""What is said when the embedded model's own library is not there, or cannot be loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from antiphon_contracts import ConfigError
from antiphon_llm.engine.embedded import EmbeddedOptions, _start

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "mends"),
    [
        ('ModuleNotFoundError("No module named xllamacpp")', r"pip install .*\[llm\]"),
        (
            'ImportError("libgomp.so.1: no such file")',
            "libgomp.so.1.*apt install",
        ),
    ],
)
def test_the_sentence_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str, mends: str
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    with pytest.raises(ConfigError, match=mends):
        _start(EmbeddedOptions(weights=tmp_path / "none.gguf"), "key", [])
