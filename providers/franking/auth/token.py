"""What a session is handed where somebody signs in: an access token that is always fresh.

The recipe: lock → load → refresh once for all waiters → save → unlock. It knows grants, stores and clocks; how a grant
is refreshed is a ``Renewal``'s business, and where an account's secret comes from is the subject of ``sources.py``.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Protocol

from franking.auth.secret import Grant, loads
from franking.auth.store import SecretStore
from franking.errors import Evidence, FrankingError, LoginRequired, SettingsError

__all__ = ["Renewal", "TokenSecret"]

Refresh = Callable[[Grant | None], Grant]
"""Makes a new grant of the old, or of none where nobody needs to sign in."""


class Renewal(Protocol):
    """How the grant of one account is made new.

    ``route`` is the route that its tokens are for: one of another route is renewed first. ``needs_login`` tells whether
    a person has to sign in, ``repair`` is the command for that.
    """

    @property
    def route(self) -> str | None: ...
    @property
    def needs_login(self) -> bool: ...
    @property
    def repair(self) -> str: ...
    def provided(self) -> Grant | None:
        """Return the grant of an argument or the environment; a rotated one in the store wins while it is newer."""
        ...

    def ready(self) -> AbstractContextManager[Refresh]:
        """Do what a refresh needs beforehand, and lend the refresh; it is called under the account's lock."""
        ...


class TokenSecret:
    """Return a fresh access token of one account, renewed once for all threads and processes that need it."""

    def __init__(
        self, key: str, store: SecretStore, renewal: Renewal, *, clock: Callable[[], float] | None = None
    ) -> None:
        self._key = key
        self._store = store
        self._renewal = renewal
        self._clock = clock or time.time
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self._held: Grant | None = None
        self._unsaved: Grant | None = None
        self._failures = 0
        self._failure: FrankingError | None = None

    def __repr__(self) -> str:
        return f"TokenSecret({self._key!r})"

    def get(self, *, renew_after: str | None = None) -> str:
        held = self._held
        if held and self._usable(held, renew_after):
            return held.access_token
        if self._pid != os.getpid():  # a forked child must not wait for a thread that it does not have
            self._pid, self._mutex = os.getpid(), threading.Lock()
        failures = self._failures
        with self._mutex:
            if self._failure and self._failures > failures:
                # it was tried while this thread waited for the others; once is enough for all of them
                raise copy.copy(self._failure)
            if self._held is None or not self._usable(self._held, renew_after):
                try:
                    self._held = self._renewed(renew_after)
                except FrankingError as problem:
                    self._failures += 1
                    self._failure = copy.copy(problem)
                    raise
            return self._held.access_token

    @property
    def who(self) -> str | None:
        """Return who signed in, once a token was asked for; None where nobody said."""
        if self._held is None:
            return None
        return self._held.who

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the sign-in allows, once a token was asked for."""
        if self._held is None:
            return ()
        return self._held.scopes

    @property
    def grant(self) -> Grant | None:
        """Return the grant that would be used now, unrenewed: the newest of what is stored and what was provided."""
        grants = [grant for grant in (self._stored(), self._renewal.provided(), self._unsaved) if grant]
        # a later login beats an earlier one; of the same login, the later renewal does
        return max(grants, key=lambda grant: (grant.created_at, grant.refreshed_at), default=None)

    def _renewed(self, refused: str | None) -> Grant:
        old = self.grant
        if old and self._usable(old, refused):
            return old  # what is fresh needs no lock
        with ExitStack() as stack:
            refresh: Refresh | None = None
            if old or not self._renewal.needs_login:
                refresh = stack.enter_context(self._renewal.ready())
            writable = self._locked(stack)
            old = self.grant
            if old and self._usable(old, refused):
                return old
            if old is None and self._renewal.needs_login:
                raise self._nobody()
            refresh = refresh or stack.enter_context(self._renewal.ready())
            new = refresh(old)
            if old:
                new = replace(new, created_at=old.created_at)
            if self._renewal.route:
                new = replace(new, route=self._renewal.route)
            self._unsaved = new
            if writable:
                self._save(new)
            return new

    def _locked(self, stack: ExitStack) -> bool:
        """Take the account's lock; return False where the file system is read-only: a container still sends."""
        try:
            stack.enter_context(self._store.lock(self._key))
        except SettingsError as problem:
            if problem.evidence is None or problem.evidence.reason != "unwritable":
                raise
            _warn("the sign-in of %s is kept in memory only: %s", self._key, problem)
            return False
        return True

    def _save(self, grant: Grant) -> None:
        try:
            self._store.save(self._key, grant.dumps())
        except SettingsError as problem:
            # the token works, and the mail should go; the next renewal tries again to save
            _warn("the renewed sign-in of %s could not be saved: %s", self._key, problem)
        else:
            self._unsaved = None

    def _nobody(self) -> LoginRequired:
        repair = self._renewal.repair
        return LoginRequired(
            f"Nobody has signed in for {self._key!r} yet; run: {repair}",
            repair=repair,
            evidence=Evidence("oauth", reason="no-grant"),
        )

    def _stored(self) -> Grant | None:
        text = self._store.load(self._key)
        if text is None:
            return None
        stored = loads(text)
        if isinstance(stored, Grant):
            return stored
        return None  # a client secret, or left from when this was a password account

    def _usable(self, grant: Grant, refused: str | None) -> bool:
        if grant.access_token == refused or self._renewal.route not in (None, grant.route):
            return False
        return grant.fresh(self._clock())


def _warn(text: str, *values: object) -> None:
    import logging  # rare, and 5 ms

    logging.getLogger("franking.tokens").warning(text, *values, stacklevel=2)
