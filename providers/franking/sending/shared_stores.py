"""What several workers share of sending: the journal, and the counts of what a mailbox sent; in the shared store that
the environment names (``FRANKING_STORE``), or somewhere else that is named. It keeps nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.auth.store import state_directory
from franking.errors import discreet
from franking.redaction import Veiled, veiled
from franking.shared.opening import Place, place_of, server_at, shared_place
from franking.shared.redis_server import RedisServer

if TYPE_CHECKING:
    from franking.sending.journal import Journal
    from franking.sending.limit_places import SharedLimits

__all__ = ["limits_at", "open_journal"]

LEASE_SECONDS = 60.0


def open_journal(environ: Mapping[str, str] | None = None, *, lease: float = LEASE_SECONDS) -> Journal | None:
    """Return the journal in the shared store; None where the environment names none. ``lease`` is how long a worker
    that says nothing has a message, in seconds. Raises ``SettingsError``.
    """
    with discreet:
        place = shared_place(os.environ if environ is None else environ)
    if place is None:
        return None
    server = server_at(place)
    if isinstance(server, RedisServer):
        from franking.sending.redis_journal import RedisJournal

        return RedisJournal(server, lease=lease)
    from franking.sending.postgres_journal import PostgresJournal

    return PostgresJournal(server, lease=lease)


def limits_at(where: str | Veiled[str] | Path | SharedLimits | None, environ: Mapping[str, str]) -> SharedLimits:
    """Return the place where limits are kept: the one that is given, or at that address, or in that directory; None is
    the shared store, and where there is none the state directory. Raises ``SettingsError``.
    """
    chosen: Any = veiled(where)
    where = None
    place = shared_place(environ) if chosen is None else None
    if isinstance(chosen, Veiled):
        if "://" in chosen.reveal():
            place = place_of(chosen)
        else:
            chosen = Path(chosen.reveal())
    if place is not None:
        return _limits_in(place)
    if chosen is None:
        chosen = state_directory(environ) / "limits"
    if isinstance(chosen, Path):
        from franking.sending.limit_files import FileLimits

        return FileLimits(chosen)
    found: SharedLimits = chosen
    return found


def _limits_in(place: Place) -> SharedLimits:
    server = server_at(place)
    if isinstance(server, RedisServer):
        from franking.sending.redis_limits import RedisLimits

        return RedisLimits(server)
    from franking.sending.postgres_limits import PostgresLimits

    return PostgresLimits(server)
