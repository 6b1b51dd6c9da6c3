"""The secured directory: one household, and every file that is made from it."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, install_command, load_settings
from antiphon_runtime.broker import SecuredFiles, secured_configuration
from antiphon_runtime.broker.mosquitto import password_line
from antiphon_runtime.broker.private_file import write_private
from antiphon_runtime.broker.secured import SECURE_PORT

from antiphon.secure.acl import acl_text
from antiphon.secure.containers import ContainerFiles
from antiphon.secure.household import Household, User, decode_household, encode_household

if TYPE_CHECKING:
    from antiphon.secure.renewal import Renewed

NOT_SECURED = "this house is not secured yet: run `antiphon secure init`"


class SecureFolder:
    """The directory of a secured house; its methods block.

    Args:
        directory: where it is; need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.files = SecuredFiles(directory.absolute())

    @property
    def path(self) -> Path:
        """The directory."""
        return self.files.directory

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep every other command from changing the directory while the block runs.

        Raises:
            ConfigError: the directory cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error.strerror}; make it yours"
            ) from error

    def read(self) -> Household | None:
        """Return the household; None if there is none.

        Raises:
            ConfigError: its file cannot be read, or is damaged.
        """
        try:
            return decode_household((self.path / "household.json").read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error

    def household(self) -> Household:
        """Return the household.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        found = self.read()
        if found is None:
            raise ConfigError(NOT_SECURED)
        return found

    def write(self, household: Household) -> None:
        """Write the household and all that is made from it; certificates must be there.

        Raises:
            ConfigError: something in it cannot stand in a file of mosquitto's.
            OSError: a file cannot be written.
        """
        acl = acl_text(household)
        files = self.files
        write_private(self.path / "household.json", encode_household(household))
        write_private(files.rights, acl)
        lines = [password_line(user.name, user.secret) for user in household.users]
        write_private(files.passwords, "".join(lines))
        write_private(files.configuration, secured_configuration(files))
        self._write_users(household)
        if self.has_containers:
            ContainerFiles(files).write(household)

    @property
    def has_containers(self) -> bool:
        """Whether the compose stack uses this house: `antiphon secure compose` was run."""
        return ContainerFiles(self.files).compose.exists()

    def _write_users(self, household: Household) -> None:
        users = self.path / "users"
        users.mkdir(exist_ok=True, mode=0o700)
        authority = self.files.authority.read_text(encoding="ascii")
        for user in household.users:
            folder = users / user.name
            folder.mkdir(exist_ok=True, mode=0o700)
            write_private(folder / "antiphon.env", user_environment(user, household))
            write_private(folder / "ca.crt", authority)
        for folder in users.iterdir():
            if household.find(folder.name) is None:
                shutil.rmtree(folder)

    def certify(self, household: Household) -> Renewed:
        """Make the certificates that are missing, do not fit, or end within 90 days.

        Raises:
            ConfigError: the library that makes them is not installed.
            OSError: a file cannot be written.
        """
        try:
            from antiphon.secure.renewal import renew  # noqa: PLC0415  (its library is an extra)
        except ImportError as error:
            raise ConfigError(
                f"certificates need the library cryptography: {install_command('secure')}"
            ) from error
        return renew(self.files, household.certified_hosts)


def secure_folder() -> SecureFolder:
    """Return the secured directory of the settings in force: `secure` in the data folder."""
    return SecureFolder(load_settings(RuntimeSettings).data_dir / "secure")


def user_environment(user: User, household: Household) -> str:
    """Return the settings by which a worker or client elsewhere reaches the broker."""
    variables = {
        "ANTIPHON_HOST": household.hosts[0],
        "ANTIPHON_PORT": str(SECURE_PORT),
        "ANTIPHON_TLS_CA": "ca.crt",
        "ANTIPHON_USERNAME": user.name,
        "ANTIPHON_PASSWORD": user.secret,
        "ANTIPHON_BASE": household.base,
    }
    if user.is_worker:
        variables["ANTIPHON_WORKER_ID"] = user.name
    if user.site:
        variables["ANTIPHON_SATELLITE_SITE"] = user.site
    head = "# Made by `antiphon secure`. Keep it with ca.crt, and start from their folder.\n"
    return head + "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
