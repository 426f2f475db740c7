"""TLS on a client's connection; where there is none, why, in words for who looks after the device."""

from __future__ import annotations

import asyncio
import ssl

from franking.text import visible

__all__ = ["NoHandshake", "shake_hands"]

HANDSHAKE_SECONDS = 30.0
GOODBYE_SECONDS = 1.0
"""How long a client's own end of TLS is awaited: most say nothing, and nothing depends on it."""

_WORDS = {
    "UNSUPPORTED_PROTOCOL": "the client knows only TLS before 1.2, which legacy_tls = true takes",
    "WRONG_VERSION_NUMBER": "the client speaks without TLS where TLS begins: switch SSL/TLS on in the device",
    "HTTP_REQUEST": "a client speaks HTTP",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not trust the certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not trust the certificate",
}
"""What OpenSSL's reasons mean, where a person can do something."""


class NoHandshake(Exception):
    """Say why a client and the relay did not come to TLS."""


async def shake_hands(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, context: ssl.SSLContext
) -> asyncio.Transport:
    """Return the encrypted connection. Raises ``NoHandshake``; asyncio may not tell the protocol of that end."""
    loop = asyncio.get_running_loop()
    try:
        made = await loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GOODBYE_SECONDS,
        )
    except OSError as problem:
        words = _WORDS.get(getattr(problem, "reason", None) or "") or problem.strerror or str(problem)
        raise NoHandshake(visible(words, 200) or "the connection ended") from None
    if made is None:
        raise NoHandshake("the connection ended")
    return made
