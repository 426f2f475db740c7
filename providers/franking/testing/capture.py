"""Capture what would leave, in a list. It opens no session and needs no settings; pytest's fixture is here too.

Everything of Franking works as always (composing, limits, retries, ``send_many``, Django, asyncio), only sessions are
not opened: no server, no secret, no settings file is needed, and pauses take no time.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import EmailMessage

    from franking.account.account import Account
    from franking.errors import FrankingError
    from franking.message.address import Envelope
    from franking.message.content import Content
    from franking.provider import Receipt, Session
    from franking.sending.mailer import Mailer

__all__ = ["Captured", "Outbox", "capture"]


@dataclass(frozen=True, slots=True)
class Captured:
    """One message as the server would have got it: ``envelope``, ``bytes`` (without Bcc), and the ``account`` that it
    was sent with.
    """

    envelope: Envelope
    bytes: bytes
    account: Account

    @property
    def message(self) -> EmailMessage:
        """Return the message, parsed anew at each call."""
        from email import policy
        from email.parser import BytesParser

        return BytesParser(policy=policy.default).parsebytes(self.bytes)

    @property
    def subject(self) -> str:
        """Return the subject, decoded."""
        return str(self.message["Subject"])


class Outbox(list[Captured]):
    """A list of what was sent, and the script of what is to fail."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._failures: list[tuple[FrankingError, str | None]] = []
        self._refusals: dict[str, str] = {}
        self._ahead = 0.0

    def fail(self, error: FrankingError, *, to: str | None = None, times: int = 1) -> None:
        """Let the next ``times`` messages fail with this error (those to this recipient, where one is named)."""
        self._failures.extend([(error, to)] * times)

    def refuse(self, recipient: str, reply: str = "550 5.1.1 no such mailbox") -> None:
        """Let a recipient be refused with this reply; other recipients of the same message are accepted."""
        self._refusals[recipient] = reply

    # -- what the mailer asks while capturing ------------------------------------------------------------------------

    def account(self, wanted: str | Account | None) -> Account:
        """Return the account that is meant, or a stand-in where the tests have no settings: From is
        ``NAME@example.com``.
        """
        import franking
        from franking.account.config import resolve

        try:
            return resolve(wanted)
        except franking.SettingsError:
            if wanted is not None and (not isinstance(wanted, str) or "://" in wanted):
                raise
            name = wanted or "default"
            local = re.sub("[^A-Za-z0-9]", "-", name).strip("-") or "default"
            return franking.Account(name=name, provider="smtp", sender=f"{local}@example.com", host="smtp.example.com")

    def session(self, mailer: Mailer) -> Session:
        """Open a session that keeps what it is given."""
        return _CaptureSession(self, mailer)

    def clock(self) -> float:
        """Return the time, in which pauses count though nobody waits."""
        return time.monotonic() + self._ahead

    def wait(self, seconds: float) -> None:
        """Let a pause be over at once."""
        self._ahead += seconds

    def take(self, mailer: Mailer, envelope: Envelope, content: Content) -> Receipt:
        """Keep a message, or fail as the script says."""
        from franking.errors import Evidence, RecipientsRefused
        from franking.provider import Receipt

        with self._lock:
            for number, (error, to) in enumerate(self._failures):
                if to is None or to in envelope.recipients:
                    del self._failures[number]
                    raise error
        refused = {
            one: {"reply": self._refusals[one], "temporary": self._refusals[one].startswith("4")}
            for one in envelope.recipients
            if one in self._refusals
        }
        accepted = tuple(one for one in envelope.recipients if one not in refused)
        if not accepted:
            reply = self._refusals[next(iter(refused))]
            evidence = Evidence("smtp", text=reply)
            if reply[:3].isdigit():
                evidence = Evidence("smtp", code=int(reply[:3]), text=reply[4:])
            raise RecipientsRefused(
                f"Every recipient was refused: {reply}",
                refused=refused,
                temporary=all(refusal["temporary"] for refusal in refused.values()),
                evidence=evidence,
            )
        data = b"".join(content.chunks(bcc=False))
        with self._lock:
            self.append(Captured(type(envelope)(envelope.sender, accepted), data, mailer.account))
        return Receipt(
            content.message_id,
            mailer.route,
            "250 2.0.0 captured",
            accepted=accepted,
            refused=refused,
            bytes=len(data),
            account=mailer.account.name,
        )


class _CaptureSession:
    def __init__(self, outbox: Outbox, mailer: Mailer) -> None:
        self._outbox, self._mailer = outbox, mailer

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        return self._outbox.take(self._mailer, envelope, content)

    def close(self) -> None:
        """Nothing is held open."""

    def abort(self) -> None:
        """Nothing is held open."""


@contextmanager
def capture() -> Iterator[Outbox]:
    """Capture every message that this process sends meanwhile, from any thread; yields the ``Outbox``, a list."""
    from franking.sending import mailer

    outbox, before = Outbox(), mailer.capturing
    mailer.capturing = outbox
    try:
        yield outbox
    finally:
        mailer.capturing = before


try:
    import pytest
except ImportError:  # capture() serves other test runners too
    pass
else:

    @pytest.fixture
    def franking_outbox() -> Iterator[Outbox]:
        """Capture every message of this test: a list of ``Captured``."""
        with capture() as outbox:
            yield outbox
