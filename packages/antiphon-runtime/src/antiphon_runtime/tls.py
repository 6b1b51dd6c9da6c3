"""TLS contexts for clients of the broker."""

from __future__ import annotations

import ssl
from pathlib import Path

from antiphon_contracts import ConfigError


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when its handshake fails; paho leaves it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  (SSLSocket's own)
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


def client_context(authority: Path | None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later that verifies the broker's certificate and name.

    Args:
        authority: certificate (PEM) of the only authority to trust; None trusts the system's.

    Raises:
        ConfigError: the file cannot be read, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            f"the authority's certificate {authority} cannot be used: {reason}; "
            "set ANTIPHON_TLS_CA to the ca.crt that `antiphon secure init` made"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _ClosingSocket
    return context
