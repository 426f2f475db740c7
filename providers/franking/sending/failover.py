"""Another account that sends when this one surely did not and cannot now: which failures count, whose turn it is, how
the message is put on. It opens nothing itself: every account sends over a mailer of its own. Many messages at once are
``failover_many.py``'s.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from franking.atomic import make_private, write_whole
from franking.auth.store import state_directory
from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    LoginRequired,
    Refused,
    SendError,
    SettingsError,
    Throttled,
    TLSError,
)
from franking.message.address import Address, Envelope
from franking.message.prepare import Prepared, own_author
from franking.message.raw import from_bytes
from franking.sending.retry import INSTEAD

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.provider import Receipt
    from franking.sending.mailer import Mailer

__all__ = ["PAUSES", "ROWS", "Failover", "falls_over", "put_on", "taken_off"]

PAUSES = (60.0, 120.0, 300.0, 900.0)
"""Seconds after which the first account is tried again, after its first, second … failure in a row."""

PATIENCE = 60.0
"""A server that wants less for no longer than this is waited for."""

_log = logging.getLogger("franking.mailer")


@dataclass(frozen=True, slots=True)
class Row:
    """One class of failures that another account may make up for. All that is given has to fit."""

    what: str
    errors: tuple[type[FrankingError], ...]
    steps: tuple[str, ...] = ()
    sender: bool = False
    waits: bool = False

    def fits(self, error: FrankingError) -> bool:
        """Return whether an error is of this class."""
        if not isinstance(error, self.errors) or (self.steps and error.step not in self.steps):
            return False
        if self.sender:
            return error.temporary and error.evidence is not None and error.evidence.details.get("what") == "sender"
        if self.waits:
            smtp = error.evidence is not None and error.evidence.kind == "smtp"
            return not smtp and (getattr(error, "retry_after", None) or 0.0) > PATIENCE
        return True


ROWS = (
    Row("somebody has to sign in again", (LoginRequired,)),
    Row("the login was refused", (LoginError,), ("login",)),
    Row("encryption failed, or the certificate is not to be trusted", (TLSError,)),
    Row("no address, no connection", (ConnectError,), ("secret", "resolve", "connect", "tls", "greet", "login")),
    Row("the server refused at its greeting", (SendError,), ("greet",)),
    Row("the sender was put off (4xx or 421 to MAIL)", (Refused,), ("message",), sender=True),
    Row("less is wanted for longer than a minute", (Throttled,), waits=True),
)
"""All failures after which another account sends. Never one after any answer to RCPT or DATA, where somebody may have
the message, and never a wrong message or wrong settings.
"""


def falls_over(error: FrankingError) -> bool:
    """Return whether another account may send what met with this error."""
    return not error.possibly_sent and any(row.fits(error) for row in ROWS)


class Failover:
    """Hold the accounts that stand in for one, and whether they do now. Shared by threads."""

    def __init__(self, mailer: Mailer, *, clock: Callable[[], float] = time.time) -> None:
        """Raises ``SettingsError`` for a name that no account has, for itself and for a circle."""
        self.mailer = mailer
        self.clock = clock
        self._remembers = True  # there may be a file
        self._file = state_directory(os.environ) / "failover" / f"{mailer.account.name}.json"
        self.others = [_beside(mailer, account) for account in _accounts(mailer.account)]
        mailer.pool.beside = [other.pool for other in self.others]

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, prepared: Prepared, first: Callable[[Prepared], Receipt]) -> Receipt:
        """Send with the account itself (``first``), or with the first of the others that can."""
        reason = self.resting()
        if reason is None:
            try:
                receipt = first(prepared)
            except FrankingError as error:
                if not falls_over(error):
                    raise
                reason = self.note(error)
                failed: FrankingError | None = error
            else:
                self.well()
                return receipt
        else:
            failed = None
        return self._stand_in(prepared, reason, failed) or first(prepared)

    def _stand_in(self, prepared: Prepared, reason: str, failed: FrankingError | None) -> Receipt | None:
        """Send with the first of the others that can. None of them: raise the account's own error, or return None."""
        for other in self.others:
            self.mailer.made_up_for(INSTEAD)
            try:
                receipt = other.send(put_on(prepared, other.account))
            except FrankingError as error:
                if not falls_over(error):
                    raise
                _log.warning("The account %r cannot stand in for %r: %s", other.account.name, self._name, error)
                continue
            receipt = self.stood_in(receipt, other, reason)
            _log.warning("%s", receipt.warnings[-1])
            return receipt
        if failed is not None:
            raise failed
        return None

    def stood_in(self, receipt: Receipt, other: Mailer, reason: str) -> Receipt:
        """Return a receipt of another account that says why it was not this one's."""
        words = f"The account {other.account.name!r} sent it, because {self._name!r} could not: {reason}"
        return replace(receipt, warnings=(*receipt.warnings, words))

    @property
    def _name(self) -> str:
        return self.mailer.account.name

    # -- whose turn it is --------------------------------------------------------------------------------------------

    def resting(self) -> str | None:
        """Return why the account itself is not tried now, or None where it is."""
        known = self._known()
        if not known or not known["since"] <= self.clock() < known["until"]:
            return None
        return str(known["reason"])

    def note(self, error: FrankingError) -> str:
        """Remember that the account cannot send now; return why."""
        reason = error.message
        if error.explained() is None:
            self.mailer.explain(error)
        if error.diagnosis is not None:
            reason = error.diagnosis.title
        self.mailer.record.failing(error)
        if self.resting() is not None:
            return reason  # sends that were under way together fail together: that counts once
        now, failures = self.clock(), int(self._known().get("failures", 0)) + 1
        until = now + PAUSES[min(failures, len(PAUSES)) - 1]
        self._remembers = True
        state = {"version": 1, "failures": failures, "since": now, "until": until, "reason": reason}
        try:
            make_private(self._file.parent)
            write_whole(self._file, json.dumps(state).encode())
        except OSError as problem:  # it is tried again sooner than need be
            _log.warning("%s cannot be written: %s", self._file, problem.strerror)
        return reason

    def well(self) -> None:
        """Remember that the account can send."""
        if not self._remembers:
            return
        self._remembers = False
        try:
            self._file.unlink(missing_ok=True)
        except OSError as problem:
            _log.warning("%s cannot be removed: %s", self._file, problem.strerror)

    def _known(self) -> dict[str, Any]:
        self._remembers = True
        try:
            known = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            self._remembers = False
            return {}
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) and {"since", "until", "reason"} <= known.keys() else {}


def _beside(mailer: Mailer, account: Account) -> Mailer:
    """Make a mailer like this one for another account; it falls over to none."""
    return type(mailer)(
        account,
        connections=mailer.pool.connections,
        observer=mailer.observer,
        store=mailer.store,
        falls_over=False,
        limits_at=mailer.limits_at,
    )


def _accounts(account: Account) -> list[Account]:
    """Return the accounts that may stand in, in their order; those that are switched off do not."""
    from franking.account.config import resolve

    found: list[Account] = []
    for name in account.fallback:
        if name == account.name:
            raise SettingsError(f"fallback: {name!r} cannot stand in for itself.", field="fallback")
        other = resolve(name)
        if account.name in other.get("fallback", ()):
            raise SettingsError(
                f"fallback: {account.name!r} and {name!r} stand in for each other; take one of the two out.",
                field="fallback",
            )
        if other.enabled:
            found.append(other)
    return found


@dataclass(frozen=True, slots=True)
class _PutOn(Prepared):
    """A message as an account that stands in sends it."""

    original: Prepared


def put_on(prepared: Prepared, account: Account) -> Prepared:
    """Return the message as the other account sends it: From its address with the name that was there, Reply-To the
    original address where there is none, the same Message-ID.
    """
    original = taken_off(prepared)
    octets = b"".join(original.content.chunks(bcc=True))
    author = own_author(octets)
    sender = Address(account.sender.address, (author and author.name) or account.sender.name)
    content = from_bytes(octets, sender=sender, rewrite_from=True)
    return _PutOn(Envelope(account.sender, original.envelope.recipients), content, original)


def taken_off(prepared: Prepared) -> Prepared:
    """Return the message as it was before it was put on for another account."""
    return prepared.original if isinstance(prepared, _PutOn) else prepared
