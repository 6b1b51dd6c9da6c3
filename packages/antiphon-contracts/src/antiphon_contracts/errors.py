"""The one error tree.

```
AntiphonError
├── ConfigError        a setting, file or installation is wrong; the text says what mends it
├── ContractError      a message does not keep the contract
├── BusError           the broker refused, was lost or did not answer
│   ├── RequestTimeout no reply within the time allowed
│   ├── WorkerGone     the worker asked for is known to be gone
│   ├── Busy           the worker's queue is full
│   └── RemoteError    the worker answered with an error
└── EngineError        a speech, language or storage engine failed (`retryable` says if again helps)
```

Adapters translate foreign exceptions into this tree once, where they arise.
"""

from __future__ import annotations


class AntiphonError(Exception):
    """Base of every error that Antiphon raises on purpose."""


class ConfigError(AntiphonError):
    """A setting, a file or the installation is wrong."""


class ContractError(AntiphonError):
    """A message does not keep the contract."""


class BusError(AntiphonError):
    """The broker refused a message, was lost, or did not answer."""


class RequestTimeout(BusError):  # noqa: N818  (a time-out is named as such)
    """No reply came within the time allowed."""


class WorkerGone(BusError):  # noqa: N818
    """The worker that should answer is known to be gone."""


class Busy(BusError):  # noqa: N818
    """The worker's queue is full; it said so at once."""


class RemoteError(BusError):
    """The worker answered with an error.

    Attributes:
        code: machine-readable kind, e.g. `bad_request`, `engine`, `unknown_outcome`.
    """

    def __init__(self, message: str, *, code: str = "error") -> None:
        super().__init__(message)
        self.code = code


class EngineError(AntiphonError):
    """An engine (Whisper, Piper, an embedder, an LLM server, a store) failed.

    Attributes:
        retryable: whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
