"""Embedding engines: text to unit vectors.

Both give the same vectors for all-MiniLM-L6-v2 (cosine at least 0.999): mean pooling over the
attention mask, L2 norm, texts cut at 256 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore

from antiphon_memory.settings import MemorySettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 256
BATCH = 32
ONNX_MODEL = "minilm-l6-v2-int8"
TORCH_MODEL = "minilm-l6-v2"


class OnnxEmbedder:
    """all-MiniLM-L6-v2, or a model with the same inputs, on onnxruntime.

    Args:
        models: where the weights are.
        model: name or folder with `model.onnx` and `tokenizer.json`.
        threads: compute threads.
    """

    def __init__(self, models: ModelStore, model: str, *, threads: int) -> None:
        self.name = Path(model).name
        self.dimension = 0
        self._models = models
        self._model = model
        self._threads = threads
        self._session: Any = None
        self._tokenizer: Any = None

    def load(self) -> None:
        """Load the weights; blocks for about 0.3 s.

        Raises:
            ConfigError: the weights or the libraries are missing or unfit.
        """
        folder = self._models.checked_path(self._model)
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            msg = f"{error.name} is missing; install it with: pip install 'antiphon[memory]'"
            raise ConfigError(msg) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _unfit(self.name) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self.dimension = int(self.embed(["warm-up"]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension); blocks, about 3.5 ms for one.

        Raises:
            EngineError: the model failed.
        """
        import numpy as np

        blocks = [self._embed_batch(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.dimension), dtype=np.float32)

    def _embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {node.name for node in self._session.get_inputs()}
        try:
            hidden = self._session.run(None, {k: v for k, v in feeds.items() if k in wanted})[0]
        except _onnx_errors() as error:
            raise _failed(self.name, error) from error
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
        norm = np.linalg.norm(mean, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (mean / np.maximum(norm, 1e-12)).astype(np.float32)
        return unit


class TorchEmbedder:
    """Any sentence-transformers model, on torch.

    Args:
        models: where the weights are.
        model: name or folder of a sentence-transformers model.
        threads: compute threads.
    """

    def __init__(self, models: ModelStore, model: str, *, threads: int) -> None:
        self.name = Path(model).name
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
            msg = f"{error.name} is missing; install it with: pip install 'antiphon[st]'"
            raise ConfigError(msg) from error
        torch.set_num_threads(self._threads)
        import_module("transformers.utils.logging").disable_progress_bar()
        try:
            self._transformer = SentenceTransformer(
                str(folder), device="cpu", local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise _unfit(self.name) from error
        self.dimension = int(self.embed(["warm-up"]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension); blocks, about 8.5 ms for one.

        Raises:
            EngineError: the model failed.
        """
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        try:
            vectors = self._transformer.encode(
                list(texts),
                batch_size=BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        except (RuntimeError, ValueError, IndexError) as error:
            raise _failed(self.name, error) from error
        return np.ascontiguousarray(vectors, dtype=np.float32)


def onnx(settings: MemorySettings, models: ModelStore) -> OnnxEmbedder:
    """Return the light embedder; nothing is loaded yet."""
    return OnnxEmbedder(models, settings.model or ONNX_MODEL, threads=settings.threads)


def sentence_transformers(settings: MemorySettings, models: ModelStore) -> TorchEmbedder:
    """Return the embedder for any sentence-transformers model; nothing is loaded yet."""
    return TorchEmbedder(models, settings.model or TORCH_MODEL, threads=settings.threads)


def _unfit(name: str) -> ConfigError:
    return ConfigError(
        f"the embedding model {name} cannot be loaded; `antiphon models verify` checks its files"
    )


def _failed(name: str, error: Exception) -> EngineError:
    return EngineError(
        f"the embedding model {name} failed with {type(error).__name__}", retryable=True
    )


def _onnx_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "RuntimeException", "NotImplemented", "EPFail")
    return tuple(getattr(state, name) for name in names)
