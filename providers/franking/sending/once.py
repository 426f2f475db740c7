"""One message that a task queue may hand out more than once, sent exactly once or told as unknown: a journal says which
delivery of it may send (``journal.py``), and the message takes the one path of every message.

A round trip to the journal takes the message, and its turn where the limits are kept there too; a second one says that
it is about to leave; what became of it is written while the next one is on its way (``afterwards.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from franking.errors import (
    Evidence,
    FrankingError,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    SendError,
    Throttled,
)
from franking.message.headers import Added, added_now
from franking.message.prepare import Prepared, own_id, prepare
from franking.outbox.fingerprint import fingerprint
from franking.sending.bulk import send_many
from franking.sending.connect import connect
from franking.sending.enqueue import checked_key
from franking.sending.journal import Answer, Claim, Journal
from franking.sending.mailer import Mailer
from franking.sending.queue import SendResult
from franking.sending.retry import Policy, is_the_accounts
from franking.shared.afterwards import afterwards, tell_all

if TYPE_CHECKING:
    from email.message import EmailMessage

    from franking.account.account import Account
    from franking.message.address import Envelope
    from franking.message.message import Message
    from franking.provider import Receipt
    from franking.sending.counts import Turn
    from franking.sending.limit_places import Room
    from franking.sending.turns import Turns

__all__ = ["deliver_once", "known_of", "own_id"]


def deliver_once(
    account: str | Account | Mailer | None,
    message: Message | EmailMessage | bytes,
    *,
    key: str | None = None,
    envelope: Envelope | None = None,
    journal: Journal,
) -> dict[str, Any]:
    """Send a message unless another delivery of it did, and return what became of it: a dict with ``outcome``
    (``accepted``, ``refused``, ``failed``, ``unknown``), ``message_id``, ``reply``, ``refused`` and ``diagnosis``.

        deliver_once("shop", message.as_bytes("info@novak.cz"), key="order-114", journal=RedisJournal("redis://…"))

    ``key`` names the message, by default its Message-ID does. A ``Mailer`` in the place of ``account`` is used and left
    open, and what became of the message is written down when it is closed, if not before; without one, when this
    returns. Whatever is raised says that surely
    nothing was sent and the next delivery may try: ``Throttled`` with ``retry_after`` while another one has the message
    (``journal.busy``), a limit is reached or the server wants a pause, ``LoginRequired`` or ``LoginError`` where
    somebody has to sign in, ``SettingsError``, or a temporary ``SendError``. Raises ``MessageError`` for a message
    without a key or with a bad one.
    """
    with nullcontext(account) if isinstance(account, Mailer) else connect(account) as mailer, mailer.explained():
        return _Delivery(mailer, message, key, envelope, journal).outcome()


def known_of(
    mailer: Mailer, message: bytes, *, key: str | None, envelope: Envelope | None, journal: Journal
) -> dict[str, Any] | None:
    """Return what became of a message, None where surely nothing of it was sent; it is not sent. Raises as
    ``deliver_once``.
    """
    with mailer.explained():
        return _Delivery(mailer, message, key, envelope, journal).known()


class _Delivery:
    """One delivery of a message."""

    def __init__(
        self, mailer: Mailer, message: Any, key: str | None, envelope: Envelope | None, journal: Journal
    ) -> None:
        if key is None and (key := own_id(message)) is None:
            raise MessageError("key: a message without a Message-ID of its own needs one.", field="key")
        self._key = checked_key(key)
        self.mailer, self.journal = mailer, journal
        self._message, self._envelope = message, envelope
        self._afterwards = afterwards(journal)
        self._begun = False
        mailer.pool.at_close = tell_all  # this process may be there for one message, and end by os._exit (RQ's does)

    def outcome(self) -> dict[str, Any]:
        """Send, or tell what is known already."""
        turns, added = self.mailer.turns, added_now(self.mailer.account.sender)
        try:
            prepared = self._prepared(added)
            room = turns.room(len(prepared.envelope.recipients)) if turns is not None else None
        except MessageError as wrong:  # it would be the same each time
            return self._outcome("failed", None, error=wrong)
        claim = self._claim(prepared, added)
        asked = self._afterwards.clock()
        answer = self._taken(claim, room, turns)
        if answer.state != "claimed":
            return self._told(answer)
        with self._afterwards.holding(partial(self.journal.renew, claim), self.journal.lease, asked):
            if (answer.message_id, answer.date) != (claim.message_id, claim.date):
                prepared = self._prepared(Added(answer.message_id, answer.date))
            claim = replace(claim, message_id=prepared.content.message_id)
            return self._sent(claim, prepared, answer.turn)

    def known(self) -> dict[str, Any] | None:
        """Return what is known; send nothing."""
        added = added_now(self.mailer.account.sender)
        claim = self._claim(self._prepared(added), added)
        answer = self.journal.claim(claim)
        if answer.state != "claimed":
            return self._told(answer)
        self._settle(claim, None)
        return None

    def _claim(self, prepared: Prepared, added: Added) -> Claim:
        digest = fingerprint(self.mailer.account.name, prepared.envelope, self._message, composed=True).hex()
        if self._afterwards.behind:  # perhaps about this very message: that it was given back
            self._afterwards.wait()
        return Claim(self._key, os.urandom(12).hex(), digest, prepared.content.message_id, added.date)

    def _prepared(self, added: Added) -> Prepared:
        account = self.mailer.account
        sender, rewrite = account.sender, account.rewrite_from
        return prepare(self._message, sender=sender, envelope=self._envelope, rewrite_from=rewrite, added=added)

    def _taken(self, claim: Claim, room: Room | None, turns: Turns | None) -> Answer:
        """Take the message, and wait for its turn."""
        if turns is None or room is None:
            return self.journal.claim(claim)
        answers: list[Answer] = []

        def take() -> Turn:
            answers[:] = [self.journal.claim(claim, room)]
            return answers[0].turn

        try:
            turns.wait(room.recipients, self.mailer.pool.is_broken_off, take)
        except BaseException:
            self._settle(claim, None)
            raise
        return answers[0]

    def _told(self, answer: Answer) -> dict[str, Any]:
        """Return what another delivery came to. Raises ``Throttled`` where that has not ended."""
        if answer.state == "busy":
            raise _busy("Another worker has this message now.", max(answer.wait, 0.001), self._key)
        if answer.state == "reused":
            words = f"key: {self._key!r} names another message already; nothing was sent."
            reused = Evidence("message", reason="key-reused", details={"key": self._key})
            return self._outcome("failed", None, error=MessageError(words, field="key", evidence=reused))
        if answer.outcome:
            return dict(answer.outcome)
        words = "The worker that had this message ended in the middle of it; it may have been accepted."
        ended = Evidence("journal", reason="interrupted", details={"key": self._key})
        lost = SendError(words, step="accepted", evidence=ended)
        return self._outcome("unknown", answer.message_id, error=lost)

    def _sent(self, claim: Claim, prepared: Prepared, turn: Turn) -> dict[str, Any]:
        """Send the message, and have written down what became of it. Raises what surely kept it from being sent."""
        results: list[SendResult] = []
        turns = self.mailer.turns
        if turns is not None:
            turns = turns.having(turn)
        try:
            results += send_many(
                self.mailer,
                [prepared],
                connections=1,
                window=1,
                rate=None,
                per_day=None,
                policy=Policy(attempts=1, patience=self.mailer.account.timeout),
                started=partial(self._started, claim),
                stop=threading.Event(),
                turns=turns,
            )
        except _NotBegun as trouble:
            self._settle(claim, None)
            if turns is not None:
                turns.give_back(turn)
            assert trouble.__cause__ is not None
            raise trouble.__cause__ from None
        except BaseException as broken:
            if results:
                with suppress(FrankingError):  # what broke in is told
                    self._settled(claim, results[0])
            else:
                lost = self._begun and getattr(broken, "possibly_sent", True)
                self._settle(claim, self._lost(prepared) if lost else None)
            raise
        if turns is not None and turns.had is not None:  # another account sent instead
            turns.give_back(turn)
        return self._settled(claim, results[0])

    def _started(self, claim: Claim, index: int, message_id: str) -> None:
        """Have it written down that the message is about to leave. Raises ``_NotBegun`` where it may not."""
        if self._begun:  # another attempt
            return
        try:
            self._afterwards.wait()  # else a worker that is killed could leave two in doubt
            self._begun = self.journal.started(claim)
        except FrankingError as problem:
            raise _NotBegun from problem
        if not self._begun:
            words = "Another worker has taken this message over; nothing of it was sent."
            raise _NotBegun from _busy(words, self.journal.lease, self._key)

    def _settled(self, claim: Claim, result: SendResult) -> dict[str, Any]:
        """Have written down what became of the message, and return it. Raises what surely kept it from being sent."""
        if result.error is not None and result.outcome == "failed" and _comes_back(result.error):
            self._settle(claim, None)
            raise result.error
        outcome = self._outcome(result.outcome, claim.message_id, receipt=result.receipt, error=result.error)
        self._settle(claim, outcome)
        return outcome

    def _settle(self, claim: Claim, outcome: Mapping[str, Any] | None) -> None:
        """Have an outcome written down; None: nothing was sent, and the next delivery may."""
        tell = partial(self.journal.give_back, claim)
        if outcome is not None:
            tell = partial(self.journal.finish, claim, outcome)
        say = getattr(self.journal, "say", None)  # see ``Says``
        self._afterwards.do(tell, partial(say, claim, outcome) if say is not None else None)

    def _lost(self, prepared: Prepared) -> dict[str, Any]:
        """Return the outcome of a message that something broke into."""
        lost = OutcomeUnknown("It was interrupted after the message may have left.")
        return self._outcome("unknown", prepared.content.message_id, error=lost)

    def _outcome(
        self,
        outcome: str,
        message_id: str | None,
        *,
        receipt: Receipt | None = None,
        error: FrankingError | None = None,
    ) -> dict[str, Any]:
        reply, refused, diagnosis = None, {}, None
        if error is not None:
            self.mailer.explain(error)
            reply = error.evidence.raw if error.evidence else str(error)
            refused = dict(getattr(error, "refused", {}))
            diagnosis = error.diagnosis
        if receipt is not None:
            reply, refused = receipt.reply, dict(receipt.refused)
        return {
            "outcome": outcome,
            "message_id": message_id,
            "reply": reply,
            "refused": refused,
            "diagnosis": diagnosis and diagnosis.as_dict(),
        }


class _NotBegun(Exception):
    """What kept a message from being begun is its cause. None of ours, so that nobody on the way makes up for it."""


def _busy(words: str, seconds: float, key: str) -> Throttled:
    evidence = Evidence("journal", reason="busy", details={"key": key})
    return Throttled(words, step="message", retry_after=seconds, evidence=evidence)


def _comes_back(error: FrankingError) -> bool:
    """Return whether a message that surely did not go may go another time."""
    return error.temporary or isinstance(error, RecipientsRefused) or is_the_accounts(error)
