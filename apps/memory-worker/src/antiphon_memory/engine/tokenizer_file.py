"""Tokenizers of local models, from their `tokenizer.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command

from antiphon_memory.engine.failures import unfit


def open_tokenizer(folder: Path, name: str, *, max_tokens: int) -> Any:
    """Return the tokenizer of the model in `folder`; it cuts and pads. It ships no types.

    Args:
        folder: has `tokenizer.json` in it.
        name: of the model, for people.
        max_tokens: what is longer is cut; of a pair of texts, the longer one.

    Raises:
        ConfigError: the library is missing, or the file is missing or unfit.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        msg = f"{error.name} is missing: {install_command('memory')}"
        raise ConfigError(msg) from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # tokenizers raises a bare Exception for a file that it cannot read.
    except Exception as error:
        raise unfit(name) from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding()
    return tokenizer
