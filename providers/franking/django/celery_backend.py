"""Django's mail, handed to the workers of Celery: a page never waits for a mail server, and what a worker does with a
message is ``franking.celery``'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings

from franking.django.backend import EmailBackend
from franking.django.errors import as_smtplib
from franking.errors import Evidence, SendError, SettingsError

if TYPE_CHECKING:
    from django.core.mail import EmailMessage

    from franking.message.prepare import Prepared
    from franking.sending.mailer import Mailer

__all__ = ["CeleryBackend"]

TASK = "franking.send"


class CeleryBackend(EmailBackend):
    """Publish Django's messages as tasks of the current Celery application, Bcc and envelope with them.

    ``FRANKING_CELERY_TASK`` names the task that ``mail_task`` made (``franking.send`` without). The account is found by
    the workers, with the settings and secrets there: by its name or URL, so that no password may stand in Django's
    settings.
    """

    @property
    def queues(self) -> bool:
        """Return True."""
        return True

    @as_smtplib()
    def open(self) -> bool | None:
        """Open nothing: the workers do."""
        return None

    @as_smtplib()
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Publish messages; return how many the broker has. Raises ``FrankingError`` as ``EmailBackend`` does, a
        temporary ``SendError`` where the broker is away.
        """
        try:
            return super().send_messages(email_messages)
        except SendError:
            if self.fail_silently:
                return 0
            raise

    def _hand_over(self, mailer: Mailer, prepared: Prepared) -> None:
        """Publish one message."""
        with mailer.explained():
            self._publish(prepared)

    def _publish(self, prepared: Prepared) -> None:
        from kombu.exceptions import OperationalError

        from celery import current_app
        from franking.celery.task import published, shown

        if self.has_secret:
            raise SettingsError(
                "A worker finds the password where it is stored, never in Django's settings: save the account with "
                "franking accounts add, and name it in FRANKING_ACCOUNT.",
                field="password",
                evidence=Evidence("settings", reason="value"),
            )
        octets = b"".join(prepared.content.chunks(bcc=True))
        places, names = published(self.account.reference, octets, envelope=prepared.envelope)
        name = getattr(settings, "FRANKING_CELERY_TASK", TASK)
        task: Any = current_app.tasks.get(name)
        try:
            if task is None:  # this process publishes only
                current_app.send_task(name, places, names, **shown(places, names))
            else:
                task.apply_async(places, names)
        except OperationalError as problem:
            raise SendError(
                f"Celery's broker cannot be reached, so the message was not handed over: {problem}",
                temporary=True,
                evidence=Evidence("broker", text=str(problem), reason="away"),
            ) from problem
