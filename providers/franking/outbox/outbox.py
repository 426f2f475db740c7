"""What an application holds: the outbox as a whole, to put mail in, look, decide, and deliver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from franking.errors import discreet
from franking.outbox import decisions
from franking.outbox.store import Store
from franking.sending.connect import account_for, explained
from franking.sending.enqueue import draft
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from franking.outbox.entry import OutboxEntry
    from franking.outbox.runner import Summary
    from franking.provider import Step

__all__ = ["Outbox"]

_BATCH = 500
"""Messages in one commit of ``put_many``: the disk is waited for once for all of them."""

_BATCH_OCTETS = 8 * 1024 * 1024


class Outbox(Store):
    """Hold an outbox: the default one (``FRANKING_OUTBOX``, else in the state directory), or that of ``directory``.

        for entry in franking.Outbox().list(state="unknown"):
            print(entry.id, entry.to)

    Nothing is opened until first used. Safe to share between threads; any number of processes may use one.
    """

    def put_many(self, account: str, messages: Iterable[Any]) -> Iterator[OutboxEntry]:
        """Put messages, or (message, key) pairs, into the outbox, many in one commit; yield each one's entry once it is
        on disk.

        Raises as ``Mailer.queue`` does, for the first message that cannot be put in; those yielded before are in.
        """
        with explained():
            mailer = Mailer(account_for(account))
        source = iter(messages)
        while batch := list(islice(source, _BATCH)):
            drafts = [draft(mailer, *_pair(item)) for item in batch]
            start = 0
            while start < len(drafts):
                end, octets = start, 0
                while end < len(drafts) and (end == start or octets < _BATCH_OCTETS):
                    octets += drafts[end].prepared.content.size
                    end += 1
                yield from self.add(drafts[start:end])
                start = end

    def retry(self, id: str) -> OutboxEntry:
        """Let a failed, refused or cancelled message be tried again, or a queued one at once."""
        return decisions.retry(self, id)

    def cancel(self, id: str) -> OutboxEntry:
        """Take a queued message back."""
        return decisions.cancel(self, id)

    def resolve(self, id: str, decision: str) -> OutboxEntry:
        """Say what became of an unknown message: ``sent``, ``resend`` (it may arrive twice) or ``drop``."""
        return decisions.resolve(self, id, decision)

    def run(
        self,
        stop: threading.Event | None = None,
        once: bool = False,
        connections: int = 1,
        observer: Callable[[OutboxEntry, Step], None] | None = None,
        *,
        window: int = 1,
        attempted: Callable[[OutboxEntry], None] | None = None,
        awake: threading.Event | None = None,
    ) -> Summary:
        """Deliver what is due until ``stop`` is set; with ``once`` what is due now, once each. Return what was done.

        ``connections`` and ``window`` are each account's. ``observer`` is told each step of each message,
        ``attempted`` each entry after an attempt; both in the threads that send. Setting ``awake`` has it look for new
        messages at once, instead of twice a second.
        """
        from franking.outbox.runner import Runner

        with discreet:
            runner = Runner(
                self,
                connections=connections,
                window=window,
                observer=observer,
                attempted=attempted,
                awake=awake,
                clock=self.clock,
            )
            return runner.run(stop or threading.Event(), once=once)


def _pair(item: Any) -> tuple[Any, str | None]:
    if isinstance(item, tuple):
        message, key = item
        return message, key
    return item, None
