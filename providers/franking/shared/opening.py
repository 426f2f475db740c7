"""Which server the environment names as the shared store: ``FRANKING_STORE``, or the file in ``FRANKING_STORE_FILE``.

    place = shared_place(os.environ)        # None where everything lies on this machine
    server = server_at(place)               # the same object each time in one process: connections are shared

What only Franking knows of an address is taken off it: ``?lease=`` and ``?timeout=``, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from franking.errors import SettingsError, discreet
from franking.redaction import Veiled, veiled
from franking.shared import address, failures
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer

__all__ = ["LEASE", "Place", "SharedServer", "place_of", "server_at", "shared_place"]

LEASE = 60.0
"""Seconds that a lock is held without a sign of life."""
TIMEOUT = 30.0

SharedServer = RedisServer | PostgresServer

_KINDS: Mapping[str, type[RedisServer] | type[PostgresServer]] = {
    "redis": RedisServer,
    "rediss": RedisServer,
    "postgresql": PostgresServer,
    "postgres": PostgresServer,
}
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A shared store's address, which may hold a password, and how long its locks and answers may take."""

    url: Veiled[str]
    lease: float = LEASE
    timeout: float = TIMEOUT


def shared_place(environ: Mapping[str, str]) -> Place | None:
    """Return the shared store that the environment names; None where it names none. Raises ``SettingsError`` for an
    address that is none, or a file that cannot be read.
    """
    with discreet:
        return _named(environ)


def _named(environ: Mapping[str, str]) -> Place | None:
    text = environ.get("FRANKING_STORE", "").strip()
    path = environ.get("FRANKING_STORE_FILE", "").strip()
    if not text and path:
        text = _read(Path(path).expanduser())
        if "://" not in text:
            raise _file_problem(path, "its first line is no address such as redis://host/0 or postgresql://host/mail")
    return place_of(text) if "://" in text else None


def place_of(url: str | Veiled[str]) -> Place:
    """Take an address apart. Raises ``SettingsError`` for one that is none."""
    url = veiled(url)
    assert isinstance(url, Veiled)
    with discreet:
        return _taken_apart(url.reveal())


def _taken_apart(url: str) -> Place:
    address.check(url, step="settings")
    parts = urlsplit(url)
    if parts.scheme not in _KINDS:
        known = "redis://, rediss://, postgresql://"
        raise failures.misfit(f"{parts.scheme}:// is no store that is known; there are {known}", step="settings")
    options = parse_qsl(parts.query, keep_blank_values=True)
    seconds = {name: _seconds(name, value) for name, value in options if name in ("lease", "timeout")}
    rest = urlencode([(name, value) for name, value in options if name not in seconds])
    return Place(Veiled(urlunsplit(parts._replace(query=rest))), **seconds)


def server_at(place: Place) -> SharedServer:
    """Return the server of a place, the same one for all of this process that ask for it."""
    with discreet:
        return _server_at(place)


def _server_at(place: Place) -> SharedServer:
    wanted = (place.url.reveal(), place.timeout)
    if wanted not in _SERVERS:
        kind = _KINDS[urlsplit(wanted[0]).scheme]
        _SERVERS.setdefault(wanted, kind(place.url, timeout=place.timeout))
    return _SERVERS[wanted]


_SERVERS: dict[tuple[str, float], SharedServer] = {}


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:  # no number is not in it either
        raise failures.misfit(f"{name}={value} is not a number of seconds from 0.1 to 3600", step="settings")
    return seconds


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return (file.read(_LARGEST).splitlines() or [""])[0].strip()
    except OSError as problem:
        why = f"it cannot be read: {problem.strerror}"
    except UnicodeDecodeError:
        why = "it is no UTF-8 text"
    raise _file_problem(str(path), why)


def _file_problem(path: str, why: str) -> SettingsError:
    problem = failures.misfit(f"the file {path}: {why}", step="settings")
    problem.message = problem.message.replace("FRANKING_STORE:", "FRANKING_STORE_FILE:")
    problem.field = "FRANKING_STORE_FILE"
    return problem
