"""Asking a mailbox: a sign-in is really renewed, a password really logs in, seldom enough that nobody is locked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from franking.account.environment import secret_variable
from franking.auth.sources import Sources, secret_for
from franking.auth.store import SecretStore
from franking.auth.token import TokenSecret
from franking.errors import ConnectError, FrankingError, LoginError, LoginRequired, SettingsError
from franking.health.memory import Check
from franking.outbox.entry import write_value
from franking.outbox.stamp import Stamps
from franking.provider import Provider, SupportsCertificate, SupportsLogin
from franking.sending.explain import explain
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.status import SecretState

__all__ = ["Mailbox"]

DAY = 86400.0
"""How long an answer counts, unless somebody wants to know (``--verify``)."""
MARGIN = 300.0
"""What lies no further in the future is of just now: a look takes its time."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account's mailbox, to be asked. ``stamp`` is what its settings and its stored secret look like now."""

    account: Account
    provider: Provider
    store: SecretStore
    environ: Mapping[str, str]
    stamp: str

    def look(self, before: Check | None, state: SecretState, now: float, *, verify: bool) -> Check:
        """Return what the mailbox answers, or what it answered ``before`` where that still counts."""
        if before is not None and before.stamp != self.stamp:
            before = None
        if before is not None and not self._is_due(before, now, verify=verify):
            return before
        renewed = state.refreshed_at if state.kind == "grant" else 0.0
        if not verify and (before is None or before.outcome == "ok") and -MARGIN <= now - renewed < DAY:
            return Check(renewed, self.stamp, "ok", renewed)  # somebody sent: it works
        return self._asked(before, now)

    def _is_due(self, before: Check, now: float, *, verify: bool) -> bool:
        if before.outcome == "refused" and self._kept_here:
            return False  # asking on and on locks accounts; the stamp changes with the password
        if verify or before.outcome == "unreachable":
            return True
        return not 0.0 <= now - before.at < DAY  # or the clock was set back

    @property
    def _kept_here(self) -> bool:
        """Return whether the password is one that changes nowhere but in our store."""
        if isinstance(self.provider, SupportsLogin):
            return False
        sources = Sources(self.account, self.store, self.environ)
        return not sources.settings() and not self.environ.get(secret_variable(self.account.name))

    def _asked(self, before: Check | None, now: float) -> Check:
        try:
            certificate = self._ask()
            # a renewed sign-in was stored anew
            return Check(now, Stamps(self.environ)(self.account.name), "ok", now, certificate=certificate)
        except FrankingError as error:
            outcome = _outcome(error)
            found = replace(explain(error, self.account, self.provider), raw="")
            since = before.since if before is not None and before.outcome == outcome else now
            certificate = before.certificate if before is not None else 0.0
            return Check(now, self.stamp, outcome, since, write_value(found), certificate)

    def _ask(self) -> float:
        """Renew the token, or log in with the password; return how long the server's certificate holds, if it showed
        one. Raises what sending would raise.
        """
        secret = secret_for(self.account, self.provider, self.store, self.environ)
        if isinstance(secret, TokenSecret):
            grant = secret.grant
            secret.get(renew_after=grant.access_token if grant else None)
            return 0.0
        with Mailer(self.account, falls_over=False) as mailer:
            mailer.check()
            with mailer.borrow() as session:
                return session.certificate_ends() if isinstance(session, SupportsCertificate) else 0.0


def _outcome(error: FrankingError) -> str:
    found = error.explained()
    if isinstance(error, LoginRequired):
        return "refused"
    if error.temporary or (found is not None and found.temporary) or isinstance(error, ConnectError):
        return "unreachable"
    if isinstance(error, LoginError) or (isinstance(error, SettingsError) and error.step == "secret"):
        return "refused"
    return "lasting"
