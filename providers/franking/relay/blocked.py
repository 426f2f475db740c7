"""Accounts of which it is known that nothing can leave: said at MAIL, before a client sends its message for nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from franking.diagnosis.diagnosis import Diagnosis
from franking.outbox.stamp import Stamps
from franking.relay.verdict import blocks

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.outbox.entry import OutboxEntry
    from franking.outbox.store import Store

__all__ = ["Blocked"]

FRESH_SECONDS = 0.5
"""How long what the outbox said of an account counts."""


class Blocked:
    """Know which accounts the outbox holds for a reason that a person must mend."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stamps = Stamps(os.environ)
        self._seen: dict[str, tuple[float, bool, Diagnosis | None]] = {}
        self._last: dict[str, Diagnosis] = {}

    def note(self, entry: OutboxEntry) -> None:
        """Remember the words of an attempt's diagnosis; the outbox itself keeps an account's code alone."""
        if entry.state == "queued" and entry.diagnosis is not None:
            self._last[entry.account] = entry.diagnosis

    def why(self, account: Account) -> Diagnosis | None:
        """Return what keeps an account from sending, if it is known and must be mended by a person."""
        if not account.enabled:
            return Diagnosis("account.disabled", {"account": account.name})
        return self._known(account.name)[1]

    def rests(self, account: Account) -> bool:
        """Return whether nothing of an account is tried now, for whatever reason: no outcome is worth waiting for."""
        return self._known(account.name)[0]

    def _known(self, account: str) -> tuple[bool, Diagnosis | None]:
        now = time.monotonic()
        at, rests, why = self._seen.get(account, (-FRESH_SECONDS, False, None))
        if now - at > FRESH_SECONDS:
            rests, why = self._held(account)
            self._seen[account] = (now, rests, why)
        return rests, why

    def _held(self, account: str) -> tuple[bool, Diagnosis | None]:
        query = "SELECT held, since, next_at, stamp FROM accounts WHERE account = ?"
        now = self._store.clock()
        for row in self._store.database.rows(query, (account,)):
            waits = row["held"] is not None and row["since"] <= now < row["next_at"]
            if not waits or row["stamp"] != self._stamps(account):  # it is tried again, so nothing is known
                continue
            diagnosis = self._last.get(account)
            if diagnosis is None or diagnosis.code != row["held"]:
                diagnosis = Diagnosis(row["held"], {"account": account})
            return True, diagnosis if blocks(diagnosis) else None
        return False, None
