"""Accounts of which it is known that nothing can leave: said at MAIL, before a client sends its message for nothing."""

from __future__ import annotations

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
LEARNT_SECONDS = 3600.0
"""How long a server is not asked again for what it does not offer."""


class Blocked:
    """Know which accounts the outbox holds for a reason that a person must mend."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stamps = Stamps()
        self._seen: dict[str, tuple[float, bool, Diagnosis | None]] = {}
        self._last: dict[str, Diagnosis] = {}
        self._ascii: dict[str, float] = {}  # accounts whose server refused an address for its letters, and when

    def note(self, entry: OutboxEntry) -> None:
        """Remember the words of an attempt's diagnosis; the outbox itself keeps an account's code alone."""
        if entry.state == "queued" and entry.diagnosis is not None:
            self._last[entry.account] = entry.diagnosis
            if blocks(entry.diagnosis):  # the runner writes that down just after it has told of the message
                self._seen[entry.account] = (time.monotonic(), True, entry.diagnosis)
        if entry.diagnosis is not None and entry.diagnosis.code == "message.needs-smtputf8":
            self._ascii[entry.account] = time.monotonic()

    def takes_ascii_alone(self, account: Account) -> bool:
        """Return whether an account's server has said within the hour that it has no SMTPUTF8."""
        return time.monotonic() - self._ascii.get(account.name, -LEARNT_SECONDS) < LEARNT_SECONDS

    def why(self, account: Account, lane: str = "") -> Diagnosis | None:
        """Return what keeps an account from sending, if it is known and must be mended by a person; ``lane`` is the
        name that the outbox has for it, where that is another than its own.
        """
        if not account.get("enabled"):  # an attribute would be looked for elsewhere first, at each command
            return Diagnosis("account.disabled", {"account": account.name})
        return self._known(lane or account.name)[1]

    def rests(self, account: str) -> bool:
        """Return whether nothing of an account is tried now, for whatever reason: no outcome is worth waiting for."""
        return self._known(account)[0]

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
