"""What is known of a message in the outbox → what its client is told. Pure: it reads and writes nothing.

A reply of 5xx or 4xx is given only for a message that is out of the outbox by then (``withdraw``): a client that has it
still and a runner that sends it would be one message twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from franking.relay.reply import reply

if TYPE_CHECKING:
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.outbox.entry import OutboxEntry

__all__ = ["Verdict", "blocked_reply", "blocks", "queued", "verdict"]

_PASSES = ("connect", "dns", "greet", "server", "tls", "rate", "quota", "limit", "machine", "greylisted", "outbox")
"""What keeps an account from sending and is nobody's sign-in, password or settings: its messages wait."""

_CODES = re.compile(r"\A[2-5]\d\d[ -]*")
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b[ \t]*")


class Verdict(NamedTuple):
    """``outcome``: ``accepted``, ``queued`` or ``refused``; ``withdraw``: the message must leave the outbox first."""

    outcome: str
    reply: bytes
    withdraw: bool = False


def queued(entry: OutboxEntry) -> Verdict:
    """Return what is said while nothing final is known."""
    return Verdict("queued", b"250 2.0.0 queued as %b\r\n" % entry.id.encode())


def verdict(entry: OutboxEntry, on_blocked: str) -> Verdict:
    """Return what is said of a message as it is now."""
    diagnosis = entry.diagnosis
    if entry.state == "accepted" and entry.receipt is not None:
        return Verdict("accepted", _accepted(entry))
    if entry.state in ("refused", "failed") and diagnosis is not None:
        if entry.receipt is not None and entry.receipt.accepted:
            return queued(entry)
        found = _ENHANCED.search(diagnosis.raw)
        enhanced = found[1] if found and found[1].startswith("5") else "5.0.0"
        code = 554
        if entry.state == "refused":
            code = 550
        return Verdict("refused", reply(code, enhanced, _words(diagnosis)), withdraw=True)
    untouched = entry.state == "queued" and (entry.receipt is None or not entry.receipt.accepted)
    if untouched and on_blocked == "refuse" and diagnosis is not None and blocks(diagnosis):
        return Verdict("refused", blocked_reply(diagnosis), withdraw=True)
    return queued(entry)


def blocks(diagnosis: Diagnosis) -> bool:
    """Return whether nothing of an account can leave until a person mends it: sign-in, password, settings, disabled."""
    return not diagnosis.temporary and diagnosis.code.partition(".")[0] not in _PASSES


def blocked_reply(diagnosis: Diagnosis) -> bytes:
    """Return the reply for an account that cannot send."""
    subject = diagnosis.code.partition(".")[0]
    if diagnosis.code == "account.disabled":
        return reply(550, "5.7.1", _words(diagnosis))
    if subject == "settings":
        return reply(554, "5.3.5", _words(diagnosis))
    return reply(451, "4.3.0", _words(diagnosis))


def _accepted(entry: OutboxEntry) -> bytes:
    receipt = entry.receipt
    assert receipt is not None
    if receipt.refused:
        address, refusal = next(iter(receipt.refused.items()))
        many = f"{len(receipt.refused)} of {len(entry.to)} refused: {address} ({refusal.get('reply')})"
        return reply(250, "2.0.0", many)
    words = _ENHANCED.sub("", _CODES.sub("", receipt.reply), count=1).strip()
    return reply(250, "2.0.0", f"accepted: {words}" if words else "accepted")


def _words(diagnosis: Diagnosis) -> str:
    """Return the title, and the command that mends it, where there is one; what the other side said behind it."""
    words = diagnosis.title.rstrip(".")
    if diagnosis.commands:
        words += f"; run: {diagnosis.commands[0]}"
    return f"{words} ({diagnosis.raw})" if diagnosis.raw else words
