"""The well-known mail services, read from ``services.json``: their servers, and the names by which one recognises them.

The services that Franking signs in to with OAuth are not here: they tell of themselves (``Facts``). This file looks
things up in tables and asks no network; what follows from a find is decided in ``discovery/recommend.py``. The data
lies in one JSON file because that is read in a tenth of a millisecond; each row names its sources by a letter, and the
letters are explained in the same file.

A pattern is a whole host name (``smtp.seznam.cz``) or, with a dot in front, anything below a zone
(``.mail.icloud.com``).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from franking.provider import SenderFacts

__all__ = ["Server", "Service", "Table", "find", "service_at", "table"]


def find(name: str, patterns: Container[str]) -> str | None:
    """Return the pattern that a host name fits, by whole labels from the right: the name itself, else the nearest zone
    above it (``.example.com``).
    """
    if name in patterns:
        return name
    _, dot, rest = name.partition(".")
    while dot:
        if dot + rest in patterns:
            return dot + rest
        _, dot, rest = rest.partition(".")
    return None


@dataclass(frozen=True, slots=True)
class Server:
    """One way into a service: host, port and security (``tls``, ``starttls``, ``none``)."""

    host: str
    port: int
    security: str


@dataclass(frozen=True, slots=True)
class Service:
    """Describe a mail service: its servers, the best first, and what its login name is.

    ``username``: ``address`` (the whole address), ``local-part`` (what stands before the @), ``literal`` (always the
    same word), ``own`` (the service gives one out) or ``none``. ``remarks`` are codes of texts; ``oauth`` tells that it
    takes access tokens too. ``sending`` is what tells receivers that it may send for a domain.
    """

    name: str
    servers: tuple[Server, ...]
    hosts: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    username: str = "address"
    literal: str | None = None
    remarks: tuple[str, ...] = ()
    oauth: bool = False
    sending: SenderFacts | None = None
    sources: tuple[str, ...] = ()

    def login(self, address: str | None) -> str | None:
        """Return the login name for an address (``local@domain``) where it follows from it, else None."""
        if self.username == "address":
            return address
        if self.username == "local-part" and address is not None:
            return address.rpartition("@")[0]
        return self.literal


@dataclass(frozen=True, slots=True)
class Table:
    """Hold all services by the names that lead to them, and the filters whose MX names say nothing about the
    mailboxes.
    """

    services: tuple[Service, ...]
    sources: Mapping[str, str]
    hosts: Mapping[str, Service] = field(repr=False)
    domains: Mapping[str, Service] = field(repr=False)
    mx: Mapping[str, Service] = field(repr=False)
    filters: Mapping[str, str] = field(repr=False)


def _services(rows: list[dict[str, object]]) -> Iterator[Service]:
    for row in rows:
        servers = tuple(Server(*server) for server in row.pop("servers"))  # type: ignore[attr-defined]
        values = _frozen(row)
        if "sending" in values:
            values["sending"] = SenderFacts(**_frozen(row["sending"]))
        yield Service(servers=servers, **values)


def _frozen(row: Any) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


@lru_cache(maxsize=1)
def table() -> Table:
    """Read the table, once."""
    data = json.loads((Path(__file__).parent / "services.json").read_bytes())
    services = tuple(_services(data["services"]))
    return Table(
        services=services,
        sources=data["sources"],
        # a name that is somebody's first choice belongs to them, whoever else may list it
        hosts={
            **{host: service for service in services for host in service.hosts},
            **{service.servers[0].host: service for service in services if service.username != "none"},
        },
        domains={domain: service for service in services for domain in service.domains},
        mx={pattern: service for service in services for pattern in service.mx},
        filters={pattern: row["name"] for row in data["filters"] for pattern in row["mx"]},
    )


def service_at(host: object) -> Service | None:
    """Find the service that an account's server belongs to, by the server's whole name."""
    return table().hosts.get(str(host or "").strip().lower().rstrip("."))
