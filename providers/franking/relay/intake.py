"""Durable before 250: one thread that writes messages into the outbox, one commit for all that wait; and what becomes
of them, told to who waits for it.

A message carries a key made of who sent it until its reply was given: a client that hung up before it and tries again
means the same message. The key goes in the commit of later messages, or within a second.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from franking.errors import FrankingError
from franking.outbox import decisions
from franking.outbox.store import Store
from franking.outbox.unheard import forget_before

if TYPE_CHECKING:
    from pathlib import Path

    from franking.outbox.entry import OutboxEntry
    from franking.outbox.rows import Draft

__all__ = ["Intake", "Outcomes"]

_MOST, _MOST_OCTETS = 200, 8 * 1024 * 1024
_IDLE_SECONDS = 1.0
GATHER_SECONDS = 0.001
"""How long messages are gathered where several came at once; a commit costs as much processor time as three of them."""
KEPT_SECONDS = 3600.0
"""How long a client that hung up may come back with the same message."""

_Put = tuple["Draft", "asyncio.Future[OutboxEntry]"]


class Intake:
    """Write messages down, in a thread of its own."""

    def __init__(self, directory: Path | None, loop: asyncio.AbstractEventLoop) -> None:
        self.store = Store(directory)
        self._loop = loop
        self._changed = threading.Condition()
        self._waiting: deque[_Put] = deque()
        self._answered: deque[tuple[str, str]] = deque()  # filled without a lock: taking out is one step each
        self._wanted = 1  # how many messages the thread waits for
        self._over = False
        self._swept = 0.0
        self._thread = threading.Thread(target=self._work, name="franking-relay-intake", daemon=True)

    def start(self) -> None:
        """Begin; raises as ``Store.add`` does where the outbox cannot be used."""
        self._sweep()
        self._thread.start()

    def stop(self) -> None:
        """Write down what waits, and end."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self.store.close()

    def put(self, draft: Draft) -> asyncio.Future[OutboxEntry]:
        """Write a message down; the future is done when it is on disk, or fails as ``Store.add`` does."""
        future = self._loop.create_future()
        with self._changed:
            self._waiting.append((draft, future))
            if len(self._waiting) == self._wanted:
                self._changed.notify()
        return future

    def answered(self, key: str, id: str) -> None:
        """Take note that a message's reply was given: what comes again now is another message."""
        self._answered.append((key, id))

    def withdraw(self, id: str) -> bool:
        """Take a message out of the outbox (``decisions.withdraw``); call it in a thread."""
        return decisions.withdraw(self.store, id)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        together = 1
        while True:
            with self._changed:
                self._await(1, _IDLE_SECONDS)
                if self._waiting:  # where several came at once, others are about to end their messages too
                    self._await(together, GATHER_SECONDS)
                batch = self._taken()
                answered = [self._answered.popleft() for _ in range(len(self._answered))]
                if not batch and self._over and not answered:
                    return
            together = len(batch)
            done = self._written(batch, answered)
            if done:
                self._loop.call_soon_threadsafe(_deliver, done)
            if self.store.clock() - self._swept > KEPT_SECONDS / 60:
                self._sweep_quietly()

    def _await(self, number: int, seconds: float) -> None:
        """Wait until so many messages are there, or that time is over."""
        self._wanted = number
        if len(self._waiting) < number and not self._over:
            self._changed.wait(seconds)

    def _taken(self) -> list[_Put]:
        batch: list[_Put] = []
        octets = 0
        while self._waiting and len(batch) < _MOST and octets < _MOST_OCTETS:
            batch.append(self._waiting.popleft())
            octets += batch[-1][0].prepared.content.size
        return batch

    def _written(
        self, batch: Sequence[_Put], answered: Sequence[tuple[str, str]]
    ) -> list[tuple[asyncio.Future[OutboxEntry], OutboxEntry | BaseException]]:
        if not batch and not answered:
            return []
        try:
            entries = self.store.add([draft for draft, _ in batch], answered)
            return [(future, entry) for (_, future), entry in zip(batch, entries, strict=True)]
        except Exception as problem:  # noqa: BLE001  (each client is told; the thread must live)
            self._answered += answered
            if len(batch) < 2:
                return [(future, problem) for _, future in batch]
        # one that cannot be written must not take the others with it
        return [done for one in batch for done in self._written([one], ())]

    def _sweep(self) -> None:
        """Forget the keys of clients that never came back."""
        self._swept = self.store.clock()
        with self.store.database.transaction() as connection:
            forget_before(connection, self._swept - KEPT_SECONDS)

    def _sweep_quietly(self) -> None:
        try:
            self._sweep()
        except FrankingError:  # a full disk: next time
            self._swept = self.store.clock()


def _deliver(done: Sequence[tuple[asyncio.Future[OutboxEntry], OutboxEntry | BaseException]]) -> None:
    for future, result in done:
        if future.done():  # nobody waits any more
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


class Outcomes:
    """Tell who waits for a message what became of its first attempt. Attempts are told by a runner's threads, or found
    by asking the outbox where the runner is another process.
    """

    KEPT = 1000

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiters: dict[str, list[asyncio.Future[OutboxEntry]]] = {}
        self._early: OrderedDict[str, OutboxEntry] = OrderedDict()  # told before anybody asked

    def tell(self, entry: OutboxEntry) -> None:
        """Take note of an attempt; from any thread."""
        with self._lock:
            waiters = self._waiters.pop(entry.id, None)
            if waiters is None:
                self._early[entry.id] = entry
                if len(self._early) > self.KEPT:
                    self._early.popitem(last=False)
                return
        self._loop.call_soon_threadsafe(_tell, waiters, entry)

    @property
    def awaited(self) -> list[str]:
        with self._lock:
            return list(self._waiters)

    async def wait(self, entry: OutboxEntry, seconds: float) -> OutboxEntry | None:
        """Return a message as it is after an attempt; None where there was none in time."""
        future: asyncio.Future[OutboxEntry] = self._loop.create_future()
        with self._lock:
            if (early := self._early.pop(entry.id, None)) is not None:
                return early
            self._waiters.setdefault(entry.id, []).append(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            with self._lock:
                left = self._waiters.get(entry.id, [])
                if future in left:
                    left.remove(future)
                if not left:
                    self._waiters.pop(entry.id, None)


def _tell(waiters: Sequence[asyncio.Future[OutboxEntry]], entry: OutboxEntry) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(entry)
