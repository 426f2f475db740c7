"""Look at a server without logging in: what it says of itself, and what TLS comes to. Which ports to try is
``discovery/probe.py``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass

from franking.net.tcp import Place, Resolver
from franking.provider import Steps, silent
from franking.smtp import tls
from franking.smtp.connection import Connection
from franking.smtp.open import greet

__all__ = ["Probe", "probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server is like, as far as it tells before a login."""

    greeting: str
    tls: str
    auth: tuple[str, ...]
    size: int | None


def probe(
    host: str,
    port: int,
    security: str,
    *,
    timeout: float = 10.0,
    ca_file: str | None = None,
    resolver: Resolver | None = None,
) -> Probe:
    """Connect, agree on TLS and say EHLO; no login, no address. Raises what ``open_session`` raises."""
    connection = Connection(Place(host, port, security), timeout=timeout, patience=timeout)
    try:
        capabilities = greet(connection, Steps(silent), ca_file=ca_file, resolver=resolver)
    except BaseException:
        connection.close()
        raise
    connection.close(quit_first=True)
    seen = tls.summary(connection.tls, connection.certificate)
    return Probe(connection.greeting, seen, capabilities.auth, capabilities.size)
