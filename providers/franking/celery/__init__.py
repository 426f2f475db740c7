"""Franking as a Celery task: mail that the workers of an application deliver, once, whatever is killed or redelivered.

    app = Celery(broker="redis://…")
    send = mail_task(app)
    send.delay("shop", message.as_bytes("info@novak.cz"), key="order-114")

Open ``task.py`` first: the task as Celery sees it, and the only file that knows Celery. ``delivery.py`` is what one run
of it does, ``waits.py`` when it comes back. What is known of each message is the journal's (``sending/journal.py``),
the path of a message every other's. Importing this package imports nothing of it, nor Celery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.celery.task import mail_task as mail_task

__all__ = ["mail_task"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from franking.celery import task

    return getattr(task, name)
