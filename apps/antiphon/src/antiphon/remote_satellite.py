"""`antiphon satellite`: this process becomes one site's satellite."""

from __future__ import annotations

import os
import sys
from typing import NoReturn, get_args

from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_satellite.settings import Device, SatelliteSettings

from antiphon.secure.household import satellite_name
from antiphon.settings import broker_variables, child_environment, find_broker

KINDS = get_args(Device)


def become_satellite(
    site: str | None, broker: str | None, speaker: str | None, microphone: str | None
) -> NoReturn:
    """Run the satellite in place of this process; it reconnects for ever.

    Args:
        site: the site; None is the one that the settings name.
        broker: its address; None is what the settings or the running stack say.
        speaker: `auto`, `sounddevice`, `file`, `null`, or the name of a sound device.
        microphone: likewise.

    Raises:
        ConfigError: no broker is known, or a setting is wrong.
    """
    variables = broker_variables(find_broker(broker))
    chosen = {**_device("speaker", speaker), **_device("microphone", microphone)}
    if site is not None:
        chosen["site"] = site
    settings = load_settings(SatelliteSettings, **chosen)
    prefix = SatelliteSettings.model_config.get("env_prefix", "")
    variables |= {f"{prefix}{name.upper()}": value for name, value in chosen.items()}
    # Two workers of one name would throw each other out of the broker.
    variables["ANTIPHON_WORKER_ID"] = load_settings(RuntimeSettings).worker_id or satellite_name(
        settings.site
    )
    command = [sys.executable, "-m", "antiphon_satellite"]
    os.execve(command[0], command, child_environment(variables))  # noqa: S606  (no shell is wanted)


def _device(what: str, named: str | None) -> dict[str, str]:
    if named is None:
        return {}
    if named in KINDS:
        return {what: named}
    return {what: "sounddevice", f"{what}_device": named}
