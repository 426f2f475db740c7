"""Franking as Django's mail backend: the classic ``EMAIL_BACKEND`` and the ``MAILERS`` of Django 6.1.

    EMAIL_BACKEND = "franking.django.EmailBackend"
    FRANKING_ACCOUNT = "shop"                       # a name, an account URL, or a dict of settings

    MAILERS = {"default": {"BACKEND": "franking.django.EmailBackend", "OPTIONS": {"account": "shop"}}}

It composes nothing: Django's own message is sent as it is, by the same path as every other. Put ``franking.django`` into ``INSTALLED_APPS`` for the
system check (a missing password or sign-in is reported before the first mail) and ``manage.py franking_login``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend

from franking.errors import FrankingError, SettingsError
from franking.mailer import Mailer, connect

if TYPE_CHECKING:
    from email.message import Message as MIMEMessage

    from django.core.mail import EmailMessage

    from franking.account import Account

__all__ = ["EmailBackend", "account_of"]

PLACEHOLDERS = ("webmaster@localhost", "root@localhost")
"""Django's defaults for DEFAULT_FROM_EMAIL and SERVER_EMAIL: nobody chose them, and no mailbox provider would take them."""


def account_of(value: str | Mapping[str, Any] | Account | None) -> Account:
    """Make an account of a setting: a name, an account URL, a dict (``provider``, ``from`` or ``sender``, and the provider's keys), or None.

    Raises ``ImproperlyConfigured`` that names the key.
    """
    from franking.config import resolve, with_defaults

    try:
        if not isinstance(value, Mapping):
            return resolve(value)
        given = {str(key): setting for key, setting in value.items()}
        given.pop("password", None)  # handed over as the secret, never part of an account
        sender = given.pop("from", None) or given.pop("sender", None) or settings.DEFAULT_FROM_EMAIL
        return with_defaults(name=given.pop("name", "django"), provider=given.pop("provider", "smtp"), sender=sender, **given)
    except SettingsError as problem:
        raise ImproperlyConfigured(f"FRANKING_ACCOUNT: {problem}") from problem


class EmailBackend(BaseEmailBackend):
    """Send Django's messages with an account of Franking; one session for all messages of a call, or from ``open`` to ``close``.

    ``account`` as in ``account_of``, by default the setting ``FRANKING_ACCOUNT``. ``fail_silently`` swallows what cannot be delivered, never a wrong setting.
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
        super().__init__(**options)
        self.fail_silently = fail_silently
        chosen = account if account is not None else getattr(settings, "FRANKING_ACCOUNT", None)
        self.account = account_of(chosen)
        if username is not None:  # auth_user of send_mail(); an OAuth account has no such key
            self.account = self.account.replace(username=username)
        self._secret = password if password is not None else chosen.get("password") if isinstance(chosen, Mapping) else None
        self._window = window
        self._mailer: Mailer | None = None
        self._lock = threading.RLock()

    def open(self) -> bool | None:
        """Open a session and log in; tell whether this call did it (None: it failed, silently)."""
        with self._lock:
            if self._mailer is not None:
                return False
            mailer = connect(self.account, window=self._window, secret=self._secret)
            try:
                mailer.check()
            except FrankingError:
                mailer.close()
                if self.fail_silently:
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
        """Send messages in their order over one session, with PIPELINING where the server has it; give the number of those accepted.

        Raises the error of the first message that was not, once all have been tried, unless ``fail_silently``.
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

    def _send(self, mailer: Mailer, messages: Iterable[EmailMessage]) -> int:
        from franking.retry import NEVER

        sent, first = 0, None
        for result in mailer.send_many((self._mime(message) for message in messages), policy=NEVER):
            if result.outcome == "accepted":
                sent += 1
            else:
                first = first or result.error
        if first is not None and not self.fail_silently:
            raise first
        return sent

    def _mime(self, message: EmailMessage) -> MIMEMessage:
        """Make Django's own MIME message; Bcc goes in (each route takes it out again), and a From that nobody chose comes off."""
        mime = message.message()
        if message.bcc and "Bcc" not in mime:
            mime["Bcc"] = ", ".join(str(one) for one in message.bcc)
        if str(mime["From"]) in PLACEHOLDERS:
            del mime["From"]
        return mime
