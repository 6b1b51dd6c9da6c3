"""`.env.example` and `antiphon.toml.example`, made from the settings themselves.

`python -m antiphon.examples` writes both into the checkout that it is run in.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from antiphon_contracts import ConfigError
from antiphon_runtime import Settings
from platformdirs import user_data_path
from pydantic import SecretStr
from pydantic.fields import FieldInfo

PACKAGES = (
    "antiphon_runtime",
    "antiphon_satellite",
    "antiphon_wake",
    "antiphon_stt",
    "antiphon_router",
    "antiphon_llm",
    "antiphon_memory",
    "antiphon_timer",
    "antiphon_tools",
    "antiphon_tts",
)
HOME = "~/.local/share/antiphon"
"""Stands for the user's data folder, which another person has elsewhere."""

WIDTH = 100

_ENV_HEAD = """\
# Settings of Antiphon as environment variables. Made by `python -m antiphon.examples` from the
# code; every line shows a default. To change one, copy this file to .env and take the # away; a
# shell hands it on with: set -a; . ./.env; set +a
# An empty variable counts as unset. The environment goes before antiphon.toml.

# The settings file, if it is neither ./antiphon.toml nor in ~/.config/antiphon.
#ANTIPHON_CONFIG=
"""

_TOML_HEAD = """\
# Settings of Antiphon. Made by `python -m antiphon.examples` from the code; every line shows a
# default. To change one, copy this file to ./antiphon.toml or ~/.config/antiphon/antiphon.toml and
# take the # away. Environment variables (see .env.example) go before this file.
"""


def settings_classes() -> list[type[Settings]]:
    """Return the settings class of the runtime and of every worker that has one."""
    return [found for package in PACKAGES for found in _classes_in(package)]


def render_env() -> str:
    """Return `.env.example`."""
    blocks = [_ENV_HEAD]
    for settings in settings_classes():
        blocks.append(f"\n# --- {_title(settings)}\n")
        prefix = settings.model_config.get("env_prefix", "")
        for name, field in settings.model_fields.items():
            value = _env_value(_default(field))
            blocks.append(f"\n{_comment(field)}#{prefix}{name.upper()}={value}\n")
    return "".join(blocks)


def render_toml() -> str:
    """Return `antiphon.toml.example`."""
    blocks = [_TOML_HEAD]
    for settings in settings_classes():
        blocks.append(f"\n# --- {_title(settings)}\n[{settings.section}]\n")
        for name, field in settings.model_fields.items():
            value = _default(field)
            # TOML has no null: the example shows the name alone.
            shown = "  # unset" if value is None else f" {json.dumps(value, ensure_ascii=False)}"
            blocks.append(f"\n{_comment(field)}#{name} ={shown}\n")
    return "".join(blocks)


def main(root: Path) -> None:
    """Write both files into `root`.

    Raises:
        ConfigError: `root` is no checkout.
    """
    if not (root / "pyproject.toml").is_file():
        msg = f"{root.resolve()} is no checkout of Antiphon: go there first"
        raise ConfigError(msg)
    (root / ".env.example").write_text(render_env(), encoding="utf-8")
    (root / "antiphon.toml.example").write_text(render_toml(), encoding="utf-8")


def _classes_in(package: str) -> Iterator[type[Settings]]:
    name = f"{package}.settings"
    if importlib.util.find_spec(name) is None:
        return
    for value in vars(importlib.import_module(name)).values():
        is_settings = isinstance(value, type) and issubclass(value, Settings)
        if is_settings and value.__module__ == name and value is not Settings:
            yield value


def _title(settings: type[Settings]) -> str:
    return (settings.__doc__ or "").strip().partition("\n")[0]


def _comment(field: FieldInfo) -> str:
    if not field.description:
        msg = "every setting needs a description"
        raise ConfigError(msg)
    return "".join(f"# {line}\n" for line in textwrap.wrap(field.description, WIDTH - 2))


def _default(field: FieldInfo) -> str | float | list[str] | dict[str, str] | None:
    """Return a default as a file shows it: no secret, and nobody's own folders."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return ""
    if isinstance(value, Path):
        own = user_data_path("antiphon")
        return str(HOME / value.relative_to(own)) if value.is_relative_to(own) else str(value)
    if value is None or isinstance(value, str | float | int):
        return value
    if isinstance(value, tuple | list | frozenset):
        return [str(item) for item in value]
    if value == {}:
        return {}
    msg = f"no example can be made of a {type(value).__name__}"
    raise ConfigError(msg)


def _env_value(value: str | float | list[str] | dict[str, str] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    return f"'{text}'" if any(c in text for c in " #$\"'`\\") else text


if __name__ == "__main__":
    try:
        main(Path())
    except ConfigError as error:
        sys.exit(str(error))
