"""What a worker thread does for a task of asyncio, and what became of its message where the task was cancelled. How
many threads there are, and for whom, is the business of ``franking.aio``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from franking.errors import FrankingError
from franking.provider import Receipt
from franking.sending.connect import explained
from franking.sending.queue import SendResult

if TYPE_CHECKING:
    from franking.sending.mailer import Mailer

__all__ = ["AGAIN", "Call", "once", "run", "threads", "told"]

Result = TypeVar("Result")
AGAIN = 0.02
"""Seconds between two attempts to break a call off: it may just be between two sessions."""


def threads(number: int) -> ThreadPoolExecutor:
    """Make worker threads. They are left behind without waiting: one may still be opening a connection that nobody
    wants any more.
    """
    return ThreadPoolExecutor(max_workers=number, thread_name_prefix="franking")


class Call(Generic[Result]):
    """What one worker thread does for one task, and how that is broken off."""

    def __init__(self, act: Callable[[Call[Result]], Result]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._at: tuple[Mailer, int] | None = None

    def __call__(self) -> Result:
        try:
            return self._act(self)
        finally:
            with self._lock:
                self._at = None  # from here on this thread may work for somebody else

    def uses(self, mailer: Mailer) -> Mailer:
        """Take note of the mailer that is about to be used."""
        with self._lock:
            self._at = (mailer, threading.get_ident())
        return mailer

    def break_off(self) -> bool:
        """Break it off; True means that nothing of a message has left or will. Else it ends soon, or must be broken off
        again.
        """
        with self._lock:
            return self._at is not None and self._at[0].abort(thread=self._at[1])


async def once(act: Callable[[Call[Result]], Result], message: Any) -> Result:
    """Do one thing in a thread of its own."""
    pool = threads(1)
    try:
        return await run(pool, act, message)
    finally:
        pool.shutdown(wait=False)


async def run(pool: ThreadPoolExecutor, act: Callable[[Call[Result]], Result], message: Any) -> Result:
    call = Call(act)
    with explained():  # perhaps no thread can be started
        work = pool.submit(call)
    future = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as cancelled:
        result = await _state(call, work, future, message)
        cancelled.franking_result = result  # type: ignore[attr-defined]  # result_of reads it
        raise


async def _state(
    call: Call[Result], work: Future[Result], future: asyncio.Future[Result], message: Any
) -> SendResult | None:
    """Break a call off, and return what became of its message. Further cancellations wait: it will not be long."""
    if not work.cancel():
        while not future.done() and not call.break_off():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({future}, timeout=AGAIN)
    if not future.done() or future.cancelled():
        future.cancel()  # what the thread still has to say is of no interest
        return None if message is None else SendResult(0, message, "failed")
    problem = future.exception()
    if problem is not None:
        return told(message, problem) if isinstance(problem, FrankingError) else None
    return _went_through(message, future.result())


def told(message: Any, error: FrankingError) -> SendResult:
    return SendResult(0, message, "unknown" if error.possibly_sent else "failed", None, error)


def _went_through(message: Any, value: object) -> SendResult | None:
    """Return the same where the call ended before the cancellation reached it."""
    from franking.sending.testsend import TestReport

    if isinstance(value, Receipt):
        return SendResult(0, message, "accepted", value)
    if isinstance(value, TestReport):
        outcome = {"sent": "accepted", "unknown": "unknown"}.get(value.outcome, "failed")
        return SendResult(0, None, outcome, value.receipt, value.error)
    return None
