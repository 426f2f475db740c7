"""The mail backend: Django's own messages, sent by the same path as every other. It composes nothing.

What the settings may look like is in ``franking/django/__init__.py``.
"""

from __future__ import annotations

import email.policy
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from email.encoders import encode_quopri
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend

import django
from franking.errors import FrankingError, LoginRequired, MessageError, SendError, SettingsError
from franking.message.address import Address, Envelope
from franking.sending.mailer import Mailer, connect

if TYPE_CHECKING:
    from email.message import Message as MIMEMessage

    from django.core.mail import EmailMessage

    from franking.account.account import Account
    from franking.message.prepare import Prepared

__all__ = ["EmailBackend", "account_of"]

PLACEHOLDERS = ("webmaster@localhost", "root@localhost")
"""Django's defaults for DEFAULT_FROM_EMAIL and SERVER_EMAIL: nobody chose them, and no mailbox provider would take
them.
"""

_UNDELIVERABLE = (SendError, LoginRequired)
# fits every server; Django's default assumes 8BITMIME without asking
_SEVEN_BIT = email.policy.SMTP.clone(cte_type="7bit")
_log = logging.getLogger("franking.django")


def account_of(value: str | Mapping[str, Any] | Account | None) -> Account:
    """Return the account that a setting means: a name, an account URL, a dict, or None for the default account.

    A dict holds ``provider`` (``smtp`` without), ``from`` (DEFAULT_FROM_EMAIL without) and the provider's keys;
    ``name`` is what its secret is stored under, by default made of provider, user name and server; ``password`` is no
    part of the account. Raises ``SettingsError`` that names the key.
    """
    from franking.account.config import load, resolve
    from franking.account.url import derived_name
    from franking.registry import DEFAULT
    from franking.registry import provider as provider_named

    if not isinstance(value, Mapping):
        return resolve(value)
    account = {str(key): setting for key, setting in value.items() if key != "password"}
    provider = provider_named(account.pop("provider", DEFAULT))
    sender = account.pop("from", None)
    login = account.get(provider.facts.login_key) or ""
    if not sender and settings.DEFAULT_FROM_EMAIL not in PLACEHOLDERS:
        sender = settings.DEFAULT_FROM_EMAIL
    elif not sender and "@" in login:
        sender = login
    if not sender:
        raise SettingsError("from: say who sends, in the account or as DEFAULT_FROM_EMAIL.", field="from")
    name = account.pop("name", None) or derived_name(provider, sender, account)
    return load().build(name=name, provider=provider.name, sender=sender, **account)


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django has no types
    """Send Django's messages with an account of Franking, over one session per ``send_messages``, or from ``open`` to
    ``close``.

    ``account`` as in ``account_of``, by default the setting ``FRANKING_ACCOUNT``; ``window`` is how many messages may
    be unanswered on the session. ``username`` and ``password`` are what ``send_mail(auth_user=…, auth_password=…)``
    hands over. ``fail_silently`` swallows what cannot be delivered, never a wrong setting or message. Raises
    ``ImproperlyConfigured`` (``InvalidMailer`` for an entry of MAILERS).
    """

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        account: str | Mapping[str, Any] | Account | None = None,
        window: int = 16,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        alias = options.get("alias")
        # Django before 6.1 drops them in silence: a misspelt account would become the default one
        if alias is None and options:
            raise TypeError(f"{type(self).__name__} does not know {', '.join(sorted(options))}")
        super().__init__(**options)
        self.alias, self.fail_silently, self._window = alias, fail_silently, window
        key = "account"
        if account is None:
            key, account = "FRANKING_ACCOUNT", getattr(settings, "FRANKING_ACCOUNT", None)
        try:
            self.account = account_of(account)
            if username is not None:
                self.account = self.account.replace(username=username)
        except SettingsError as problem:
            raise _misconfigured(f"{key}: {problem}", alias) from problem
        self._secret = password
        if password is None and isinstance(account, Mapping):
            self._secret = account.get("password")
        self._mailer: Mailer | None = None
        self._lock = threading.RLock()

    @property
    def has_secret(self) -> bool:
        """Return whether the settings hold the password, so that none is looked for elsewhere."""
        return self._secret is not None

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

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages over one session, with PIPELINING where the server has it; return how many were accepted.

        A message that cannot be delivered stops no other; nothing is tried again later. Once all have been tried, the
        first error is raised (``FrankingError``), unless ``fail_silently``. What Django itself will not compose (its
        ``ValueError``) ends the sending at that message.
        """
        wanted = [message for message in email_messages or () if message.recipients()]
        if not wanted:
            return 0
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
        from franking.sending.retry import NEVER  # somebody is waiting for the page

        failed: list[FrankingError] = []
        for result in mailer.send_many(self._prepared(mailer, messages, failed), policy=NEVER):
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

    def _prepared(
        self, mailer: Mailer, messages: Sequence[EmailMessage], failed: list[FrankingError]
    ) -> Iterator[Prepared]:
        for message in messages:
            mime: Any = _mime(message)
            try:
                with mailer.explained():
                    # Django's own word on who gets it: a To among its headers is for show
                    recipients = dict.fromkeys(Address.parse(str(recipient)).wire for recipient in message.recipients())
                    prepared = mailer.prepare(mime, envelope=Envelope(self.account.sender, recipients))
            except MessageError as problem:
                failed.append(problem)
            else:
                yield prepared


def _mime(message: EmailMessage) -> MIMEMessage:
    """Make Django's own MIME message; Bcc goes in (each route takes it out again), and a From that nobody chose comes
    off.
    """
    mime: MIMEMessage
    if django.VERSION >= (6,):
        mime = message.message(policy=_SEVEN_BIT)
    else:
        mime = message.message()
        for part in mime.walk():
            if part["Content-Transfer-Encoding"] == "8bit":
                del part["Content-Transfer-Encoding"]
                encode_quopri(part)
    if message.bcc:
        mime["Bcc"] = ", ".join(str(one) for one in message.bcc if one)
    if str(mime["From"]) in PLACEHOLDERS:
        del mime["From"]
    return mime


def _misconfigured(text: str, alias: str | None) -> ImproperlyConfigured:
    if alias is None:
        return ImproperlyConfigured(text)
    from django.core.mail import InvalidMailer  # of Django 6.1, as the alias is

    return InvalidMailer(text, alias=alias)
