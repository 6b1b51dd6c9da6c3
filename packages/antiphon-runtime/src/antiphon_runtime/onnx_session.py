"""Models on onnxruntime: opened in one way, and its errors told in ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from antiphon_contracts import ConfigError, EngineError

from antiphon_runtime.extras import install_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

    class _Session(Protocol):
        """The part of onnxruntime.InferenceSession in use here; it ships no types."""

        def get_inputs(self) -> list[Any]: ...

        def run(self, outputs: None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]: ...


class OnnxSession:
    """A loaded model on the CPU; safe to share between threads. Made by `open_session`.

    Args:
        session: onnxruntime's.
        name: the model's, for people.
        errors: what onnxruntime raises.

    Attributes:
        inputs: the names of the model's inputs.
    """

    def __init__(self, session: _Session, name: str, errors: tuple[type[Exception], ...]) -> None:
        self._session = session
        self._name = name
        self._errors = errors
        self.inputs: frozenset[str] = frozenset(node.name for node in session.get_inputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return all outputs, in the model's order.

        Raises:
            EngineError: the model failed on these inputs.
        """
        try:
            return self._session.run(None, inputs)
        except self._errors as error:
            msg = f"{self._name} failed on its input ({type(error).__name__})"
            raise EngineError(msg) from error


def open_session(
    path: Path, *, name: str, extra: str, remedy: str, threads: int = 1
) -> OnnxSession:
    """Load a model for the CPU. Threads that wait for work sleep; nothing is logged.

    Args:
        path: its `.onnx` file.
        name: what it is called, for people.
        extra: the extra that brings onnxruntime.
        remedy: the command that brings the weights anew.
        threads: compute threads.

    Raises:
        ConfigError: onnxruntime is not installed, or the weights do not load; the text says what
            mends it.
    """
    try:
        import onnxruntime  # noqa: PLC0415  (an optional extra, and 0.2 s to import)
        from onnxruntime.capi import (  # noqa: PLC0415  (as above)
            onnxruntime_pybind11_state as states,
        )
    except ImportError as error:
        msg = f"{name} needs onnxruntime: {install_command(extra)}"
        raise ConfigError(msg) from error
    errors = _errors_of(states)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)
    except errors as error:
        msg = f"the weights of {name} do not load: {remedy}"
        raise ConfigError(msg) from error
    return OnnxSession(session, name, errors)


def _errors_of(states: object) -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: its errors have no root of their own."""
    own = [
        each
        for each in vars(states).values()
        if isinstance(each, type) and issubclass(each, Exception)
    ]
    return (*own, RuntimeError)
