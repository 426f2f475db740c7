"""The task that sends a message once, and comes back where surely nothing went."""

from datetime import timedelta

from django.utils import timezone

try:
    from django.tasks import task  # Django 6
except ImportError:
    from django_tasks import task

import franking
from franking.sending import deliver_once, open_journal

journal = open_journal()  # where FRANKING_STORE is


@task
def send(account: str, message: str, key: str) -> dict[str, object] | None:
    try:
        return deliver_once(account, message.encode("latin-1"), key=key, journal=journal)
    except franking.FrankingError as problem:
        pause = timedelta(seconds=getattr(problem, "retry_after", None) or 60)
        send.using(run_after=timezone.now() + pause).enqueue(account, message, key)
        return None
