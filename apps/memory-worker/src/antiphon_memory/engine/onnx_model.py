"""Models in ONNX files: the light engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from antiphon_contracts import EngineError
from antiphon_models import ModelStore
from antiphon_runtime.onnx_session import OnnxSession, open_session

from antiphon_memory.embedder import Kind, Vectors
from antiphon_memory.engine.prefixes import Prefixes
from antiphon_memory.engine.tokenizer_file import open_tokenizer

MAX_TOKENS = 256

ROWS = 8
"""Texts of one run: with MiniLM on one core more are not faster, and pad each other more."""


class OnnxEmbedder:
    """all-MiniLM-L6-v2, or a model with the same inputs, on onnxruntime.

    Mean pooling over the attention mask, L2 norm, texts cut at 256 tokens. Texts of about the same
    length are computed together, each lot on one core: a batch uses several cores, one text never.

    Args:
        models: where the weights are.
        model: name or folder with `model.onnx` and `tokenizer.json`.
        threads: cores for questions that come together.
        document_threads: cores for documents.
        prefixes: what the model wants before texts; None is nothing.
    """

    def __init__(
        self,
        models: ModelStore,
        model: str,
        *,
        threads: int,
        document_threads: int = 1,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._prefixes = prefixes or Prefixes()
        self._model_name = Path(model).name
        self.name = self._prefixes.named(self._model_name)
        self.dimension = 0
        self._models = models
        self._model = model
        self._lanes: dict[Kind, int] = {"query": threads, "document": document_threads}
        self._pool: ThreadPoolExecutor | None = None
        self._session: OnnxSession | None = None
        self._tokenizer: Any = None

    def load(self) -> None:
        """Load the weights; blocks for about 0.3 s.

        Raises:
            ConfigError: the weights or the libraries are missing or unfit.
        """
        folder = self._models.checked_path(self._model)
        # Cores are used by runs beside each other: more threads do not make one short text faster.
        session = open_session(
            folder / "model.onnx",
            name=f"the embedding model {self._model_name}",
            extra="memory",
            remedy="`antiphon models verify` checks its files",
        )
        self._tokenizer = open_tokenizer(folder, self._model_name, max_tokens=MAX_TOKENS)
        self._session = session
        helpers = max(self._lanes.values()) - 1
        if helpers:
            self._pool = ThreadPoolExecutor(helpers, thread_name_prefix="embedder-helper")
        self.dimension = self._run(["warm-up"]).shape[1]

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector per text, shape (n, dimension); blocks, about 3.5 ms for one.

        Raises:
            EngineError: the model failed, or is not loaded.
        """
        prefixed = self._prefixes.applied(texts, kind)
        if len(prefixed) == 1:
            return self._run(prefixed)
        vectors = np.empty((len(prefixed), self.dimension), dtype=np.float32)
        lanes = self._lanes[kind]
        rows = max(1, min(ROWS, ceil(len(prefixed) / lanes)))
        # The longest go first, so that the lanes end at about the same time.
        order = sorted(range(len(prefixed)), key=lambda i: len(prefixed[i]), reverse=True)
        lots = deque(order[i : i + rows] for i in range(0, len(order), rows))

        def work() -> None:
            while True:
                try:
                    lot = lots.popleft()
                except IndexError:
                    return
                vectors[lot] = self._run([prefixed[i] for i in lot])

        self._in_lanes(work, min(lanes, len(lots)))
        return vectors

    def close(self) -> None:
        """Let go of the weights and the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._session = self._tokenizer = None

    def _in_lanes(self, work: Any, lanes: int) -> None:
        pool = self._pool
        helpers = [] if pool is None else [pool.submit(work) for _ in range(lanes - 1)]
        try:
            work()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()

    def _run(self, texts: Sequence[str]) -> Vectors:
        if self._session is None:
            msg = f"the embedding model {self._model_name} is not loaded"
            raise EngineError(msg)
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(
            {name: feed for name, feed in feeds.items() if name in self._session.inputs}
        )[0]
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
        norm = np.linalg.norm(mean, axis=1, keepdims=True)
        unit: Vectors = (mean / np.maximum(norm, 1e-12)).astype(np.float32)
        return unit
