"""The TLS of the HTTP listener."""

from __future__ import annotations

import ssl

from wharfinger.config.settings import Http
from wharfinger.errors import ConfigError


def context(settings: Http) -> ssl.SSLContext | None:
    """With the certificate and key of `settings`, None where it has none. Raises ConfigError; nobody is asked for a passphrase."""
    if settings.certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"listeners.http.certificate: {settings.certificate} and its key cannot be used: {exc}",
            fix="name a certificate and its private key, both in PEM, the key without a passphrase",
        ) from exc
    return made
