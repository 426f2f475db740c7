"""Many messages by an account and those that stand in for it: one run after another, each of the account whose turn it
is. What one surely did not send and cannot send now goes on with the next one: the same content, the same Message-ID.

It sends nothing and decides nothing of a message: ``retry.decide`` says what goes elsewhere, ``failover.py`` whose turn
it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.message.prepare import Prepared
from franking.sending.failover import Failover, falls_over, put_on, taken_off
from franking.sending.queue import Queue, Run, SendResult
from franking.sending.source import Source
from franking.sending.turns import within_limits
from franking.sending.workers import work_off

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer
    from franking.sending.retry import Decision

__all__ = ["send_all_over"]

LOOK = 1.0
"""Seconds after which somebody looks again whose turn it is: other programs may know better by now."""

_log = logging.getLogger("franking.mailer")


def send_all_over(run: Run, failover: Failover, messages: Iterable[Any]) -> Iterator[SendResult]:
    """Do what ``bulk.send_all`` does, over the account of a run and those that stand in for it."""
    source = Source(messages, run.stop)
    runs = list(_runs(run, failover))
    queues = [Queue(each, source) for each in runs]
    over = replace(run.policy, elsewhere=falls_over)
    left: list[Decision] = []
    place, reason = 0, ""
    try:
        while left or not (source.ended or source.stopping):
            if source.stopping:
                yield from (_given_up(run.mailer, decision) for decision in left)
                break
            if place == 0 and (resting := failover.resting()) is not None:
                place, reason = 1, resting
            alone = place == len(runs)  # nobody can stand in: then the account itself is tried, as without the others
            here = 0 if alone else place
            jobs = queues[here]
            jobs.begin(run.policy if alone else over, left, _turn(failover, own=place == 0))
            yield from _told(failover, reason, runs[here].mailer, work_off(runs[here], jobs))
            left = jobs.left()
            if jobs.closed is None:
                place = 0
                continue
            if place == 0:
                reason = failover.note(jobs.closed)
            place += 1
    finally:
        source.end()
    if source.broken is not None:
        raise source.broken


def _runs(run: Run, failover: Failover) -> Iterator[Run]:
    """Return a run for each account, in their order; every one begins with what the account itself composes."""
    compose = run.mailer.prepare
    yield within_limits(replace(run, prepare=lambda message: taken_off(compose(message))))
    for other in failover.others:
        connections = min(run.connections, other.limits.connections or run.connections)
        other.record.ask()
        other.pool.after_fork()
        other.pool.widen(connections)
        yield within_limits(
            replace(run, mailer=other, connections=connections, turns=None, prepare=_by(other, compose)),
        )


def _by(other: Mailer, compose: Callable[[Any], Prepared]) -> Callable[[Any], Prepared]:
    return lambda message: put_on(compose(message), other.account)


def _turn(failover: Failover, *, own: bool) -> Callable[[], bool]:
    """Return what tells whether it still is the turn of the account itself, or of those that stand in for it."""
    looked = failover.clock()

    def is_it() -> bool:
        nonlocal looked
        now = failover.clock()
        if abs(now - looked) < LOOK:
            return True
        looked = now
        return (failover.resting() is None) == own

    return is_it


def _told(failover: Failover, reason: str, mailer: Mailer, results: Iterator[SendResult]) -> Iterator[SendResult]:
    """Say of each result who sent, and why; remember that the account itself can."""
    first = True
    for result in results:
        receipt = result.receipt
        if result.outcome != "accepted" or receipt is None:
            yield result
            continue
        if mailer is not failover.mailer:
            receipt = failover.stood_in(receipt, mailer, reason)
        if first and mailer is failover.mailer:
            failover.well()
        elif first:
            _log.warning("%s", receipt.warnings[-1])
        first = False
        yield replace(result, receipt=receipt)


def _given_up(mailer: Mailer, decision: Decision) -> SendResult:
    """Return the result of what another account would have had, if the run were not stopping."""
    job, error = decision.following, decision.error
    assert job is not None
    if error is not None:
        mailer.explain(error)
    return SendResult(job.index, job.message, decision.outcome, decision.receipt, error)
