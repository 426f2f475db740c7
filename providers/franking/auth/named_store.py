"""The shared store that the environment names by its address; ``store.py`` opens all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from franking.account.environment import state_folder
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.shared_store import SharedStore
from franking.errors import discreet
from franking.shared.opening import Place, shared_place

__all__ = ["named_store"]


def named_store(environ: Mapping[str, str]) -> SharedStore | None:
    """Return the shared store, the same object each time in one process; None where the environment names none.

    Nothing is connected before it is needed. Raises ``SettingsError`` for an address that is none, and without
    FRANKING_STORE_KEY.
    """
    place = shared_place(environ)
    if place is None:
        return None
    with discreet:
        return _opened(place, environ)


def _opened(place: Place, environ: Mapping[str, str]) -> SharedStore:
    key, directory = environ.get("FRANKING_STORE_KEY", ""), Path(state_folder(environ))
    wanted = (place.url.reveal(), place.lease, place.timeout, key, str(directory))
    if wanted not in _OPEN:
        kind = PostgresStore if wanted[0].startswith("postgres") else RedisStore
        _OPEN.setdefault(wanted, kind(place, key=key, directory=directory))
    return _OPEN[wanted]


_OPEN: dict[tuple[object, ...], SharedStore] = {}
"""Connections are shared by all of a process that ask for the same store."""
