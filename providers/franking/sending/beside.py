"""The check of the From's domain that runs beside a test message, so that one that was sent can say whether receivers
will trust it. What is checked stands in ``discovery/domain_check.py``; it never changes how the message goes.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from franking.account.account import Account
from franking.errors import discreet
from franking.registry import provider

if TYPE_CHECKING:
    from franking.discovery.domain_check import Deliverability
    from franking.discovery.lookup import Resolver

__all__ = ["Beside"]

_SLACK = 1.0
"""Seconds for the check to end by itself when its time is up."""


class Beside:
    """A check under way, from now on; mail that stays on this computer needs none."""

    def __init__(self, account: Account, resolver: Resolver | None = None) -> None:
        self._account, self._resolver = account, resolver
        self._found: Deliverability | None = None
        self._thread: threading.Thread | None = None
        if not provider(account.provider).facts.local:
            thread = threading.Thread(target=self._work, name="franking domain check", daemon=True)
            with suppress(RuntimeError, OSError, MemoryError):  # no room for a thread: the message matters more
                thread.start()
                self._thread = thread

    def _work(self) -> None:
        from franking.discovery.domain_check import check_account

        try:
            with discreet:
                self._found = check_account(self._account, resolver=self._resolver)
        except Exception:  # whatever it is, the message was sent: the log says what
            logging.getLogger("franking.discovery").exception("the domain of %r was not checked", self._account.name)

    def result(self) -> Deliverability | None:
        """Return what was found, when it is; None where nothing could be."""
        if self._thread is not None:
            from franking.discovery.domain_check import TIMEOUT

            self._thread.join(TIMEOUT + _SLACK)
        return self._found
