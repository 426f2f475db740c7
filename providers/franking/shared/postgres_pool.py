"""The connections of this process to one PostgreSQL. Threads share a few: a database has not many, for all its clients
together.

    pool = Pool(connect, timeout=10)
    with pool.borrowed() as connection:     # waits while all are in use
        …

One that is left by an error is closed. A forked child begins anew, and leaves its parent's alone. How one is opened,
and what is said on it, stands in ``postgres_server.py``.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["CONNECTIONS", "Full", "Pool", "ready"]

CONNECTIONS = 4
"""How many a process has at once, however many threads ask: each is held for one round trip."""

_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)
"""One system call for a look; with epoll it would be four, six times for each message."""

LOOK_SECONDS = 1.0
"""How often who waits looks for the place of one that nobody gave back, because its thread was broken into."""


class Full(Exception):
    """All connections were in use for too long."""


class _Link:
    """A connection, and the place that it takes, which is free again when nothing knows of it any more."""

    connection: Any = None

    @property
    def quiet(self) -> bool:
        """Return whether nothing came although nobody asked: that is its end, or the news that it is near."""
        try:
            return not self.connection.closed and not ready(self.connection.pgconn.socket, selectors.EVENT_READ, 0)
        except OSError:  # no more files can be opened: it makes room for another
            return False


class Pool:
    """Lend connections, each to one thread at a time; ``connect`` opens one and may raise. Who waits for longer than
    ``timeout`` seconds gets ``Full``.
    """

    def __init__(self, connect: Callable[[], Any], timeout: float) -> None:
        self._connect, self._timeout = connect, timeout
        self._idle: list[_Link] = []
        self._begin()
        weakref.finalize(self, _close, self._idle)
        _all.add(self)

    def _begin(self) -> None:
        _PARENTS.extend(self._idle)
        self._idle.clear()
        self._links: weakref.WeakSet[_Link] = weakref.WeakSet()
        self._changed = threading.Condition()

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        """Lend one that is open as far as can be seen."""
        link = self._taken()
        try:
            yield link.connection
        except BaseException:  # what was not read would be taken for the next answer
            self._drop(link)
            raise
        with self._changed:
            self._idle.append(link)
            self._changed.notify()

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        with self._changed:
            idle, self._idle[:] = self._idle.copy(), []
        _close(idle)

    def _taken(self) -> _Link:
        until = time.monotonic() + self._timeout
        while True:
            link = self._place(until)
            if link.connection is not None and link.quiet:
                return link
            try:
                if link.connection is None:
                    link.connection = self._connect()
                    return link
            except BaseException:
                self._drop(link)
                raise
            self._drop(link)

    def _place(self, until: float) -> _Link:
        """Return one that nobody uses, or room for another."""
        with self._changed:
            while not self._idle and len(self._links) >= CONNECTIONS:
                left = until - time.monotonic()
                if left <= 0:
                    raise Full(f"all {CONNECTIONS} connections of this program are in use")
                self._changed.wait(min(left, LOOK_SECONDS))
            if self._idle:
                return self._idle.pop()
            link = _Link()
            self._links.add(link)
            return link

    def _drop(self, link: _Link) -> None:
        if link.connection is not None:
            link.connection.close()
        with self._changed:
            self._links.discard(link)
            self._changed.notify()


def ready(handle: int, wanted: int, until: float) -> bool:
    """Wait for a socket until a moment of the monotonic clock; 0 is now."""
    with _Selector() as selector:
        selector.register(handle, wanted)
        return bool(selector.select(max(0.0, until - time.monotonic()) if until else 0))


_PARENTS: list[_Link] = []
"""Connections of the process that this one was forked from: closing them here would end them there."""

_all: weakref.WeakSet[Pool] = weakref.WeakSet()


def _close(idle: list[_Link]) -> None:
    while idle:
        idle.pop().connection.close()


def _after_fork() -> None:
    """Begin anew in a child, before it has a second thread."""
    for pool in list(_all):
        pool._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
