"""Models on onnxruntime: what is said when one is missing, broken, or fails."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.onnx_session import OnnxSession, open_session

pytestmark = pytest.mark.unit

# y = x + x, for a float32 x of two numbers.
DOUBLE = base64.b64decode(
    "CAg6OgoOCgF4CgF4EgF5IgNBZGQSBmRvdWJsZVoPCgF4EgoKCAgBEgQKAggCYg8KAXkSCgoICAESBAoCCAJCBAoAEA0="
)


def opened(path: Path) -> OnnxSession:
    return open_session(path, name="Doubler", extra="stt", remedy="fetch it")


def test_a_model_answers_and_an_input_that_does_not_fit_is_an_engine_error(tmp_path: Path) -> None:
    path = tmp_path / "double.onnx"
    path.write_bytes(DOUBLE)
    session = opened(path)
    (doubled,) = session.run({"x": np.array([1, 2], dtype=np.float32)})
    assert doubled.tolist() == [2, 4]
    for unfit in (np.zeros(3, dtype=np.float32), np.zeros(2, dtype=np.int64)):
        with pytest.raises(EngineError, match="Doubler failed") as caught:
            session.run({"x": unfit})
        assert not caught.value.retryable


@pytest.mark.parametrize("content", [None, b"", b"not a model", DOUBLE[:20]])
def test_weights_that_do_not_load_name_what_mends_them(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="weights of Doubler do not load: fetch it"):
        opened(path)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"Doubler needs onnxruntime: .*\[stt\]"):
        opened(tmp_path / "any.onnx")
