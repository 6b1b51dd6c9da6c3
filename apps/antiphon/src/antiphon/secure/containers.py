"""What the compose stack needs of a secured house: a second compose file, and files to mount.

Compose merges `compose.yml` over the repository's `docker-compose.yml`. It is read by the user who
runs compose, so it is his alone (0600) although it holds each worker's secret.

What containers read themselves cannot be: they run as users of their own, whom this machine does
not know. Those files are readable by all (0644, in directories of 0755), below the secured
directory, which only its owner can enter (0700): a container sees them where they are mounted, and
other users of this machine do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from antiphon_contracts import ConfigError
from antiphon_runtime import load_settings
from antiphon_runtime.broker import SecuredFiles
from antiphon_runtime.broker.private_file import write_private
from antiphon_runtime.broker.secured import SECURE_PORT
from antiphon_satellite.settings import SatelliteSettings

from antiphon.secure.household import CONTAINER_HOST, METRICS, Household, User, satellite_name

MOUNTED = "/run/antiphon"
"""Where a container finds its files; `deploy/broker` looks there as well."""

PUBLISHED_ON = "0.0.0.0"  # noqa: S104  (the network is what this is for)
WORKERS = ("stt", "wake", "tts", "llm", "memory", "tools", "timer", "router")
SATELLITES = ("satellite", "satellite-audio")
_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644


class ContainerFiles:
    """The files for containers, in a secured directory.

    Args:
        files: the directory's other files.
    """

    def __init__(self, files: SecuredFiles) -> None:
        self._files = files
        self._root = files.directory / "containers"

    @property
    def compose(self) -> Path:
        """The second compose file; it is there if the house has containers."""
        return self._files.directory / "compose.yml"

    @property
    def broker(self) -> Path:
        """The directory that the broker's container mounts."""
        return self._root / "broker"

    @property
    def workers(self) -> Path:
        """The directory that the workers' containers mount; nothing in it is secret."""
        return self._root / "workers"

    def write(self, household: Household) -> None:
        """Write all of them; certificates, passwords and rights must be there.

        Raises:
            ConfigError: the house cannot be run in containers.
            OSError: a file cannot be read or written.
        """
        text = compose_text(household, self)
        self._root.mkdir(exist_ok=True, mode=0o700)
        files = self._files
        _publish(self.workers, (files.authority,))
        _publish(self.broker, (files.certificate, files.key, files.rights, files.passwords))
        write_private(self.compose, text)


def compose_text(household: Household, files: ContainerFiles) -> str:
    """Return the second compose file; it holds the secrets of all workers.

    Raises:
        ConfigError: the topics have no base, or a worker has no user.
    """
    if not household.base:
        raise ConfigError("containers cannot do without a base of the topics: set `base`")
    names = {kind: f"{kind}-1" for kind in WORKERS}
    names |= dict.fromkeys(SATELLITES, satellite_name(load_settings(SatelliteSettings).site))
    names["metrics"] = METRICS
    users = {service: _user(household, name) for service, name in names.items()}
    head = (
        "# Made by `antiphon secure compose`; do not edit. It holds every worker's secret.\n"
        "services:\n"
    )
    services = (_worker(name, user, household.base, files) for name, user in users.items())
    return head + _broker(files) + "".join(services)


def _user(household: Household, name: str) -> User:
    user = household.find(name)
    if user is None:
        raise ConfigError(f"{name} has no user in the secured house: run `antiphon secure init`")
    return user


def _broker(files: ContainerFiles) -> str:
    # Without the override the plain port would stay published, with nobody behind it. No variables:
    # podman-compose (1.6) leaves those of an override as they are.
    return (
        "  broker:\n"
        '    environment: {ANTIPHON_USERNAME: "", ANTIPHON_PASSWORD: ""}\n'
        "    ports: !override\n"
        f'      - "{PUBLISHED_ON}:{SECURE_PORT}:{SECURE_PORT}"\n'
        f"{_mount(files.broker)}"
    )


def _worker(service: str, user: User, base: str, files: ContainerFiles) -> str:
    variables = {
        "ANTIPHON_HOST": CONTAINER_HOST,
        "ANTIPHON_PORT": str(SECURE_PORT),
        "ANTIPHON_TLS": "on",
        "ANTIPHON_TLS_CA": f"{MOUNTED}/ca.crt",
        "ANTIPHON_USERNAME": user.name,
        "ANTIPHON_PASSWORD": user.secret,
        "ANTIPHON_BASE": base,
    }
    if user.is_worker:
        variables["ANTIPHON_WORKER_ID"] = user.name
    if user.site:
        variables["ANTIPHON_SATELLITE_SITE"] = user.site
    return f"  {service}:\n    environment:\n{_lines(variables)}{_mount(files.workers)}"


def _lines(variables: Mapping[str, str]) -> str:
    return "".join(f"      {name}: {_quoted(value)}\n" for name, value in variables.items())


def _mount(directory: Path) -> str:
    # A directory, not its files: those are replaced, and a mounted file would stay the old one.
    source, target = _quoted(str(directory)), MOUNTED
    return (
        "    volumes:\n"
        f"      - {{type: bind, source: {source}, target: {target}, read_only: true}}\n"
    )


def _quoted(text: str) -> str:
    # What is JSON is YAML; compose gives $ a meaning.
    return json.dumps(text).replace("$", "$$")


def _publish(directory: Path, sources: tuple[Path, ...]) -> None:
    directory.mkdir(exist_ok=True)
    directory.chmod(_DIRECTORY_MODE)
    for source in sources:
        # Readable before it has its name, so that no container meets it closed.
        draft = directory / f".{source.name}"
        write_private(draft, source.read_text(encoding="utf-8"))
        draft.chmod(_FILE_MODE)
        draft.replace(directory / source.name)
