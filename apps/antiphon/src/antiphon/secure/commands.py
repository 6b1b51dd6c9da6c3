"""`antiphon secure …`: what the commands do and say. They never print a secret but in `show`."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from antiphon_contracts import ConfigError, Role
from antiphon_runtime import RuntimeSettings, load_settings, stack_file
from antiphon_satellite.settings import SatelliteSettings
from rich.console import Console

from antiphon.output import print_line
from antiphon.secure.containers import ContainerFiles
from antiphon.secure.folder import NOT_SECURED, SecureFolder, secure_folder
from antiphon.secure.household import (
    LOCAL_HOSTS,
    METRICS,
    OPERATOR,
    Household,
    check_hosts,
    satellite_name,
)
from antiphon.supervisor import PARTS

KINDS = tuple(part.kind for part in PARTS if part.kind != Role.SATELLITE.words)
"""Kinds of workers of which `init` makes one user each."""


def init(hosts: Sequence[str], console: Console) -> None:
    """Make what is missing: certificates, and a user for every part and for the command line.

    Secrets that are there already stay.

    Args:
        hosts: names and addresses by which other machines reach the broker; empty keeps the
            present ones, at first this machine's own name.
        console: where it says what it did.

    Raises:
        ConfigError: a host is none, or the directory cannot be written.
    """
    check_hosts(hosts)
    folder = secure_folder()
    with folder.changing():
        before = folder.read()
        household = _with_parts(_begun(before, hosts))
        renewed = folder.certify(household)
        folder.write(household)
    if before is None:
        print_line(console, f"made {folder.path}: certificates, and a secret for every user")
    else:
        kept = f"{len(before.users)} users keep their secrets"
        print_line(console, f"{folder.path} was there already: {kept}")
    if renewed.authority and before is not None:
        print_line(
            console, "the authority is new: every satellite and client needs its folder again"
        )
    print_line(
        console,
        f"the broker's certificate is {'new' if renewed.server else 'as it was'}, good until "
        f"{renewed.server_until:%Y-%m-%d}, for: {', '.join(household.certified_hosts)}",
    )
    print_line(console, f"users: {', '.join(user.name for user in household.users)}")
    print_line(console, "start it with: antiphon up --secure")
    if before is not None and renewed.server:
        _say_restart(folder, console)


def add_satellite(site: str, console: Console) -> None:
    """Let the satellite of a site in; it reaches that site's topics alone.

    Raises:
        ConfigError: the house is not secured, or the site cannot be a part of a name.
    """
    _add(satellite_name(site), Role.SATELLITE, site, console)


def add_client(name: str, console: Console) -> None:
    """Let a client in: it may ask, say, send recordings and hear answers.

    Raises:
        ConfigError: the house is not secured, or the name is taken or cannot be one.
    """
    _add(name, Role.CLIENT, "", console)


def add_worker(name: str, console: Console) -> None:
    """Let one more worker in, e.g. `stt-2`: a second speech recogniser on another machine.

    Raises:
        ConfigError: the house is not secured, or the name does not begin with a worker's kind.
    """
    kind, dash, number = name.partition("-")
    if kind not in KINDS or not dash or not number:
        raise ConfigError(
            f"a worker's name is its kind, a hyphen and more, such as stt-2, and not {name!r}; "
            f"kinds are: {', '.join(KINDS)}"
        )
    _add(name, Role[kind.upper()], "", console)


def _add(name: str, role: Role, site: str, console: Console) -> None:
    folder = secure_folder()
    _must_exist(folder)
    with folder.changing():
        before = folder.household()
        household = before.with_user(name, role, site)
        folder.certify(household)
        folder.write(household)
    if before.find(name) is not None:
        print_line(console, f"{name} was there already and keeps its secret")
    else:
        print_line(console, f"{name} may come in; a running broker knows it within seconds")
    where = folder.path / "users" / name
    print_line(console, f"copy this folder to its machine, and start it from there: {where}")


def add_device(name: str, topics: Sequence[str], console: Console) -> None:
    """Let a device or its bridge in; it and the tool worker reach these topics.

    Raises:
        ConfigError: the name or a topic cannot be, or somebody else has the name.
    """
    folder = secure_folder()
    _must_exist(folder)
    with folder.changing():
        household = folder.household().with_device(name, topics)
        folder.certify(household)
        folder.write(household)
    print_line(console, f"{name} and the tool worker may use: {', '.join(topics)}")
    print_line(console, f"its user name is {name}; its password: antiphon secure show {name}")
    print_line(console, f"it trusts this certificate: {folder.path / 'users' / name / 'ca.crt'}")


def remove(name: str, console: Console) -> None:
    """Let a satellite, a client or an added worker in no more.

    Raises:
        ConfigError: there is no such user, or the house cannot do without it.
    """
    folder = secure_folder()
    _must_exist(folder)
    with folder.changing():
        household = folder.household()
        household.user(name)  # or a sentence that says who there is
        if name in _needed():
            raise ConfigError(f"{name} is a part of the house and cannot be removed")
        folder.certify(household)
        folder.write(household.without(name))
    print_line(console, f"{name} is removed; a running broker throws it out within seconds")


def rotate(name: str | None, console: Console) -> None:
    """Give one user, or all, a new secret.

    Raises:
        ConfigError: there is no such user, or the running stack uses its secret.
    """
    folder = secure_folder()
    _must_exist(folder)
    with folder.changing():
        household = folder.household()
        chosen = household.users if name is None else (household.user(name),)
        names = [user.name for user in chosen]
        _must_not_run(folder, names)
        folder.certify(household)
        folder.write(household.rotated(names))
    print_line(console, f"new secrets for: {', '.join(names)}")
    print_line(console, f"copy their folders again: {folder.path / 'users'}")
    if folder.has_containers and _needed() & set(names):
        print_line(console, "workers in containers have the old ones until: docker compose up -d")


def compose(console: Console) -> None:
    """Make what the compose stack needs to run this house; later changes keep it up to date.

    Raises:
        ConfigError: the house is not secured, or cannot be run in containers.
    """
    folder = secure_folder()
    _must_exist(folder)
    with folder.changing():
        household = folder.household()
        folder.certify(household)
        folder.write(household)
        files = ContainerFiles(folder.files)
        files.write(household)
    print_line(console, f"made {files.compose}, for you alone: it holds every worker's secret")
    print_line(console, "put this line into the .env beside docker-compose.yml:")
    print_line(console, f"COMPOSE_FILE=docker-compose.yml:{files.compose}")
    print_line(console, "then: docker compose up -d")


def show(name: str, console: Console) -> None:
    """Print a user's secret, and nothing else.

    Raises:
        ConfigError: there is no such user.
    """
    print_line(console, secure_folder().household().user(name).secret)


def list_users(console: Console) -> None:
    """Print every user: name, role, site.

    Raises:
        ConfigError: the house is not secured.
    """
    for user in secure_folder().household().users:
        print_line(console, "\t".join(filter(None, (user.name, user.role, user.site))))


def _begun(before: Household | None, hosts: Sequence[str]) -> Household:
    base = load_settings(RuntimeSettings).base
    if before is None:
        return Household(tuple(hosts) or _own_names(), base)
    return Household(tuple(hosts) or before.hosts, base, before.users)


def _with_parts(household: Household) -> Household:
    for kind in KINDS:
        household = household.with_user(f"{kind}-1", Role[kind.upper()])
    site = load_settings(SatelliteSettings).site
    household = household.with_user(satellite_name(site), Role.SATELLITE, site)
    return household.with_user(METRICS, Role.METRICS).with_user(OPERATOR, Role.OPERATOR)


def _own_names() -> tuple[str, ...]:
    """Return this machine's names; without a domain it is found as NAME.local, if at all."""
    name = socket.gethostname()
    names = (name,) if "." in name else (f"{name}.local", name)
    try:
        check_hosts(names)
    except ConfigError:
        return LOCAL_HOSTS[:1]
    return names


def _must_exist(folder: SecureFolder) -> None:
    if not folder.path.is_dir():
        raise ConfigError(NOT_SECURED)


def _needed() -> set[str]:
    """Return the users without whom `antiphon up --secure` does not start."""
    own = satellite_name(load_settings(SatelliteSettings).site)
    return {*(f"{kind}-1" for kind in KINDS), own, OPERATOR}


def _must_not_run(folder: SecureFolder, names: Sequence[str]) -> None:
    """Refuse to change what the running workers have been given."""
    stack = stack_file.read(stack_file.default_path())
    if stack is None or stack.tls_ca != str(folder.files.authority):
        return
    used = [name for name in names if name in _needed()]
    if used:
        raise ConfigError(
            f"the running stack uses the secrets of {', '.join(used)}: stop `antiphon up`, rotate, "
            "and start it again; whatever was added can be rotated meanwhile"
        )


def _say_restart(folder: SecureFolder, console: Console) -> None:
    stack = stack_file.read(stack_file.default_path())
    if stack is not None and stack.tls_ca == str(folder.files.authority):
        print_line(console, "stop `antiphon up` and start it again: it takes this up at its start")
