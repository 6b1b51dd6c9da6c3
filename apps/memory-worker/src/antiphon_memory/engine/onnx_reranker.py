"""Cross-encoders in ONNX files: question and text are read together, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime.onnx_session import OnnxSession, open_session
from numpy.typing import NDArray

from antiphon_memory.engine.tokenizer_file import open_tokenizer

MAX_TOKENS = 256
"""Of question and text together; as long as the embedder's own."""

ROWS = 8
CLASSES = 2
FILES = ("model.onnx", "onnx/model.onnx")
"""The second is where repositories of the hub have it."""


class OnnxReranker:
    """A cross-encoder such as ms-marco-MiniLM; see `antiphon_memory.reranking.Reranker`.

    The model takes `input_ids`, and `attention_mask` and `token_type_ids` if it wants them, and
    gives one number per pair (its score), or two (no and yes; the score is their difference).

    Args:
        models: where the weights are.
        model: name or folder with `tokenizer.json`, and `model.onnx` in it or in `onnx/`.
        threads: compute threads.
    """

    def __init__(self, models: ModelStore, model: str, *, threads: int) -> None:
        self._models = models
        self._model = model
        self._threads = threads
        self._session: OnnxSession | None = None
        self._tokenizer: Any = None
        self.name = f"the reranker {Path(model).name}"

    def load(self) -> None:
        """Load the weights and score one word; blocks.

        Raises:
            ConfigError: no model is named, or the weights or the libraries are missing or unfit.
            EngineError: it is no cross-encoder.
        """
        if not self._model:
            msg = (
                "no reranker is named: set ANTIPHON_MEMORY_RERANKER_MODEL to a folder with "
                "model.onnx and tokenizer.json of a cross-encoder"
            )
            raise ConfigError(msg)
        folder = self._models.checked_path(self._model)
        files = [folder / name for name in FILES if (folder / name).is_file()]
        if not files:
            msg = f"{self.name} has no {' or '.join(FILES)} in its folder"
            raise ConfigError(msg)
        session = open_session(
            files[0],
            name=self.name,
            extra="memory",
            remedy="`antiphon models verify` checks its files",
            threads=self._threads,
        )
        self._tokenizer = open_tokenizer(folder, Path(self._model).name, max_tokens=MAX_TOKENS)
        self._session = session
        self.scores("warm-up", ["warm-up"])

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """See the port; blocks, with a model of MiniLM's size some 10 ms for each text.

        Raises:
            EngineError: the model failed, is none for this, or is not loaded.
        """
        scores = np.zeros(len(texts), dtype=np.float32)
        # Those of about one length go together, so that little is computed for the padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for begin in range(0, len(order), ROWS):
            lot = order[begin : begin + ROWS]
            scores[lot] = self._run([(question, texts[place]) for place in lot])
        return [float(score) for score in scores]

    def close(self) -> None:
        """Let go of the weights."""
        self._session = self._tokenizer = None

    def _run(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        if self._session is None:
            msg = f"{self.name} is not loaded"
            raise EngineError(msg, retryable=True)
        encoded = self._tokenizer.encode_batch(pairs)
        feeds = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
        }
        logits = self._session.run(
            {name: feed for name, feed in feeds.items() if name in self._session.inputs}
        )[0]
        if logits.shape not in {(len(pairs), 1), (len(pairs), CLASSES)}:
            msg = f"{self.name} is no cross-encoder: it gives {logits.shape} for {len(pairs)} pairs"
            raise EngineError(msg)
        # Of one column the last is the score, and of two it is what speaks for yes.
        scores: NDArray[np.float32] = logits[:, -1].astype(np.float32)
        return scores - logits[:, 0] if logits.shape[1] == CLASSES else scores
