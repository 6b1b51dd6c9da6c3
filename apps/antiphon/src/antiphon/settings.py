"""Where the command line finds its broker, and what it hands to the processes it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings, stack_file
from pydantic import SecretStr

NOT_RUNNING = (
    "Antiphon is not running here: start it with `antiphon up`, "
    "or name a broker with --broker mqtt://user:password@host:port"
)
ADDRESS_FORM = (
    "a broker address looks like mqtt://user:password@host:1883/base (mqtts: with TLS); "
    "special characters in user and password are written as %XX"
)
_PORTS = {"mqtt": 1883, "mqtts": 8883}


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with some variables changed, for a child process."""
    return {**os.environ, **changes}


def search_path() -> str:
    """Return $PATH."""
    return os.environ.get("PATH", "")


def from_url(url: str) -> RuntimeSettings:
    """Return the settings with the broker of `mqtt://[user[:password]@]host[:port][/base]`.

    `mqtts://` is the same with TLS, by the authority that the settings in force name.

    Raises:
        ConfigError: it is no such address; the text does not repeat it, as it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        raise ConfigError(ADDRESS_FORM) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(ADDRESS_FORM)
    known = load_settings(RuntimeSettings)
    return load_settings(
        RuntimeSettings,
        host=parts.hostname,
        port=port,
        tls="on" if parts.scheme == "mqtts" else "off",
        username=unquote(parts.username or ""),
        password=SecretStr(unquote(parts.password or "")),
        base=unquote(parts.path).strip("/") or known.base,
    )


def to_url(settings: RuntimeSettings) -> str:
    """Return the address of a broker in the form that `from_url` takes."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    secret = settings.password.get_secret_value()
    password = f":{quote(secret, safe='')}" if secret else ""
    user = f"{quote(settings.username, safe='')}{password}@" if settings.username else ""
    scheme = "mqtts" if settings.encrypted else "mqtt"
    return f"{scheme}://{user}{host}:{settings.port}/{quote(settings.base)}"


def configured_broker() -> RuntimeSettings | None:
    """Return the settings if they name a broker's host, else None."""
    settings = load_settings(RuntimeSettings)
    return settings if "host" in settings.model_fields_set else None


def find_broker(url: str | None) -> RuntimeSettings:
    """Return how to reach the running stack.

    The address given, else settings that name a host, else the stack that `antiphon up` started
    on this machine.

    Raises:
        ConfigError: none is known; the text says what to do.
    """
    if url:
        return from_url(url)
    settings = configured_broker()
    if settings is not None:
        return settings
    stack = stack_file.read(stack_file.default_path())
    if stack is None:
        raise ConfigError(NOT_RUNNING)
    return load_settings(
        RuntimeSettings,
        host=stack.host,
        port=stack.port,
        username=stack.username,
        password=SecretStr(stack.password),
        base=stack.base,
        tls="on" if stack.tls_ca else "off",
        tls_ca=Path(stack.tls_ca) if stack.tls_ca else None,
    )


def broker_variables(settings: RuntimeSettings) -> dict[str, str]:
    """Return the environment that leads a worker to the same broker."""
    return {
        "ANTIPHON_HOST": settings.host,
        "ANTIPHON_PORT": str(settings.port),
        "ANTIPHON_USERNAME": settings.username,
        "ANTIPHON_PASSWORD": settings.password.get_secret_value(),
        "ANTIPHON_BASE": settings.base,
        "ANTIPHON_TLS": settings.tls,
        "ANTIPHON_TLS_CA": str(settings.tls_ca or ""),
        "ANTIPHON_MODELS_DIR": str(settings.models_dir),
        "ANTIPHON_DATA_DIR": str(settings.data_dir),
    }


def log_folder(settings: RuntimeSettings) -> Path:
    """Return where `up` writes the workers' logs."""
    return settings.data_dir / "logs"
