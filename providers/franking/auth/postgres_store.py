"""Secrets in PostgreSQL: a row for each key, and a statement for each step. What is common to shared stores is in
``shared_store.py``, how PostgreSQL is asked in ``shared/postgres_server.py``, the table in ``shared/tables.py``.

No transaction is open between two steps: the issuer of tokens may take its time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.environment import state_folder
from franking.auth import encryption
from franking.auth.shared_store import SharedStore
from franking.diagnosis.diagnosis import Hint
from franking.errors import discreet
from franking.redaction import Veiled, veiled
from franking.shared.opening import LEASE, Place, place_of
from franking.shared.postgres_server import PostgresServer

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresStore"]

_NOW = "extract(epoch FROM clock_timestamp())::float8"

_READ = f"SELECT (SELECT value FROM {{table}} WHERE key = $1), {_NOW}"

# A holding that was never given back, on a server that was started only now: its holder may be about to say what
# happened meanwhile, so it has its time once more.
_TAKE = f"""
INSERT INTO {{table}} AS held (key, owner, token, until, lease)
VALUES ($1, $2, 1, {_NOW} + $3::float8, $3::float8)
ON CONFLICT (key) DO UPDATE
SET owner = $2, token = held.token + 1, until = {_NOW} + $3::float8, lease = $3::float8
WHERE held.owner IS NULL OR held.owner = $2
  OR greatest(held.until, extract(epoch FROM pg_postmaster_start_time())::float8 + held.lease) <= {_NOW}
RETURNING token, {_NOW}
"""

# A holding that ends later than any can was taken before the clock was set back: a holder that lives has a lease from
# now to say so.
_SET_BACK = f"UPDATE {{table}} SET until = {_NOW} + lease WHERE key = $1 AND until > {_NOW} + lease"

_MINE = f"WHERE key = $1 AND owner = $2 AND token = $3::bigint AND until > {_NOW} RETURNING token"
_RENEW = f"UPDATE {{table}} SET until = {_NOW} + $4::float8 {_MINE}"
_WRITE = f"UPDATE {{table}} SET value = $4 {_MINE}"
_RELEASE = f"UPDATE {{table}} SET owner = NULL, until = NULL {_MINE}"
_PUT_FIRST = "INSERT INTO {table} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING"


class PostgresStore(SharedStore):
    """Keep secrets in PostgreSQL, encrypted: by its address (``postgresql://``), or by a function that opens a
    connection of psycopg 3.

    ``key`` is FRANKING_STORE_KEY unless given; ``table`` names the table, which ``franking store init`` makes. Raises
    ``SettingsError`` without a key, or for an address that is none.
    """

    def __init__(
        self,
        connect_or_url: str | Callable[[], psycopg.Connection[Any]] | Place,
        *,
        key: str | None = None,
        table: str = "franking",
        directory: str | Path | None = None,
        cost: encryption.Cost = encryption.COST,
    ) -> None:
        """``directory`` is this machine's state directory, and ``cost`` scrypt's, for a store that is begun."""
        connect_or_url, key = veiled(connect_or_url), veiled(key)
        place: Any = connect_or_url
        if isinstance(place, Veiled):
            place = place_of(place)
        lease = LEASE
        if isinstance(place, Place):
            lease = place.lease
            self.server = PostgresServer(place.url, timeout=place.timeout, table=table)
        else:
            self.server = PostgresServer(place, table=table)
        with discreet:  # the environment holds secrets
            folder = Path(state_folder(os.environ)) if directory is None else Path(directory)
        passphrase = veiled(key or os.environ.get("FRANKING_STORE_KEY"))
        super().__init__(_PostgresRows(self.server), passphrase=passphrase, lease=lease, directory=folder, cost=cost)


class _PostgresRows:
    """The steps of one key, by statements."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def where(self) -> str:
        return self._server.where

    def read(self, key: str) -> tuple[str | None, float]:
        ((value, now),) = self._server.run(_READ, key)
        return value, now

    def take(self, key: str, owner: str, seconds: float) -> tuple[int, float] | None:
        rows = self._server.run(_TAKE, key, owner, seconds)
        if rows:
            return rows[0][0], rows[0][1]
        self._server.run(_SET_BACK, key)
        return None

    def renew(self, key: str, owner: str, token: int, seconds: float) -> bool:
        return bool(self._server.run(_RENEW, key, owner, token, seconds))

    def write(self, key: str, owner: str, token: int, value: str | None) -> bool:
        return bool(self._server.run(_WRITE, key, owner, token, value))

    def release(self, key: str, owner: str, token: int) -> None:
        self._server.run(_RELEASE, key, owner, token)

    def concerns(self) -> list[Hint]:
        self._server.check_tables()
        found: list[Hint] = []
        if not self._server.protected:
            found.append(Hint("store.unprotected", {"server": self.where}))
        for name in ("fsync", "synchronous_commit"):
            ((value,),) = self._server.run(f"SHOW {name}")
            if value == "off":
                found.append(Hint("store.not-durable", {"server": self.where, "why": f"{name} = off"}))
        return found

    def put_first(self, key: str, value: str) -> str:
        self._server.run(_PUT_FIRST, key, value)
        return str(self.read(key)[0])
