"""Look at a server without logging in: what it says of itself, and what TLS comes to. Which ports to try is
``franking/probe.py``'s business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from franking.net.tcp import Place, Resolver
from franking.provider import Observer, Steps, silent
from franking.smtp.open import Clock, Opening

__all__ = ["Probe", "probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server is like, as far as it tells before a login."""

    place: Place
    address: str
    greeting: str
    tls: str
    offered: tuple[str, ...]
    auth: tuple[str, ...]
    size: int | None


def probe(
    host: str,
    port: int,
    security: str,
    *,
    timeout: float = 10.0,
    ca_file: str | None = None,
    ehlo_name: str | None = None,
    observer: Observer = silent,
    resolver: Resolver | None = None,
    clock: Clock = time.monotonic,
) -> Probe:
    """Connect, agree on TLS and say EHLO; no login, no address. Raises what ``open_session`` raises."""
    place = Place(host, port, security)
    connection, capabilities = Opening(place, timeout, timeout, ehlo_name, ca_file, resolver, clock).open(
        Steps(observer, clock)
    )
    connection.close(quit_first=True)
    return Probe(
        place,
        connection.peer,
        connection.greeting,
        connection.describe_tls(),
        tuple(capabilities.words),
        capabilities.auth,
        capabilities.size,
    )
