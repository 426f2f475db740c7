"""What a session is handed as its secret: a password, or an access token that is always fresh.

The recipe for tokens: lock → load → refresh once for all waiters → save → unlock. It knows grants, stores and clocks;
how a grant is refreshed, the provider tells it (``refresh``). Where an account's secret comes from is the subject of
``credentials.py``.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

from franking.auth.secret import Grant, Password
from franking.auth.store import SecretStore
from franking.errors import Evidence, FrankingError, LoginRequired, SettingsError

__all__ = ["TokenSecret"]


class TokenSecret:
    """Return a fresh access token of one account, renewed once for all threads and processes that need it."""

    def __init__(
        self,
        key: str,
        store: SecretStore,
        refresh: Callable[[Grant | None], Grant],
        *,
        provided: Grant | Callable[[], Grant | None] | None = None,
        needs_login: bool = True,
        repair: Callable[[], str] | None = None,
        clock: Callable[[], float] | None = None,
        route: str | None = None,
        prepared: Callable[[], AbstractContextManager[Callable[[Grant | None], Grant]]] | None = None,
    ) -> None:
        """``provided`` is a grant from an argument or the environment (or reads it when needed); a rotated one in the
        store wins while it is newer.

        ``refresh`` makes a new grant of the old (or of none, where nobody needs to sign in); it is called under the
        account's lock. ``prepared`` lends another ``refresh`` that did some of its work before the lock was taken.
        ``route`` tells for which road the token must be: one of another road is renewed first. ``repair`` gives the
        command for ``LoginRequired``.
        """
        self._key = key
        self._store = store
        self._refresh = refresh
        self._provided = provided
        self._needs_login = needs_login
        self._repair = repair
        self._clock = clock or time.time
        self._route = route
        self._prepared = prepared
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
                # it was tried while we waited for our turn; once is enough for all of us
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
        """Return who signed in, once a token was given; None where nobody said."""
        return self._held.who if self._held else None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the sign-in allows, once a token was given."""
        return self._held.scopes if self._held else ()

    @property
    def grant(self) -> Grant | None:
        """Return the grant that would be used now, without renewing it: the newest of what is stored and what was
        provided.
        """
        provided = self._provided() if callable(self._provided) else self._provided
        known = [grant for grant in (self._stored(), provided, self._unsaved) if grant]
        # a later login beats an earlier one; of the same login, the later renewal does
        return max(known, key=lambda grant: (grant.created_at, grant.refreshed_at), default=None)

    def _renewed(self, refused: str | None) -> Grant:
        known = self.grant
        if known and self._usable(known, refused):
            return known  # what is fresh needs no lock
        with ExitStack() as held:
            refresh, writable = self._refresh, True
            if self._prepared and (known or not self._needs_login):
                refresh = held.enter_context(self._prepared())
            try:
                held.enter_context(self._store.lock(self._key))
            except SettingsError as problem:
                if problem.evidence is None or problem.evidence.reason != "unwritable":
                    raise
                writable = False  # a container with a read-only file system still sends
                _warn("the sign-in of %s is kept in memory only: %s", self._key, problem)
            known = self.grant
            if known and self._usable(known, refused):
                return known
            if known is None and self._needs_login:
                repair = self._repair() if self._repair else None
                raise LoginRequired(
                    f"Nobody has signed in for {self._key!r} yet" + (f"; run: {repair}" if repair else "."),
                    repair=repair,
                    evidence=Evidence("oauth", reason="no-grant"),
                )
            renewed = refresh(known)
            if known:
                renewed = replace(renewed, created_at=known.created_at)
            if self._route:
                renewed = replace(renewed, route=self._route)
            self._unsaved = renewed
            if writable:
                self._save(renewed)
            return renewed

    def _save(self, renewed: Grant) -> None:
        try:
            self._store.save(self._key, renewed.dumps())
        except SettingsError as problem:
            # the token works, and the mail should go; the next renewal tries again to save
            _warn("the renewed sign-in of %s could not be saved: %s", self._key, problem)
        else:
            self._unsaved = None

    def _stored(self) -> Grant | None:
        text = self._store.load(self._key)
        if text is None:
            return None
        try:
            return Grant.loads(text)
        except SettingsError:
            try:
                Password.loads(text)  # a client secret, or left from when this was a password account
            except SettingsError:
                pass
            else:
                return None
            raise

    def _usable(self, grant: Grant, refused: str | None) -> bool:
        return grant.access_token != refused and grant.fresh(self._clock()) and self._route in (None, grant.route)


def _warn(text: str, *values: object) -> None:
    import logging  # rare, and 5 ms

    logging.getLogger("franking.tokens").warning(text, *values, stacklevel=2)
