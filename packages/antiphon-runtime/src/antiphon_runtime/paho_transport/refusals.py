"""Why there is no connection, as errors of the house."""

from __future__ import annotations

import ssl

from antiphon_contracts import BusError
from paho.mqtt.reasoncodes import ReasonCode

from antiphon_runtime.paho_transport.options import BrokerOptions

# MQTT 5, section 3.2.2.2; paho gives the codes of 3.1.1 these names too.
_WRONG_VERSION = 0x84
_WRONG_LOGIN = {0x86, 0x87}


class LostError(BusError):
    """The connection broke; whatever was asked is asked again on the next one."""


class OtherVersionError(BusError):
    """The broker does not speak MQTT 5; MQTT 3.1.1 is to be tried at once."""


def tls_refusal(options: BrokerOptions, error: ssl.SSLError) -> BusError:
    """Return what to say of a connection that could not be encrypted."""
    if isinstance(error, ssl.SSLCertVerificationError):
        msg = (
            f"the MQTT broker at {options.where} cannot prove who it is "
            f"({error.verify_message}); check ANTIPHON_HOST and ANTIPHON_TLS_CA"
        )
    else:
        msg = (
            f"the MQTT broker at {options.where} does not speak TLS as we do "
            f"({error.reason or error}); check ANTIPHON_PORT, or set ANTIPHON_TLS=off"
        )
    return BusError(msg)


def refusal(options: BrokerOptions, reason: ReasonCode) -> BusError:
    """Return what to say of a CONNECT that the broker refused."""
    msg = f"the MQTT broker at {options.where} refused the connection ({reason})"
    if reason.value == _WRONG_VERSION:
        return OtherVersionError(msg)
    if reason.value in _WRONG_LOGIN:
        msg += "; check ANTIPHON_USERNAME and ANTIPHON_PASSWORD"
    return BusError(msg)
