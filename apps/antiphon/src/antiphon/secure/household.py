"""Who belongs to the house: the users of its broker, each with a role and a secret."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

import orjson
from antiphon_contracts import (
    EVERY_WORKER,
    WORKERS,
    ConfigError,
    Rights,
    Role,
    all_topics,
    rights,
)
from antiphon_runtime.transport import why_not_a_filter
from pydantic import TypeAdapter, ValidationError

OPERATOR = "operator"
METRICS = "metrics"
SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"(?![-.])[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_MAX_HOST_CHARS = 253
_MAX_TOPIC_CHARS = 200
_TOPICS = tuple(all_topics().values())
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
CONTAINER_HOST = "broker"
"""The broker's name among the containers of the compose stack."""


@dataclass(frozen=True)
class User:
    """A user of the broker.

    Attributes:
        name: user name; a worker's is its id.
        role: a role's name in lower case.
        secret: password, hexadecimal; never shown by `repr`.
        site: a satellite's site; empty for everybody else.
        topics: a device's topics, as subscription filters; none for everybody else.
    """

    name: str
    role: str
    secret: str = field(repr=False)
    site: str = ""
    topics: tuple[str, ...] = ()

    @property
    def rights(self) -> Rights:
        """What it may publish and take."""
        return rights(self.kind, worker=self.name, site=self.site)

    @property
    def kind(self) -> Role:
        """The role itself.

        Raises:
            ConfigError: there is no role of that name.
        """
        try:
            return Role[self.role.upper()]
        except KeyError:
            raise ConfigError(f"there is no role {self.role!r}") from None

    @property
    def is_worker(self) -> bool:
        """Whether it is a part of the house and not a person's."""
        return self.kind in WORKERS


@dataclass(frozen=True)
class Household:
    """A house and its users.

    Attributes:
        hosts: names and addresses by which the broker is reached from elsewhere.
        base: first level(s) of every topic.
        users: all users, in the order in which they came.
    """

    hosts: tuple[str, ...]
    base: str
    users: tuple[User, ...] = ()

    def find(self, name: str) -> User | None:
        """Return the user of that name; names that differ in case alone are one."""
        wanted = name.casefold()
        return next((user for user in self.users if user.name.casefold() == wanted), None)

    def user(self, name: str) -> User:
        """Return the user of that name.

        Raises:
            ConfigError: there is none; the text says who there is.
        """
        found = self.find(name)
        if found is None or found.name != name:
            known = ", ".join(user.name for user in self.users)
            raise ConfigError(f"there is no user {name!r}; there are: {known}")
        return found

    def with_user(self, name: str, role: Role, site: str = "") -> Household:
        """Return the household with that user; one that is there already keeps its secret.

        Raises:
            ConfigError: the name cannot be a user's, or somebody else has it.
        """
        check_name(name)
        known = self.find(name)
        if known is None:
            user = User(name, role.words, new_secret(), site)
            return replace(self, users=(*self.users, user))
        if (known.name, known.role, known.site) != (name, role.words, site):
            raise ConfigError(
                f"the name {name!r} is taken by the {known.role} {known.name}; choose another"
            )
        return self

    def with_device(self, name: str, topics: Iterable[str]) -> Household:
        """Return the household with a device or its bridge, which has these topics.

        The tool worker may publish on them as well. A device that is there already gets the new
        topics and keeps its secret.

        Raises:
            ConfigError: the name cannot be a user's or is taken, or a topic is Antiphon's or none.
        """
        chosen = tuple(dict.fromkeys(topics))
        for topic in chosen:
            check_device_topic(topic, self.base)
        household = self.with_user(name, Role.DEVICE)
        users = (
            replace(user, topics=chosen) if user.name == name else user for user in household.users
        )
        return replace(household, users=tuple(users))

    @property
    def device_topics(self) -> tuple[str, ...]:
        """The topics of all devices."""
        found = [topic for user in self.users for topic in user.topics]
        return tuple(dict.fromkeys(found))

    def without(self, name: str) -> Household:
        """Return the household without that user."""
        return replace(self, users=tuple(user for user in self.users if user.name != name))

    def rotated(self, names: Iterable[str]) -> Household:
        """Return the household with new secrets for these users."""
        chosen = set(names)
        return replace(
            self,
            users=tuple(
                replace(user, secret=new_secret()) if user.name in chosen else user
                for user in self.users
            ),
        )

    @property
    def certified_hosts(self) -> tuple[str, ...]:
        """Every name and address that the broker's certificate is for."""
        return tuple(dict.fromkeys((*self.hosts, *LOCAL_HOSTS, CONTAINER_HOST)))


_HOUSEHOLD = TypeAdapter(Household)


def encode_household(household: Household) -> str:
    """Return the household as JSON; it holds every secret."""
    return orjson.dumps(asdict(household), option=orjson.OPT_INDENT_2).decode() + "\n"


def decode_household(text: bytes) -> Household:
    """Return the household that `encode_household` wrote.

    Raises:
        ConfigError: it is damaged, or was changed to something that cannot be.
    """
    try:
        household = _HOUSEHOLD.validate_json(text)
    except ValidationError:
        raise ConfigError(
            "household.json is damaged: bring back a copy of it, or delete the directory and run "
            "`antiphon secure init`"
        ) from None
    for user in household.users:
        check_name(user.name)
        if user.role not in {role.words for role in Role}:
            raise ConfigError(f"household.json gives {user.name} a role that does not exist")
        if re.fullmatch(r"[0-9a-f]{32,}", user.secret) is None:
            raise ConfigError(f"household.json has no proper secret for {user.name}")
        for topic in user.topics:
            check_device_topic(topic, household.base)
    check_hosts(household.hosts)
    return household


def satellite_name(site: str) -> str:
    """Return the user name, and so the worker id, of a site's satellite.

    Raises:
        ConfigError: the site cannot be a part of a name.
    """
    check_name(site, "site")
    return f"{Role.SATELLITE.words}-{site}"


def check_name(name: str, what: str = "name") -> None:
    """Refuse what cannot be a user's name, a folder's and a topic level all at once.

    Raises:
        ConfigError: it cannot; the text says which characters can.
    """
    if _NAME.fullmatch(name) is None or name.casefold() == EVERY_WORKER:
        raise ConfigError(
            f"{name!r} cannot be a {what} here: use up to 64 letters, digits, dots, hyphens and "
            f"underscores, the first a letter or digit, and not {EVERY_WORKER!r}"
        )


def check_device_topic(topic: str, base: str) -> None:
    """Refuse what is no subscription filter, cannot stand in an ACL, or may mean a topic of ours.

    Raises:
        ConfigError: it is such a one.
    """
    fault = why_not_a_filter(topic)
    first, *_ = topic.split("/")
    ours = {base.partition("/")[0]} if base else {t.pattern.split("/")[0] for t in _TOPICS}
    if fault is not None or topic != topic.strip() or len(topic) > _MAX_TOPIC_CHARS:
        raise ConfigError(f"{topic!r} cannot be a device's topic: write one like zigbee2mqtt/#")
    if first in {"+", "#", *ours} or first.startswith("$"):
        raise ConfigError(
            f"{topic!r} cannot be a device's topic: its first level must be its own, and none of "
            "Antiphon's"
        )


def check_hosts(hosts: Iterable[str]) -> None:
    """Refuse what is neither a host name nor an IP address.

    Raises:
        ConfigError: one of them is not; the text names it.
    """
    for host in hosts:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if len(host) > _MAX_HOST_CHARS or _HOST.fullmatch(host) is None:
                raise ConfigError(f"{host!r} is neither a host name nor an IP address") from None


def new_secret() -> str:
    """Return a random secret of 256 bits, hexadecimal: no shell and no file format minds it."""
    return secrets.token_hex(SECRET_BYTES)
