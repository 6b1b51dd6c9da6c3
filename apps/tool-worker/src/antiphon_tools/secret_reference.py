"""A secret that `tools.toml` names and does not hold: `{ env = "NAME" }` or `{ file = "PATH" }`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from antiphon_contracts import ConfigError
from pydantic import Field, model_validator

from antiphon_tools.section import Section
from antiphon_tools.settings import environment_variable

MAX_SECRET_CHARS = 16_384


class SecretReference(Section):
    """Where a secret is; one of the two is given.

    Attributes:
        env: name of the tool worker's environment variable that holds it.
        file: path of the file that holds it and nothing else; may begin with `~`.
    """

    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    file: Path | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError('write { env = "NAME" } or { file = "PATH" }')
        return self

    def read(self) -> str:
        """Return the secret, without the spaces and line breaks around it. Blocks.

        Raises:
            ConfigError: it is not there, empty, or no text; nothing of it is in the sentence.
        """
        where = f"the environment variable {self.env}" if self.env else f"the file {self.file}"
        try:
            secret = self._text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where} that tools.toml names cannot be read") from error
        if not secret or len(secret) > MAX_SECRET_CHARS or not secret.isprintable():
            raise ConfigError(f"{where} that tools.toml names holds no secret")
        return secret

    def _text(self) -> str:
        if self.env is not None:
            return environment_variable(self.env) or ""
        path = (self.file or Path()).expanduser()
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_SECRET_CHARS + 2)
