"""A systemd unit that runs `antiphon up`: for a machine without Docker, such as a Raspberry Pi.

The service runs as the person who asks for it, with the settings and weights that are in force for
them, so that `antiphon ask` finds it. What a unit may say is in systemd.exec(5), systemd.kill(5)
and systemd.service(5).
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import typer
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings, stack_file
from antiphon_runtime.settings import config_path
from platformdirs import user_config_path

from antiphon.settings import search_path

NAME = "antiphon.service"
SYSTEM_FOLDER = Path("/etc/systemd/system")
STOP_S = 30
"""What `up` and its workers have to end in good order; they need about ten seconds at most."""

_UNIT = """\
# Made by `antiphon install-service`; made again, it forgets what was changed here.
[Unit]
Description=Antiphon, a private voice assistant
After=network.target sound.target
StartLimitIntervalSec=0

[Service]
Type=exec
{who}ExecStart={command}
WorkingDirectory=~
{environment}
# Secrets and other settings, as in .env.example; the file may be missing.
EnvironmentFile=-{environment_file}
Restart=on-failure
RestartSec=5
# 78: the settings are wrong, and would be again.
RestartPreventExitStatus=78
# `up` is told to stop, and tells its workers to finish what they have begun.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec={stop_s}
# The greeting holds the broker's password; the workers' logs are in {logs}
StandardOutput=null
StandardError=journal

UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writable}
PrivateTmp=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
{hardening}
[Install]
WantedBy={target}
"""

# Of the system's manager alone: a user's cannot take away what it needs rights to take away.
_SYSTEM_HARDENING = """\
CapabilityBoundingSet=
DevicePolicy=closed
DeviceAllow=char-alsa rw
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictRealtime=yes
"""

_USER_HARDENING = """\
# Lets a user's manager make the file systems read-only.
PrivateUsers=yes
"""


@dataclass(frozen=True)
class Installation:
    """What the unit is about.

    Attributes:
        user: name of the account that it runs as.
        python: the interpreter that has Antiphon.
        data_dir: memory, history, logs, the embedded broker's store.
        models_dir: weights.
        state_dir: where the running stack is found.
        config: the settings file in force, if there is one.
        environment_file: where secrets may be written.
    """

    user: str
    python: Path
    data_dir: Path
    models_dir: Path
    state_dir: Path
    config: Path | None
    environment_file: Path

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that the service writes to."""
        return tuple(dict.fromkeys((self.data_dir, self.models_dir, self.state_dir)))


def installation() -> Installation:
    """Return what is in force for the person who asks.

    Raises:
        ConfigError: they are root, or the settings are wrong.
    """
    if os.geteuid() == 0:
        msg = (
            "a service of root's would have all rights: run install-service without sudo, as the "
            "user that Antiphon is to run as"
        )
        raise ConfigError(msg)
    runtime = load_settings(RuntimeSettings)
    config = config_path()
    return Installation(
        user=pwd.getpwuid(os.geteuid()).pw_name,
        python=Path(sys.executable),
        data_dir=runtime.data_dir.absolute(),
        models_dir=runtime.models_dir.absolute(),
        state_dir=stack_file.default_path().parent,
        config=config.absolute() if config else None,
        environment_file=user_config_path("antiphon") / "antiphon.env",
    )


def unit(about: Installation, *, user: bool) -> str:
    """Return the unit's text.

    Args:
        about: what it starts, and where that writes.
        user: for the user's own service manager instead of the system's.
    """
    variables = {"ANTIPHON_DATA_DIR": about.data_dir, "ANTIPHON_MODELS_DIR": about.models_dir}
    if about.config:
        variables["ANTIPHON_CONFIG"] = about.config
    command = (quoted(str(about.python)).replace("$", "$$"), "-m", "antiphon", "up")
    return _UNIT.format(
        who="" if user else f"User={about.user}\n",
        command=" ".join(command),
        environment="\n".join(
            f"Environment={quoted(f'{name}={path}')}" for name, path in variables.items()
        ),
        environment_file=_specifiers_off(str(about.environment_file)),
        stop_s=STOP_S,
        logs=about.data_dir / "logs",
        writable=" ".join(quoted(str(path)) for path in about.writable),
        hardening=_USER_HARDENING if user else _SYSTEM_HARDENING,
        target="default.target" if user else "multi-user.target",
    )


def quoted(word: str) -> str:
    """Return a word as systemd reads it back, whatever is in it (systemd.syntax(7))."""
    escaped = re.sub(r'(["\\])', r"\\\1", _specifiers_off(word))
    return f'"{escaped}"' if re.search(r"[^\w@%+=:,./-]", escaped) else escaped


def _specifiers_off(word: str) -> str:
    return word.replace("%", "%%")


def install(*, user: bool, dry_run: bool) -> None:
    """Write the unit and print the two commands that put it into service.

    The system's folder is root's: there the unit is only written beside the data, and the first
    command copies it. Nothing of ours runs as root.

    Args:
        user: for the user's own service manager instead of the system's.
        dry_run: print the unit, and write nothing.

    Raises:
        ConfigError: there is no systemd, the person is root, or a folder cannot be written.
    """
    about = installation()
    text = unit(about, user=user)
    if dry_run:
        typer.echo(text, nl=False)
        return
    if shutil.which("systemctl", path=search_path()) is None:
        msg = "this system has no systemctl, so no systemd: start `antiphon up` in another way"
        raise ConfigError(msg)
    folder = user_config_path() / "systemd" / "user" if user else about.data_dir
    path = folder / NAME
    try:
        # What the service may write to must be there when it starts.
        for needed in (folder, *about.writable):
            needed.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(msg) from error
    typer.echo(f"wrote {path}; now run:")
    for command in commands(path, user=user):
        typer.echo(f"  {shlex.join(command)}")


def commands(path: Path, *, user: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the two commands that put the unit at `path` into service.

    Linger lets a user's service begin at boot and outlive the last logout.
    """
    if user:
        return (
            ("systemctl", "--user", "enable", "--now", NAME),
            ("loginctl", "enable-linger"),
        )
    target = str(SYSTEM_FOLDER / NAME)
    return (
        ("sudo", "install", "-o", "root", "-g", "root", "-m", "0644", str(path), target),
        ("sudo", "systemctl", "enable", "--now", NAME),
    )
