"""A shop whose mail RQ's workers send: ``rq worker --with-scheduler``, then ``python order.py you@example.com 114``."""

from rq import Retry

import franking
from franking.sending import deliver_once, open_journal

journal = open_journal()  # where FRANKING_STORE is


def send(account: str, message: bytes, key: str) -> dict[str, object] | Retry:
    """Send once. What RQ calls a retry is the task that comes back."""
    try:
        return deliver_once(account, message, key=key, journal=journal)
    except franking.FrankingError as problem:  # surely nothing went: later
        seconds = getattr(problem, "retry_after", None) or 60
        return Retry(max=10_000, interval=int(seconds) + 1)
