"""What every section of `tools.toml` is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Policy = Literal["allow", "confirm", "deny"]


class Section(BaseModel):
    """A part of the file; a key that is not known is an error, for it is a slip of the pen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
