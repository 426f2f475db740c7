"""The workers of a ``send_many``: one connection runs in the caller's own thread, more run in threads of their own.

An interruption (Ctrl-C, ``SystemExit``) is held back until every message that was drawn has its result.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress

from franking.errors import exhausted
from franking.sending.queue import Queue, Run, SendResult
from franking.sending.source import INTERRUPTIONS
from franking.sending.worker import Worker

__all__ = ["work_off"]

_log = logging.getLogger("franking.bulk")


def work_off(run: Run, jobs: Queue) -> Iterator[SendResult]:
    """Yield what becomes of all jobs. ``Source.broken`` is what to raise when there are no more."""
    me, process, pool = threading.get_ident(), os.getpid(), run.mailer.pool
    with pool.under_way(run.stop):
        pool.readers.append(me)
        try:
            for result in _in_threads(run, jobs) if run.connections > 1 else _in_this_thread(run, jobs):
                yield result
                # its connections, its threads and what is under way on them are the parent's
                if os.getpid() != process:
                    raise RuntimeError(
                        "this send_many began in the parent process, which goes on with it; begin another one here"
                    )
        finally:
            pool.readers.remove(me)


def _in_this_thread(run: Run, jobs: Queue) -> Iterator[SendResult]:
    worker = Worker(run, jobs)
    healthy = False
    try:
        yield from worker.results()
        healthy = jobs.source.broken is None
    finally:
        worker.close(keep=healthy)


Results = queue.Queue[SendResult | None]
"""What workers hand to the caller's thread: results, and None at the end of each worker."""


def _work(worker: Worker, results: Results) -> None:
    healthy = False
    try:
        for result in worker.results():
            results.put(result)
        healthy = not worker.jobs.abandoned
    except BaseException as problem:  # noqa: BLE001  (handed to the caller's thread)
        worker.jobs.abandoned = True
        worker.jobs.source.end(problem)
    finally:
        worker.close(keep=healthy)
        results.put(None)


def _start(threads: list[threading.Thread], run: Run, jobs: Queue) -> None:
    """Start threads, as many as this machine has; an interruption so early stops the run, and what has begun is
    finished.
    """
    for thread in threads:
        try:
            thread.start()
        except (MemoryError, RuntimeError) as problem:
            if exhausted(problem) is None:
                raise
            _log.warning("This computer has no more threads: fewer connections are used than were asked for.")
            break
        except INTERRUPTIONS as interruption:
            run.stop.set()
            jobs.source.end(interruption)


def _wait_for(threads: list[threading.Thread], results: Results) -> None:
    """Wait until threads have ended; nobody reads the results that they still have."""
    while any(thread.is_alive() for thread in threads):
        with suppress(queue.Empty):
            results.get(timeout=0.05)


def _in_threads(run: Run, jobs: Queue) -> Iterator[SendResult]:
    results: Results = queue.Queue(max(64, 4 * run.connections * run.window))
    workers = [Worker(run, jobs, number) for number in range(run.connections)]
    threads = [
        threading.Thread(target=_work, args=(worker, results), name=f"franking-{number}", daemon=True)
        for number, worker in enumerate(workers)
    ]
    _start(threads, run, jobs)
    running = sum(thread.ident is not None for thread in threads)
    try:
        if not running and jobs.source.broken is None:  # not even one thread: then in this one
            yield from _in_this_thread(run, jobs)
        while running:
            try:
                result = results.get()
            except INTERRUPTIONS as interruption:
                if isinstance(jobs.source.broken, INTERRUPTIONS):  # the second one: no waiting for replies
                    for worker in workers:
                        worker.abort()
                run.stop.set()
                jobs.source.end(interruption)
                continue
            if result is None:
                running -= 1
            else:
                yield result
    finally:
        jobs.abandoned = True
        _wait_for(threads, results)
