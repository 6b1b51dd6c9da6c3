"""What a local model's failure is to everybody else."""

from __future__ import annotations

from antiphon_contracts import ConfigError, EngineError


def unfit(name: str) -> ConfigError:
    """Return the error of weights that do not load."""
    return ConfigError(
        f"the embedding model {name} cannot be loaded; `antiphon models verify` checks its files"
    )


def failed(name: str, error: Exception) -> EngineError:
    """Return the error of a model that loaded and then failed."""
    return EngineError(
        f"the embedding model {name} failed with {type(error).__name__}", retryable=True
    )
