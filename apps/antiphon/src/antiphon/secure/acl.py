"""mosquitto's ACL file, made from the rights that the contract gives each user.

See mosquitto.conf(5), "Access Control Lists": a topic that no line allows is denied. mosquitto
grants a subscription that it will not serve, and delivers nothing; a denied publish shows as reason
0x87 on MQTT 5 only.
"""

from __future__ import annotations

from antiphon_contracts import ConfigError, Role

from antiphon.secure.household import Household, User

_HEAD = "# Made by `antiphon secure` from the contract; do not edit.\n"


def acl_text(household: Household) -> str:
    """Return the ACL of all users.

    Raises:
        ConfigError: the base of the topics cannot stand in such a file.
    """
    base = household.base
    if any(sign in base for sign in "\r\n+#") or base != base.strip():
        raise ConfigError("the base of the topics has signs that an ACL cannot hold: change `base`")
    prefix = f"{base}/" if base else ""
    return _HEAD + "".join(
        _paragraph(user, prefix) + _devices(user, household) for user in household.users
    )


def _devices(user: User, household: Household) -> str:
    """Return what concerns the topics of devices: theirs, and those that the tools may reach."""
    if user.kind is Role.DEVICE:
        return "".join(f"topic readwrite {topic}\n" for topic in user.topics)
    if user.kind is Role.TOOLS:
        return "".join(f"topic write {topic}\n" for topic in household.device_topics)
    return ""


def _paragraph(user: User, prefix: str) -> str:
    allowed = user.rights
    lines = [f"\n# {user.role}", f"user {user.name}"]
    lines += [f"topic write {prefix}{name}" for name in allowed.publish]
    lines += [f"topic read {prefix}{name}" for name in allowed.take]
    return "\n".join(lines) + "\n"
