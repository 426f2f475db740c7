"""Many messages: what a ``send_many`` is, from the application's iterable to its results. ``queue.py`` says what leaves
next, a ``worker.py`` for each connection sends it, ``retry.py`` decides what follows, ``failover_many.py`` lets other
accounts go on.

Messages are drawn from the iterable only when there is room, so memory stays flat. A message leaves here as exactly one
``SendResult``; what may have been accepted is ``unknown`` and never sent again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from franking.sending.limits import check_numbers
from franking.sending.queue import Queue, Run, SendResult
from franking.sending.retry import Policy
from franking.sending.source import Source
from franking.sending.turns import within_limits
from franking.sending.workers import work_off

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer
    from franking.sending.turns import Turns

__all__ = ["Run", "SendResult", "send_all", "send_many"]


def send_many(
    mailer: Mailer,
    messages: Iterable[Any],
    *,
    connections: int,
    window: int,
    rate: float | None,
    per_day: float | None,
    policy: Policy | None,
    started: Callable[[int, str], None] | None,
    stop: threading.Event,
    turns: Turns | None = None,
) -> Iterator[SendResult]:
    """Do what ``Mailer.send_many`` says: the provider's limits hold where nothing else is asked for. ``turns`` are
    those of the mailer's own account, where one was taken before.
    """
    check_numbers(connections, window, rate, per_day)
    limits = mailer.limits
    if connections > (limits.connections or connections):
        words = "%s takes at most %d connections at once, not %d."
        logging.getLogger("franking.mailer").warning(words, mailer.provider.title, limits.connections, connections)
        connections = limits.connections or connections
    mailer.record.ask()
    mailer.pool.after_fork()
    mailer.pool.widen(connections)
    run = Run(
        mailer=mailer,
        connections=connections,
        window=window,
        rate=rate,
        per_day=per_day,
        policy=policy or Policy(),
        started=started,
        stop=stop,
        turns=turns,
        **mailer.time(),
    )
    if mailer.falls_over:
        from franking.sending.failover_many import send_all_over

        return send_all_over(run, mailer.failover, messages)
    return send_all(within_limits(run), messages)


def send_all(run: Run, messages: Iterable[Any]) -> Iterator[SendResult]:
    """Send messages and yield each one's result as it is known.

    Once ``run.stop`` is set nothing new is drawn, and what is under way is finished and yielded. After Ctrl-C likewise,
    and only then does the interruption go on; on one connection what is in flight at that moment is not waited for: it
    is told as accepted, safe or unknown. Who leaves the loop early (a ``break``, an exception of theirs) is not told
    what became of the messages under way, and nothing more is drawn.
    """
    source = Source(messages, run.stop)
    try:
        yield from work_off(run, Queue(run, source))
    finally:
        source.end()
    if source.broken is not None:
        raise source.broken
