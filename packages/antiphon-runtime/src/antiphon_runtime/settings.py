"""Settings: environment > `antiphon.toml` > defaults.

Every worker has one frozen class of this kind; no other code reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from antiphon_contracts import ConfigError
from platformdirs import user_config_path, user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

S = TypeVar("S", bound="Settings")

# Nothing leaves the house: onnxruntime (1.29 and newer) and huggingface_hub report home by default.
# Both read this when they are imported, which no worker does before its settings.
for _name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")


def config_path() -> Path | None:
    """Return the `antiphon.toml` in force: $ANTIPHON_CONFIG, ./, or the user's config folder.

    Raises:
        ConfigError: $ANTIPHON_CONFIG names a file that is not there.
    """
    named = os.environ.get("ANTIPHON_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            msg = f"ANTIPHON_CONFIG names {named}, which is no file"
            raise ConfigError(msg)
        return path
    for folder in (Path.cwd(), user_config_path("antiphon")):
        path = folder / "antiphon.toml"
        if path.is_file():
            return path
    return None


def _section(name: str) -> dict[str, Any]:
    path = config_path()
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise ConfigError(msg) from error
    section = table.get(name, {})
    if not isinstance(section, dict):
        msg = f"{path}: {name} must be a table, written [{name}]"
        raise ConfigError(msg)
    return section


class Settings(BaseSettings):
    """Base of all settings: frozen; a wrong name or value is refused with a sentence.

    Subclasses set `section` (the table in `antiphon.toml`) and
    `model_config = SettingsConfigDict(env_prefix="ANTIPHON_<SECTION>_")`.
    A path may begin with `~`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)
    section: ClassVar[str]

    @field_validator("*", mode="after")
    @classmethod
    def _at_home(cls, value: object) -> object:
        return value.expanduser() if isinstance(value, Path) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic's signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file before defaults."""
        table = InitSettingsSource(settings_cls, init_kwargs=_section(cls.section))
        return init_settings, env_settings, table


def load_settings(settings: type[S], **overrides: Any) -> S:
    """Return the settings in force.

    Raises:
        ConfigError: a name or value is wrong; the text says which and never shows a value.
    """
    try:
        return settings(**overrides)
    except SettingsError as error:
        raise ConfigError(f"wrong setting for [{settings.section}]: {error}") from None
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))} ({e['msg']})"
            for e in error.errors(include_input=False, include_context=False, include_url=False)
        )
        msg = f"wrong setting in [{settings.section}] or {prefix}…: {wrong}"
        raise ConfigError(msg) from None


class RuntimeSettings(Settings):
    """What every worker needs to know."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_")
    section: ClassVar[str] = "antiphon"

    host: str = Field(default="127.0.0.1", description="MQTT broker's host.")
    port: int = Field(default=1883, ge=1, le=65_535, description="MQTT broker's port.")
    username: str = Field(default="", description="MQTT user name; empty is anonymous.")
    password: SecretStr = Field(default=SecretStr(""), description="MQTT password.")
    tls: Literal["auto", "on", "off"] = Field(
        default="auto", description="Whether the connection is encrypted; auto: if tls_ca is set."
    )
    tls_ca: Path | None = Field(
        default=None,
        description="Certificate (PEM) of the authority that vouches for the broker; unset is one "
        "of those that the system trusts.",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="MQTT version; auto tries 5, then 3.1.1."
    )
    base: str = Field(
        default="antiphon",
        pattern=r"^([^+#\x00/]+(/[^+#\x00/]+)*)?$",
        description="First level(s) of every topic; may be empty in antiphon.toml.",
    )
    worker_id: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="This worker's id; empty is its kind and 1, e.g. stt-1.",
    )
    group: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="Group whose speech recognisers take turns, each with a worker_id of its own.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which level on is logged."
    )
    log_style: Literal["auto", "json", "text"] = Field(
        default="auto", description="JSON, or text where a person is looking."
    )
    models_dir: Path = Field(
        default_factory=lambda: user_data_path("antiphon") / "models",
        description="Where model weights are kept.",
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("antiphon"),
        description="Where memory and history are kept.",
    )
    ready_file: Path | None = Field(
        default=None,
        description="File that the worker touches once a second while it is connected and serves.",
    )
    session_expiry_s: int = Field(
        default=300, ge=0, description="How long the broker keeps messages for an absent worker."
    )
    server_retry_s: float = Field(
        default=30.0,
        gt=0,
        description="How often a language or speech server that fails is asked again, in seconds.",
    )
    drain_s: float = Field(
        default=5.0, ge=0, description="How long a stopping worker finishes what it has begun."
    )

    @property
    def encrypted(self) -> bool:
        """Whether the connection to the broker is encrypted."""
        return self.tls == "on" or (self.tls == "auto" and self.tls_ca is not None)
