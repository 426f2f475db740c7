"""What one run of the task does: send, once, or say when the task is to come back. It knows the journal and the
mailers of its process, and nothing of Celery.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from franking.celery.waits import Hold, Pauses, Wait, accounts_fault, needs_a_person, unheard
from franking.errors import Evidence, FrankingError, SendError
from franking.message.address import Envelope
from franking.sending.connect import account_for
from franking.sending.explain import explain
from franking.sending.mailers import KEPT, KeptMailers
from franking.sending.once import deliver_once, known_of, own_id

if TYPE_CHECKING:
    from franking.sending.journal import Journal
    from franking.sending.mailer import Mailer

__all__ = ["Deliveries", "Later", "Letter", "given_up"]

_log = logging.getLogger("franking.celery")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a task is about: the account's name or URL, ready bytes, the key, and the envelope where it is given."""

    account: str | None
    message: bytes
    key: str | None = None
    envelope: Envelope | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """The task comes back: for this letter, with this wait, and why."""

    letter: Letter
    wait: Wait
    error: FrankingError | None = None


@dataclass(slots=True)
class Deliveries:
    """Deliver letters. Safe to share between threads; after a fork the child begins anew."""

    journal: Journal
    pauses: Pauses = field(default_factory=Pauses)
    kept: KeptMailers = KEPT
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    holds: dict[str, Hold] = field(default_factory=dict)

    def deliver(self, letter: Letter, found: Mapping[str, Any] | None, task_id: str) -> dict[str, Any] | Later:
        """Return what became of the letter, or when it comes back. ``found`` is the ``Wait`` that the task brought."""
        now = self.clock()
        wait = Wait.read(found, now)
        expired = now >= wait.since + self.pauses.give_up
        try:
            letter = self._addressed(letter, task_id)
            if (later := self._resting(letter, wait, now)) is not None:
                return later
            mailer = self.kept.of(letter.account)
            result = deliver_once(
                mailer, letter.message, key=letter.key, envelope=letter.envelope, journal=self.journal
            )
        except FrankingError as error:
            return self._not_sent(letter, wait, error, now)
        assert letter.account is not None
        self.holds.pop(letter.account, None)
        result = _with_earlier(result, letter, wait)
        return result if expired else self._rest_of(letter, wait, result, mailer, now) or result

    def broken_off(self, letter: Letter, found: Mapping[str, Any] | None, task_id: str) -> dict[str, Any] | Later:
        """Return when a letter comes back that a time limit of the task broke into; once its time is over, what is
        known to have become of it.
        """
        now = self.clock()
        wait = Wait.read(found, now)
        evidence = Evidence("broker", reason="time-limit")
        limit = SendError("The task's time limit ended it.", step="message", temporary=True, evidence=evidence)
        if now < wait.since + self.pauses.give_up:
            return self._not_sent(letter, wait, limit, now)
        try:
            letter = self._addressed(letter, task_id)
            mailer = self.kept.of(letter.account)
            result = known_of(mailer, letter.message, key=letter.key, envelope=letter.envelope, journal=self.journal)
        except FrankingError as error:
            return self._not_sent(letter, wait, error, now)
        return _failed(limit, wait) if result is None else _with_earlier(result, letter, wait)

    def _addressed(self, letter: Letter, task_id: str) -> Letter:
        """Return the letter with everything that each further delivery of it has to agree on. Raises
        ``SettingsError``.
        """
        if letter.account is None:
            letter = replace(letter, account=account_for(None, letter.message).reference)
        if letter.key is None:
            letter = replace(letter, key=own_id(letter.message) or task_id)
        return letter

    def _resting(self, letter: Letter, wait: Wait, now: float) -> Later | None:
        """Return that the task goes on sleeping, where its time has not come; no server is asked for that."""
        assert letter.account is not None
        until, stamp, error = wait.until, wait.stamp, None
        hold = self.holds.get(letter.account)
        if hold is not None and hold.holds(now) and hold.until > until:
            until, stamp, error = hold.until, hold.stamp, hold.error
        until = min(until, wait.since + self.pauses.give_up)
        if now >= until or (stamp is not None and stamp != self.kept.stamp(letter.account)):
            return None
        return Later(letter, replace(wait, until=until, stamp=stamp), error)

    def _not_sent(self, letter: Letter, wait: Wait, error: FrankingError, now: float) -> dict[str, Any] | Later:
        """Return when to come back, for surely nothing went."""
        explain(error)
        end = wait.since + self.pauses.give_up
        busy = error.evidence is not None and error.evidence.kind == "journal"
        over = now >= end
        if over and not unheard(error):
            return _failed(error, wait)
        failures, stamp = wait.failures + (not busy), None
        account = letter.account
        if account is not None and accounts_fault(error):
            before = self.holds.get(account)
            if needs_a_person(error):
                stamp = self._stamp(account)
                self.kept.forget(account)
            failures = max(failures, 1 + (before.failures if before is not None else 0))
        until = now + self.pauses.after(error, max(failures, 1), self.chance())
        if not (busy or over):
            until = min(until, end)
        if account is not None and accounts_fault(error):
            self.holds[account] = Hold(now, until, failures, stamp, error)
        _log.info("%s waits for %.0f s: %s", letter.key, until - now, error)
        return Later(letter, replace(wait, until=until, failures=failures, stamp=stamp), error)

    def _stamp(self, account: str) -> str:
        try:
            return self.kept.stamp(account)
        except FrankingError:  # an account that is unknown now may be there at the next look
            return ""

    def _rest_of(self, letter: Letter, wait: Wait, result: dict[str, Any], mailer: Mailer, now: float) -> Later | None:
        """Return when to come back for the recipients who were put off while others were accepted, if there are any."""
        later = [address for address, refusal in result["refused"].items() if refusal["temporary"]]
        if result["outcome"] != "accepted" or not later:
            return None
        assert letter.key is not None
        sender = mailer.prepare(letter.message, envelope=letter.envelope).envelope.sender
        message = letter.message
        if own_id(message) is None and result["message_id"]:
            message = b"Message-ID: " + result["message_id"].encode() + b"\r\n" + message
        rest = replace(letter, key=_next_key(letter.key), envelope=Envelope(sender, later), message=message)
        until = min(now + self.pauses.usual[0], wait.since + self.pauses.give_up)
        return Later(rest, replace(wait.begun_anew(result), until=until))


_PART = " #"


def _next_key(key: str) -> str:
    """Return the key under which the journal knows the rest of a message: ``order-114 #2``, then ``#3`` …"""
    first, mark, number = key.rpartition(_PART)
    if mark and number.isdigit():
        return f"{first}{_PART}{int(number) + 1}"
    return f"{key}{_PART}2"


def given_up(later: Later) -> dict[str, Any]:
    """Return the result of a task for which nobody waits: surely nothing more went."""
    return _failed(later.error, later.wait)


def _failed(error: FrankingError | None, wait: Wait) -> dict[str, Any]:
    """Return the result of a message that is given up: surely nobody more has it."""
    diagnosis = None if error is None else explain(error).as_dict()
    if wait.earlier is not None:
        return {**wait.earlier, "diagnosis": diagnosis}
    return {"outcome": "failed", "message_id": None, "reply": None, "refused": {}, "diagnosis": diagnosis}


def _with_earlier(result: dict[str, Any], letter: Letter, wait: Wait) -> dict[str, Any]:
    """Return what became of all recipients, where this was for those who were left."""
    if wait.earlier is None:
        return result
    assert letter.envelope is not None
    return _merged(wait.earlier, result, letter.envelope.recipients)


def _merged(earlier: Mapping[str, Any], result: Mapping[str, Any], asked: tuple[str, ...]) -> dict[str, Any]:
    """Return what became of all recipients: those of before, and those who were ``asked`` now."""
    refused = {address: refusal for address, refusal in earlier["refused"].items() if address not in asked}
    for address in asked:
        if address in result["refused"]:
            refused[address] = result["refused"][address]
        elif result["outcome"] in ("refused", "failed"):
            refused[address] = {"reply": result["reply"] or "", "temporary": False}
    outcome = "unknown" if result["outcome"] == "unknown" else earlier["outcome"]
    return {**earlier, "outcome": outcome, "refused": refused, "diagnosis": result["diagnosis"]}
