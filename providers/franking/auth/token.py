"""What a session is handed where somebody signs in: an access token that is always fresh.

The recipe: lock → load → refresh once for all waiters → save → unlock. How a grant is refreshed is the provider's
business, and where an account's secret comes from is the subject of ``sources.py``. What a JWT says of itself is read
here for both OAuth providers.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.account.binding import binding_of, difference
from franking.account.repair import login_command
from franking.auth.bound import check_bound
from franking.auth.contract import KeepsUnsaved, KnowsTime, LosesLocks
from franking.auth.secret import Grant, Password, loads
from franking.errors import Evidence, FrankingError, LockLost, LoginRequired, SendError, SettingsError, discreet
from franking.provider import SupportsLogin, SupportsPreparedRefresh
from franking.text import json_object

if TYPE_CHECKING:
    from franking.auth.sources import Sources

__all__ = ["TokenSecret", "jwt_claims", "meant_for"]

Refresh = Callable[[Grant | None], Grant]
"""Makes a new grant of the old, or of none where nobody needs to sign in."""


class TokenSecret:
    """Return a fresh access token of one account, renewed once for all threads and processes that need it.

    A grant that ``sources`` provides from outside counts until the store has a newer one; a token of another ``route``
    is renewed first.
    """

    def __init__(
        self, sources: Sources, provider: SupportsLogin, route: str, *, clock: Callable[[], float] | None = None
    ) -> None:
        self._sources = sources
        self._provider = provider
        self._key = sources.account.name
        self._person = provider.needs_login(sources.account)
        self._route = route
        store = sources.store
        self._clock = clock or (store.clock if isinstance(store, KnowsTime) else time.time)
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self._held: Grant | None = None
        self._unsaved: Grant | None = None
        self._failures = 0
        self._failure: FrankingError | None = None

    def __repr__(self) -> str:
        return f"TokenSecret({self._key!r})"

    def get(self, *, renew_after: str | None = None) -> str:
        with discreet:
            return self._token(renew_after)

    def _token(self, renew_after: str | None) -> str:
        held = self._held
        if held and self._usable(held, renew_after):
            return held.access_token
        if self._pid != os.getpid():  # a forked child must not wait for a thread that it does not have
            self._mutex, self._pid = threading.Lock(), os.getpid()
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
        return self._held.who if self._held else None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the sign-in allows, once a token was asked for."""
        return self._held.scopes if self._held else ()

    @property
    def grant(self) -> Grant | None:
        """Return the grant that would be used now, unrenewed: the newest of what is stored and what was provided."""
        provided = self._sources.grant() if self._person else None
        grants = [grant for grant in (self._stored(), provided, self._unsaved) if grant]
        # a later login beats an earlier one; of the same login, the later renewal does
        return max(grants, key=lambda grant: (grant.created_at, grant.refreshed_at), default=None)

    def _renewed(self, refused: str | None) -> Grant:
        old = self.grant
        if old and self._usable(old, refused):
            return old  # what is fresh needs no lock
        return self._refreshed(old, refused)

    def _refreshed(self, old: Grant | None, refused: str | None) -> Grant:
        with ExitStack() as stack:
            refresh: Refresh | None = None
            if old or not self._person:
                refresh = stack.enter_context(self._ready())
            writable = self._locked(stack)
            old = self.grant
            if old and self._usable(old, refused):
                return old
            if old is None and self._person:
                raise self._nobody()
            refresh = refresh or stack.enter_context(self._ready())
            store = self._sources.store
            if writable and isinstance(store, LosesLocks):
                store.check_lock(self._key)
            try:
                new = refresh(old)
            except LoginRequired:
                # whose lock has lapsed may have been overtaken: what it asked with is spent, and there is a newer one
                if newer := self._newer(old, refused):
                    return newer
                raise
            new = replace(new, route=self._route, bound=binding_of(self._sources.account))
            if isinstance(store, KnowsTime):
                new = new.dated(store.clock() - time.time())
            if old:
                new = replace(new, created_at=old.created_at)
            self._unsaved = new
            return self._saved(new, old, refused) if writable else new

    @contextmanager
    def _ready(self) -> Iterator[Refresh]:
        """Do what a refresh needs beforehand, the application's own secret and the network, and lend the refresh."""
        # a generator's variables outlive its errors (``errors.forget_locals``): none of them is the secret itself
        application = None if self._person else self._sources.password()
        with self._prepared(application) as refresh:
            if application is None or application.source != "store":
                yield refresh
            else:
                yield lambda grant: replace(refresh(grant), application=application)

    def _prepared(self, application: Password | None) -> AbstractContextManager[Refresh]:
        provider, account = self._provider, self._sources.account
        secret = application.value if application else None
        if isinstance(provider, SupportsPreparedRefresh):
            return provider.prepared(account, secret)
        return nullcontext(lambda grant: provider.refresh(account, grant, secret))

    def _locked(self, stack: ExitStack) -> bool:
        """Take the account's lock; return False where the file system is read-only: a container still sends."""
        try:
            stack.enter_context(self._sources.store.lock(self._key))
        except SettingsError as problem:
            if problem.evidence is None or problem.evidence.reason != "unwritable":
                raise
            _warn("the sign-in of %s is kept in memory only: %s", self._key, problem)
            return False
        return True

    def _saved(self, grant: Grant, old: Grant | None, refused: str | None) -> Grant:
        """Save a renewed grant; return the one to use: another's, where the lock was lost and theirs is newer."""
        store = self._sources.store
        try:
            store.save(self._key, grant.dumps())
        except SettingsError as problem:
            # the token works, and the mail should go; the next renewal tries again to save
            _warn("the renewed sign-in of %s could not be saved: %s", self._key, problem)
            return self._kept(grant)
        except LockLost as problem:
            _warn("%s", problem)
            return self._newer(old, refused) or self._kept(grant)
        except SendError as problem:
            if not problem.temporary:
                raise
            _warn("the renewed sign-in of %s could not be saved yet: %s", self._key, problem)
            return self._kept(grant)
        except BaseException:  # Ctrl-C, a time limit of Celery's: what was stored may be spent
            self._kept(grant)
            raise
        else:
            self._unsaved = None
        return grant

    def _newer(self, old: Grant | None, refused: str | None) -> Grant | None:
        """Return what another worker has saved meanwhile, if it can be used."""
        try:
            stored = self._stored()
        except SendError:  # the store is away as well: what is in hand is all that there is
            return None
        if stored is None or stored == old or not self._usable(stored, refused):
            return None
        self._unsaved = None
        return stored

    def _kept(self, grant: Grant) -> Grant:
        """Leave a grant to be saved later, where the store can do that; it is used in any case."""
        store = self._sources.store
        if isinstance(store, KeepsUnsaved):
            try:
                store.keep(self._key, grant.dumps())
            except SettingsError as problem:
                _warn("the renewed sign-in of %s is kept in memory only: %s", self._key, problem)
        return grant

    def _nobody(self) -> LoginRequired:
        repair = login_command(self._sources.account)
        return LoginRequired(
            f"Nobody has signed in for {self._key!r} yet; run: {repair}",
            repair=repair,
            evidence=Evidence("oauth", reason="no-grant"),
        )

    def _stored(self) -> Grant | None:
        text = self._sources.store.load(self._key)
        if text is None:
            return None
        stored = loads(text)  # or a client secret, or a password that is left from when this account had one
        if not isinstance(stored, Grant):
            return None
        account = self._sources.account
        if self._person:
            check_bound(stored.bound, account, self._sources.environ, f"The sign-in that is stored for {self._key!r}")
        elif difference(stored.bound, binding_of(account)):
            return None  # a token of another place; the application's own secret makes one for this
        else:
            check_bound(stored.bound, account, self._sources.environ, f"The token that is stored for {self._key!r}")
        if not stored.bound:  # from Franking 0.1: renewed at once, and bound from then on
            return replace(stored, access_token="")
        return stored

    def _usable(self, grant: Grant, refused: str | None) -> bool:
        return grant.access_token != refused and grant.route == self._route and grant.fresh(self._clock())


def jwt_claims(token: object) -> Mapping[str, Any]:
    """Read what a JWT says, without checking anything; empty where it is none."""
    if not isinstance(token, str) or token.count(".") != 2:
        return {}
    import base64

    payload = token.split(".")[1]
    try:
        return json_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) or {}
    except ValueError:
        return {}


def meant_for(claims: Mapping[str, Any], client_id: str) -> bool:
    """Return whether the claims of an ID token are for this client (OpenID Connect Core §3.1.3.7, 3)."""
    audience = claims.get("aud")
    if not isinstance(audience, list):
        audience = [audience]
    return client_id.casefold() in (str(one).casefold() for one in audience)


def _warn(text: str, *values: object) -> None:
    import logging  # rare, and 5 ms

    logging.getLogger("franking.tokens").warning(text, *values, stacklevel=2)
