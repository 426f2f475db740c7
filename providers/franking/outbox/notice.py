"""One mail a day at most about what was refused, failed or is unknown (``[outbox] notify``); it is put into the outbox
like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from franking.account.config import load
from franking.errors import MessageError
from franking.message.message import Message
from franking.outbox.entry import OutboxEntry, moment
from franking.outbox.rows import ENDED
from franking.sending.enqueue import draft
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from franking.outbox.store import Store

__all__ = ["put_notice"]

DAY = 86400.0
_MOST = 50
_KEY = "franking-notice-"
_ENDED = (
    f"SELECT number FROM entries WHERE {ENDED} AND state IN ('refused', 'failed', 'unknown') AND finished_at > ? "
    "AND (key IS NULL OR key NOT LIKE 'franking-notice-%') ORDER BY number DESC LIMIT ?"
)
_LAST = "SELECT max(created_at) FROM entries WHERE key LIKE 'franking-notice-%'"
_WORKS = f"SELECT account FROM entries WHERE {ENDED} AND state = 'accepted' ORDER BY finished_at DESC LIMIT 1"


def put_notice(store: Store) -> OutboxEntry | None:
    """Put the day's notice into the outbox, if one is wanted and there is something to tell; several runners put one.

    It goes by the account that sent last. Raises as ``Mailer.queue`` does.
    """
    to, now = store.settings.notify, store.clock()
    if to is None:
        return None
    last = store.database.rows(_LAST)[0][0] or 0.0
    if now - last < DAY:
        return None
    numbers = [row["number"] for row in store.database.rows(_ENDED, (last, _MOST))]
    works = [row["account"] for row in store.database.rows(_WORKS)]
    name = next(iter(works), load().chosen)
    if not numbers or name is None:
        return None
    made = draft(Mailer(load().account(name)), _letter(store.entries(numbers), to))
    try:
        return store.add([replace(made, key=f"{_KEY}{moment(now)[:10]}", digest=b"")])[0]
    except MessageError:  # another runner has just put it
        return None


def _letter(entries: Sequence[OutboxEntry], to: object) -> Message:
    lines = [
        "Some mail in the outbox did not arrive, or may not have:",
        "",
        *(line for entry in sorted(entries, key=lambda entry: entry.id, reverse=True) for line in _lines(entry)),
        "What to do with each: franking outbox show ID, then franking outbox retry, resolve or purge.",
    ]
    return Message(
        to=str(to),
        subject=f"{len(entries)} messages in the outbox need attention",
        text="\n".join(lines) + "\n",
        headers={"Auto-Submitted": "auto-generated"},
    )


def _lines(entry: OutboxEntry) -> tuple[str, ...]:
    why = entry.diagnosis.title if entry.diagnosis else ""
    return (f"{entry.id}  {entry.state}  {', '.join(entry.to)}", f"    {entry.subject}", f"    {why}", "")
