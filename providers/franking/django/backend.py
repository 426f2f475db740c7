"""The mail backend: Django's own messages, sent by the same path as every other. It composes nothing.

What the settings may look like is in ``franking/django/__init__.py``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import TYPE_CHECKING, Any

from django.core.mail.backends.base import BaseEmailBackend

from franking.django.account import configured
from franking.django.errors import as_smtplib
from franking.django.message import mime_of, recipients_of
from franking.errors import FrankingError, LoginRequired, MessageError, SendError, discreet
from franking.message.address import Envelope
from franking.redaction import veiled
from franking.sending.connect import connect
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from django.core.mail import EmailMessage

    from franking.account.account import Account
    from franking.message.prepare import Prepared

__all__ = ["EmailBackend", "QueueBackend"]

_UNDELIVERABLE = (SendError, LoginRequired)
_log = logging.getLogger("franking.django")


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django has no types
    """Send Django's messages with an account of Franking, over one session per ``send_messages``, or from ``open`` to
    ``close``.

    ``account`` as in ``account_of``, by default the setting ``FRANKING_ACCOUNT``; ``window`` is how many messages may
    be unanswered on the session. All between are the options of Django's SMTP backend, and where no account is named,
    its settings (EMAIL_HOST …) count; ``username`` and ``password`` are also what ``send_mail(auth_user=…,
    auth_password=…)`` hands over. ``fail_silently`` swallows what cannot be delivered, never a wrong setting or
    message. Raises ``ImproperlyConfigured`` (``InvalidMailer`` for an entry of MAILERS).
    """

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        account: str | Mapping[str, Any] | Account | None = None,
        window: int = 16,
        host: str | None = None,
        port: int | str | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        **options: Any,
    ) -> None:
        password = veiled(password)
        if isinstance(account, Mapping) and "password" in account:
            account = {**account, "password": veiled(account["password"])}
        alias = options.get("alias")
        # Django before 6.1 drops them in silence: a misspelt account would become the default one
        if alias is None and options:
            raise TypeError(f"{type(self).__name__} does not know {', '.join(sorted(options))}")
        super().__init__(**options)
        self.alias, self.fail_silently, self._window = alias, fail_silently, window
        server = {
            "host": host, "port": port, "username": username, "password": password, "use_tls": use_tls,
            "use_ssl": use_ssl, "timeout": timeout, "ssl_keyfile": ssl_keyfile, "ssl_certfile": ssl_certfile,
        }  # fmt: skip
        with discreet:
            self.account, self._secret = configured(account, server, alias)
        self._mailer: Mailer | None = None
        self._lock = threading.RLock()

    @property
    def queues(self) -> bool:
        """Return whether mail goes into the outbox: the account says so."""
        return bool(self.account.get("queue"))

    @property
    def has_secret(self) -> bool:
        """Return whether the settings hold the password, so that none is looked for elsewhere."""
        return self._secret is not None

    @as_smtplib()
    def open(self) -> bool | None:
        """Open a session and log in; return whether this call did it (None: it failed, silently). Raises
        ``FrankingError``.
        """
        with self._lock:
            if self._mailer is not None:
                return False
            mailer = connect(self.account, window=self._window, secret=self._secret)
            try:
                mailer.check()
            except FrankingError as problem:
                mailer.close()
                if self.fail_silently and isinstance(problem, _UNDELIVERABLE):
                    _log.info("No session for %s: %s", self.account.name, problem)
                    return None
                raise
            self._mailer = mailer
            return True

    def close(self) -> None:
        """Close the session."""
        with self._lock:
            mailer, self._mailer = self._mailer, None
            if mailer is not None:
                mailer.close()

    @as_smtplib()
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages over one session, with PIPELINING where the server has it; return how many were accepted.

        A message that cannot be delivered stops no other; nothing is tried again later. Once all have been tried, the
        first error is raised (``FrankingError``, and smtplib's for the same), unless ``fail_silently``. What Django
        itself will not compose (its ``ValueError``) ends the sending at that message.
        """
        wanted = [message for message in email_messages or () if message.recipients()]
        if not wanted:
            return 0
        if self.queues:
            return self._put(wanted)
        with self._lock:
            opened = self.open()
            if opened is None or self._mailer is None:
                return 0
            try:
                return self._send(self._mailer, wanted)
            finally:
                if opened:
                    self.close()

    def _send(self, mailer: Mailer, messages: Sequence[EmailMessage]) -> int:
        from franking.sending.retry import Policy
        from franking.sending.source import Ready

        once = Policy(attempts=1, patience=mailer.account.timeout)  # somebody is waiting for the page
        failed: list[FrankingError] = []
        each = iter(messages)
        ready = Ready(self._prepared(mailer, each, failed), lambda: length_hint(each))
        for result in mailer.send_many(ready, policy=once):
            if result.error is not None:
                failed.append(result.error)
            elif result.receipt is not None and result.receipt.refused:
                _log.info(
                    "%s was refused for %d of its recipients.", result.receipt.message_id, len(result.receipt.refused)
                )
        for error in failed:
            _log.info("A message was not accepted: %s", error)
        for error in failed:
            if not (self.fail_silently and isinstance(error, _UNDELIVERABLE)):
                if len(messages) > 1:
                    error.add_note(f"{len(failed)} of {len(messages)} messages were not accepted.")
                raise error
        return len(messages) - len(failed)

    def _put(self, messages: Sequence[EmailMessage]) -> int:
        """Hand messages to what delivers them later; return how many it has."""
        failed: list[FrankingError] = []
        number = 0
        with connect(self.account, secret=self._secret) as mailer:
            for prepared in self._prepared(mailer, messages, failed):
                self._hand_over(mailer, prepared)
                number += 1
        for error in failed:
            raise error
        return number

    def _hand_over(self, mailer: Mailer, prepared: Prepared) -> None:
        """Put a message into the outbox."""
        mailer.queue(prepared)

    def _prepared(
        self, mailer: Mailer, messages: Iterable[EmailMessage], failed: list[FrankingError]
    ) -> Iterator[Prepared]:
        for message in messages:
            try:
                with mailer.explained():
                    recipients = recipients_of(message)
                    mime: Any = mime_of(message)
                    prepared = mailer.prepare(mime, envelope=Envelope(self.account.sender, recipients))
            except MessageError as problem:
                failed.append(problem)
            else:
                yield prepared


class QueueBackend(EmailBackend):
    """Put Django's messages into the outbox, whatever the account says: a page never waits for a mail server.

    ``account`` is the name of a saved account; ``franking outbox run`` delivers (docs: outbox).
    """

    @property
    def queues(self) -> bool:
        """Return True."""
        return True
