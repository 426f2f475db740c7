"""``-q`` delivers what is due in the outbox, ``-bp`` (or the name ``mailq``) lists it as monitoring expects."""

from __future__ import annotations

from datetime import datetime

from franking.outbox.entry import OutboxEntry
from franking.outbox.outbox import Outbox
from franking.text import escaped, one_line
from franking_cli.sendmail.exit_codes import EX_OK, EX_SOFTWARE

__all__ = ["list_queue", "run_queue"]

_WAITING = ("sending", "queued", "unknown")
_MOST = 100_000


def run_queue() -> int:
    """Deliver what is due now, once; return the exit code. As with sendmail(8), mail that still waits is no failure."""
    summary = Outbox().run(once=True)
    return EX_SOFTWARE if summary.outcomes.get("unknown") else EX_OK


def list_queue() -> int:
    """Print what waits, and what may have been accepted."""
    box = Outbox()
    entries = sorted((one for state in _WAITING for one in box.list(state, limit=_MOST)), key=lambda entry: entry.id)
    if not entries:
        print("Mail queue is empty")
        return EX_OK
    print("-Queue ID-            --Size-- ----Arrival Time---- -Sender/Recipient-------")
    for entry in entries:
        _print(entry)
    size = -(-sum(entry.bytes for entry in entries) // 1024)
    print(f"-- {size} Kbytes in {len(entries)} Request{'s' if len(entries) > 1 else ''}.")
    return EX_OK


def _print(entry: OutboxEntry) -> None:
    flag = {"sending": "*", "unknown": "?"}.get(entry.state, " ")
    arrived = datetime.fromisoformat(entry.created_at).astimezone().strftime("%a %b %d %H:%M:%S")
    print(f"{entry.id}{flag} {entry.bytes:>7} {arrived:>20} {escaped(entry.sender)}")
    if entry.diagnosis is not None:
        raw = entry.diagnosis.raw
        print(f"    ({one_line(raw if ' ' in raw else entry.diagnosis.title, 200)})")  # a single word is our own
    for address in entry.waiting:
        print(f"{'':<52}{escaped(address)}")
    print()
