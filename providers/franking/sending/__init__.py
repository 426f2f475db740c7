"""Sending: from a message to a receipt, with recovery, many at once, and the test-send.

Open ``mailer.py`` first: the path that every message takes. ``pool.py`` hands sessions to threads. Many messages are
``bulk.py``: ``source.py`` draws them, ``queue.py`` says what leaves when, a ``worker.py`` for each connection sends it,
``retry.py`` decides what an attempt leads to; ``failover.py`` lets another account send. ``explain.py`` turns evidence
into a diagnosis, ``testsend.py`` proves that an account works. How a provider sends is in its own folder.

For task queues, which hand a message out more than once, ``once.py`` has ``deliver_once``; what deliveries know of each
other is a ``journal.py``, and ``open_journal`` the shared store's. ``mailers.py`` keeps mailers from task to task. What
a mailbox may do is kept in ``limit_places.py``'s places; whose turn it is, ``turns.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.sending.once import deliver_once as deliver_once
    from franking.sending.shared_stores import open_journal as open_journal

__all__ = ["deliver_once", "open_journal"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "open_journal":
        from franking.sending.shared_stores import open_journal

        return open_journal
    from franking.sending.once import deliver_once

    return deliver_once
