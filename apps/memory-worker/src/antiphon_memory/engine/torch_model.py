"""sentence-transformers models, on torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from antiphon_contracts import ConfigError
from antiphon_models import ModelStore
from antiphon_runtime.extras import install_command

from antiphon_memory.embedder import Kind, Vectors
from antiphon_memory.engine.failures import failed, unfit
from antiphon_memory.engine.prefixes import Prefixes

BATCH = 32


class TorchEmbedder:
    """Any sentence-transformers model.

    Args:
        models: where the weights are.
        model: name or folder of a sentence-transformers model.
        threads: compute threads.
        prefixes: what the model wants before texts; None is nothing.
    """

    def __init__(
        self, models: ModelStore, model: str, *, threads: int, prefixes: Prefixes | None = None
    ) -> None:
        self._prefixes = prefixes or Prefixes()
        self._model_name = Path(model).name
        self.name = self._prefixes.named(self._model_name)
        self.dimension = 0
        self._models = models
        self._model = model
        self._threads = threads
        self._transformer: Any = None

    def load(self) -> None:
        """Import torch and load the weights; blocks for 5 to 12 s.

        Raises:
            ConfigError: the weights or the libraries are missing or unfit.
        """
        folder = self._models.checked_path(self._model)
        try:
            torch = import_module("torch")
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            msg = f"{error.name} is missing: {install_command('st')}"
            raise ConfigError(msg) from error
        torch.set_num_threads(self._threads)
        import_module("transformers.utils.logging").disable_progress_bar()
        try:
            self._transformer = SentenceTransformer(
                str(folder), device="cpu", local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise unfit(self._model_name) from error
        self.dimension = int(self.embed(["warm-up"]).shape[1])

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector per text, shape (n, dimension); blocks, about 8.5 ms for one.

        Raises:
            EngineError: the model failed.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        try:
            vectors = self._transformer.encode(
                self._prefixes.applied(texts, kind),
                batch_size=BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        except (RuntimeError, ValueError, IndexError) as error:
            raise failed(self._model_name, error) from error
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def close(self) -> None:
        """Let go of the weights."""
        self._transformer = None
