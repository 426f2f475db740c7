"""A store that several machines share: texts under keys, always encrypted, each key's lock a lease by the server's
clock. What Redis and PostgreSQL do differently stands in ``redis_store.py`` and ``postgres_store.py``.

What is saved inside a lock that was lost is refused by the server, in the same step as it would be written. What could
not be saved because the server was away is kept (``unsaved.py``).

The key is scrypt of FRANKING_STORE_KEY with a salt that lies in the store, beside a value by which another key is
recognised before anything is read or written.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakSet

from franking.atomic import held
from franking.auth import encryption
from franking.auth.unsaved import Unsaved
from franking.diagnosis.diagnosis import Hint
from franking.errors import Evidence, FrankingError, LockLost, SendError, SettingsError, discreet
from franking.redaction import Veiled, veiled
from franking.shared.afterwards import Held, afterwards, new_owner
from franking.text import json_object

__all__ = ["Rows", "SharedStore"]

_CHECK, _CHECKED = "check", "franking"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_MARGIN = 15.0
"""Seconds for which a lock is waited for beyond the lease of somebody who was killed."""

_CLOCKS_DIFFER = 5.0
"""Seconds from which on this machine's clock is taken to be wrong; less is the way to the server and back."""


class Rows(Protocol):
    """What a server does for one key, each in one step. ``owner`` and ``token`` are the lock's."""

    @property
    def where(self) -> str: ...
    def read(self, key: str) -> tuple[str | None, float]:
        """Return the text and the server's time."""
        ...

    def take(self, key: str, owner: str, seconds: float) -> tuple[int, float] | None:
        """Lock a key; return the fencing token and the server's time, or None while another holds it."""
        ...

    def renew(self, key: str, owner: str, token: int, seconds: float) -> bool: ...
    def write(self, key: str, owner: str, token: int, value: str | None) -> bool:
        """Write a text, or take it away, if the lock is still held; return whether it was."""
        ...

    def release(self, key: str, owner: str, token: int) -> None: ...
    def put_first(self, key: str, value: str) -> str:
        """Write a text where there is none; return what is there then."""
        ...

    def concerns(self) -> list[Hint]:
        """Return what is to be said of how the server is set up."""
        ...


class _Holding:
    """A lock that a thread holds, its token, which grows with each holding, and what was there when it looked."""

    __slots__ = ("base", "held", "kept", "token")

    def __init__(self, token: int, held: Held) -> None:
        self.token, self.held = token, held
        self.base: str | None = None
        self.kept = False


class SharedStore:
    """Keep one text per key on a server, for everybody who has the key; see ``RedisStore`` and ``PostgresStore``."""

    def __init__(
        self,
        rows: Rows,
        *,
        passphrase: str | Veiled[str] | None,
        lease: float,
        directory: Path,
        cost: encryption.Cost = encryption.COST,
    ) -> None:
        """``directory`` is where on this machine lies what could not be saved."""
        passphrase = veiled(passphrase)
        if not isinstance(passphrase, Veiled) or not passphrase:
            raise SettingsError(
                "What lies in a shared store is always encrypted, and FRANKING_STORE_KEY is not set; set it to a long "
                "random text, the same on every machine, and keep that safe.",
                step="secret",
                field="FRANKING_STORE_KEY",
                evidence=Evidence("store", reason="no-shared-key"),
            )
        with discreet:
            encryption.check_passphrase(passphrase.reveal())
        self.rows, self.lease = rows, lease
        self._passphrase = passphrase
        self._cost = cost
        self._check: Mapping[str, Any] | None = None
        self._begin()
        self._ahead = 0.0
        self._unsaved = Unsaved(self, directory, lease / 3)
        _all.add(self)

    def _begin(self) -> None:
        """Hold nothing; a forked child is somebody else, without its parent's threads."""
        self._owner = new_owner()
        self._held: dict[tuple[int, str], _Holding] = {}
        self._mutexes: dict[str, threading.Lock] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rows.where!r})"

    def concerns(self) -> list[Hint]:
        """Go to the server, see that the key fits and that locks can be taken, and return what should be otherwise all
        the same. Raises what is wrong.
        """
        with self.lock("franking store check"):
            return self.rows.concerns()

    def kind(self, key: str) -> str | None:
        return "shared" if self.has(key) else None

    def place(self, key: str) -> str:
        return self.rows.where

    def has(self, key: str) -> bool:
        return self.rows.read(_name(key))[0] is not None

    def stamp(self, key: str) -> str:
        sealed = self.rows.read(_name(key))[0] or ""
        return hashlib.sha256(sealed.encode()).hexdigest()[:16] if sealed else ""

    def clock(self) -> float:
        """Return the server's time, in seconds since the epoch: one clock for all workers."""
        return time.time() + self._ahead

    def load(self, key: str) -> str | None:
        self.check_key()
        text, now = self.rows.read(_name(key))
        self._set_clock(now)
        value = None if text is None else self._opened(text, key)
        if holding := self._holding(key):
            holding.base = value
        return value

    def save(self, key: str, value: str) -> None:
        """Write a text; outside a lock, take it for that. Raises ``LockLost`` where the lock was lost."""
        self.check_key()
        self._write(key, json.dumps(self.sealed(value, key)))

    def delete(self, key: str) -> None:
        self._write(key, None)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        self.check_key()
        with held(self._mutexes.setdefault(key, threading.Lock()), f"The secret of {key!r}", self._wait):
            mine = threading.get_ident(), key
            holding = self._taken(key)
            self._held[mine] = holding
            try:
                afterwards(self).hold(holding.held)
                self._settle(key, holding)
                yield
            finally:
                afterwards(self).let_go(holding.held)
                self._held.pop(mine, None)
                if not holding.kept:
                    self._release(key, holding)

    def check_lock(self, key: str) -> None:
        """Raise ``LockLost`` where another may have the key's lock by now."""
        if (holding := self._holding(key)) and holding.held.lapsed:
            raise self._lost(key)

    def keep(self, key: str, value: str) -> None:
        """Use what could not be saved all the same, inside the lock: it is saved as soon as that can be done, by this
        process or the next one on this machine, unless somebody else has saved something newer.

        The lock is not given back: until it lapses, nobody works with what is there.
        """
        holding = self._holding(key)
        if holding is not None:
            holding.kept = True
        self._unsaved.keep(key, value, holding.base if holding else None)

    # -- the lock ----------------------------------------------------------------------------------------------------

    @property
    def _wait(self) -> float:
        return self.lease + _MARGIN

    def _holding(self, key: str) -> _Holding | None:
        return self._held.get((threading.get_ident(), key))

    def _taken(self, key: str) -> _Holding:
        """Take a key's lock from the server, waiting for whoever has it."""
        until, pause = time.monotonic() + self._wait, _SHORTEST_PAUSE
        while True:
            began = afterwards(self).clock()
            if found := self.rows.take(_name(key), self._owner, self.lease):
                self._set_clock(found[1])
                return self._holding_of(key, found[0], began)
            if time.monotonic() >= until:
                raise SendError(
                    f"The secret of {key!r} has been in use by another program for {self._wait:g} seconds; try again.",
                    step="secret",
                    temporary=True,
                    evidence=Evidence("store", reason="lock-timeout", details={"seconds": self._wait}),
                )
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  (workers that wait together spread)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _settle(self, key: str, holding: _Holding) -> None:
        try:
            self._unsaved.settle(key)
        except FrankingError:  # what is in the store may be spent: nobody else is let in before it has to be
            holding.kept = True
            raise

    def _holding_of(self, key: str, token: int, began: float) -> _Holding:
        owner, name = self._owner, _name(key)
        renew = partial(self.rows.renew, name, owner, token, self.lease)
        return _Holding(token, Held(renew, self.lease, afterwards(self).clock, began))

    def _release(self, key: str, holding: _Holding) -> None:
        try:
            self.rows.release(_name(key), self._owner, holding.token)
        except FrankingError as problem:  # it lapses by itself
            import logging

            logging.getLogger("franking.store").info("the lock of %s was not given back: %s", key, problem)

    def _write(self, key: str, text: str | None) -> None:
        holding = self._holding(key)
        if holding is None:
            with self.lock(key):
                self._write(key, text)
        elif not self.rows.write(_name(key), self._owner, holding.token, text):
            raise self._lost(key)

    def _lost(self, key: str) -> LockLost:
        return LockLost(
            f"The lock on the secret of {key!r} ran out before it was saved, and may be another worker's by now; "
            "nothing was saved.",
            evidence=Evidence("store", reason="lock-lost", details={"server": self.rows.where}),
        )

    def _set_clock(self, now: float) -> None:
        ahead = now - time.time()
        self._ahead = ahead if abs(ahead) >= _CLOCKS_DIFFER else 0.0

    # -- the key -----------------------------------------------------------------------------------------------------

    def check_key(self) -> None:
        """Raise ``SettingsError`` where the store was begun with another FRANKING_STORE_KEY; begin a new one."""
        if self._check is None:
            salt = {"scrypt": list(self._cost), "salt": encryption.new_salt()}
            known, _ = self.rows.read(_CHECK)
            if known is None:
                fresh = {"version": 1, **salt, **encryption.seal(self._key(salt), _CHECKED, _CHECK)}
                known = self.rows.put_first(_CHECK, json.dumps(fresh))
            record = json_object(known) or {}
            try:
                encryption.unseal(self._key(record), str(record.get("nonce")), str(record.get("data")), _CHECK)
            except encryption.Damaged:
                raise self._other_key() from None
            self._check = record

    def sealed(self, value: str, key: str) -> dict[str, Any]:
        """Encrypt a text for a key; it says itself with which salt."""
        self.check_key()
        assert self._check is not None
        salt = {"scrypt": self._check["scrypt"], "salt": self._check["salt"]}
        return {"version": 1, **salt, **encryption.seal(self._key(salt), value, key)}

    def opened(self, record: Mapping[str, Any], key: str) -> str:
        """Decrypt what ``sealed`` made. Raises ``encryption.Damaged``."""
        return encryption.unseal(self._key(record), str(record.get("nonce")), str(record.get("data")), key)

    def _opened(self, text: str, key: str) -> str:
        try:
            return self.opened(json_object(text) or {}, key)
        except encryption.Damaged:
            raise SettingsError(
                f"What the shared store {self.rows.where} has for {key!r} cannot be read; store it anew.",
                step="secret",
                evidence=Evidence("store", reason="damaged", details={"server": self.rows.where}),
            ) from None

    def _key(self, record: Mapping[str, Any]) -> bytes:
        salt = str(record.get("salt"))
        return encryption.derived_key(self._passphrase.reveal(), salt, encryption.cost_of(record))

    def _other_key(self) -> SettingsError:
        return SettingsError(
            f"FRANKING_STORE_KEY is not the key that the shared store {self.rows.where} was begun with; nothing in it "
            "was changed. Set the same key on every machine.",
            step="secret",
            field="FRANKING_STORE_KEY",
            evidence=Evidence("store", reason="other-key", details={"server": self.rows.where}),
        )


_all: WeakSet[SharedStore] = WeakSet()


def _after_fork() -> None:
    """Begin anew in a child, before it has a second thread."""
    for store in list(_all):
        store._begin()
        store._unsaved.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _name(key: str) -> str:
    """Return what a key is called on the server: one to one, in ASCII, never ``check``."""
    if key == _CHECK:
        return key
    return "secret:" + quote(key.encode("utf-8", "surrogatepass"), safe=" !#$&'()*+,;=?@[]")
