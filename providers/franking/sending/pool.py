"""Who has which session: a pool hands them out, takes them back, breaks off what is under way. It opens none by itself:
it is handed how.

A session has one owner at a time: a thread, or the stop event of a ``send_many``. After a fork the child begins anew.
"""

from __future__ import annotations

import os
import threading
import time
from _queue import Empty, SimpleQueue  # without what `queue` imports: a program that only sends does without it
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING

from franking.errors import ConnectError, ConnectTimeout, Evidence, MessageError, Refused, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from franking.provider import Session
    from franking.sending.limit_places import Slot

__all__ = ["Pool", "is_over", "outlives"]

REST_SECONDS = 5.0
"""How long an idle session keeps one of the connections that a mailbox may have from other programs."""


def is_over(session: object) -> bool:
    """Return whether a session can send no more, as far as it knows that: its server, an error or its age ended it."""
    return bool(getattr(session, "closed", False))


def outlives(session: object, error: BaseException) -> bool:
    """Return whether a session goes on after this error: a server that refused has answered, and may say good-bye."""
    return isinstance(error, Refused | MessageError) and not is_over(session)


class Call:
    """A send or ``send_many`` under way."""

    began = False  # it has had a session
    broken_off = False


class Pool:
    """Have at most ``connections`` sessions in use at once; those that come back well wait for the next owner."""

    def __init__(self, connections: int, lease: Callable[[], Slot | None] | None = None) -> None:
        """``lease`` is asked before each opening: a mailbox may have only so many, of all programs."""
        self.connections = connections
        self._lease = lease
        self.closed = False
        self.beside: list[Pool] = []  # those of accounts that stand in: closed and broken off with this one
        self.at_close: Callable[[], object] | None = None  # what somebody who sends has still to do once it is closed
        self.readers: list[int] = []  # threads that are in the middle of reading results of send_many
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self.lock = threading.Lock()
        self._free: SimpleQueue[None] = SimpleQueue()  # one entry for each session that may be in use yet
        self._allow(self.connections)
        self._idle: list[Session] = []
        self._busy: dict[Session, object] = {}  # by whom each is used: a thread, or the stop event of a send_many
        self._calls: dict[object, Call] = {}  # what is under way, by the same keys
        self._leases: dict[Session, Slot] = {}  # of sessions that are open
        self._since: dict[Session, float] = {}  # when those among them became idle
        self._tidies = False
        self._timed_out: ConnectTimeout | None = None  # how the latest opening ended, if the time was up

    def borrow(self, make: Callable[[], Session], *, fresh: bool = False) -> Borrowed:
        """Hand this thread a session: an idle one, or a new one; wait while all are in use. A session that failed is
        not kept.
        """
        return Borrowed(self, make, fresh)

    def take(self, make: Callable[[], Session], owner: object, *, wait: bool = True, fresh: bool = False) -> Session:
        """Take a session for this owner (see ``abort``); ``give_back`` must follow.

        ``make`` opens one where none is idle, or a ``fresh`` one is wanted: then an idle one makes room. Waits until
        one may be had; without ``wait`` raises ``SettingsError`` where none is. Who waited while the server let the
        time of an opening pass is told so, instead of waiting as long once more.
        """
        if os.getpid() != self._pid:
            self.after_fork()
        before = self._timed_out
        try:
            self._free.get(wait)
        except Empty:
            raise SettingsError(
                "Every connection of this mailer is busy with send_many, whose results this very thread reads: "
                "waiting for one would take for ever. Send with another mailer.",
                field="connections",
            ) from None
        session = None
        try:
            with self.lock:
                if self.closed:
                    raise SettingsError("This mailer is closed; connect again.")
                call = self._calls.get(owner) or Call()
                if self._idle and not call.broken_off:
                    session = self._idle.pop()
                    if not fresh and not self.is_over(session):
                        self._busy[session], call.began = owner, True
                        return session
            if session is not None:
                worn, session = session, None
                self._end(worn)
            if not call.broken_off:
                session = self._open(make, before)
            with self.lock:
                if session is not None and not call.broken_off:
                    self._busy[session], call.began = owner, True
                    return session
            evidence = Evidence("connect", reason="closed")
            raise ConnectError(
                "The sending was broken off before anything was sent.", step="message", evidence=evidence
            )
        except BaseException:
            if session is not None:
                self._end(session)
            self._free.put(None)
            raise

    def _open(self, make: Callable[[], Session], before: ConnectTimeout | None) -> Session:
        if self._timed_out not in (None, before):
            raise copy(self._timed_out)
        lease = self._lease() if self._lease is not None else None
        try:
            session = make()
        except BaseException as problem:
            if lease is not None:
                lease.release()
            if isinstance(problem, ConnectTimeout):
                self._timed_out = copy(problem)  # as it is now: notes are added on its way out
            raise
        if lease is not None:
            self._leases[session] = lease
            lease.when_lost(lambda: self._lost(session))
        self._timed_out = None
        return session

    def is_over(self, session: Session) -> bool:
        """Return whether a session is to carry no further message: see ``is_over``, or its place may be another's."""
        if self._leases and (lease := self._leases.get(session)) is not None and lease.lapsed:
            return True
        return bool(getattr(session, "closed", False))

    def _lost(self, session: Session) -> None:
        """Break a session off whose place is another's by now."""
        with self.lock:
            idle = session in self._idle
            if idle:
                self._idle.remove(session)
            elif session in self._busy:
                session.abort()
        if idle:
            self._end(session)

    def _end(self, session: Session) -> None:
        """Close a session; another program may have its place."""
        try:
            session.close()
        finally:
            self._since.pop(session, None)
            if (lease := self._leases.pop(session, None)) is not None:
                lease.release()

    def give_back(self, session: Session, keep: bool) -> None:
        """Take a session back: kept for the next message, or closed."""
        if os.getpid() != self._pid:
            self.after_fork()
        with self.lock:
            used = self._busy.pop(session, None) is not None  # not so where the parent used it, before a fork
            keep = keep and used and not self.closed
            if keep:
                self._idle.append(session)
                if session in self._leases:
                    self._since[session] = time.monotonic()
                    self._tidy_later(REST_SECONDS)
        try:
            if not keep:
                self._end(session)
        finally:
            if used:
                self._free.put(None)

    def drop_idle(self) -> None:
        """Close the sessions that nobody is using."""
        with self.lock:
            idle, self._idle = self._idle, []
        for session in idle:
            self._end(session)

    def _tidy_later(self, seconds: float) -> None:
        if not self._tidies:
            tidy = threading.Timer(seconds, self._tidy)
            tidy.daemon = True
            with suppress(RuntimeError):  # this computer has no more threads
                tidy.start()
                self._tidies = True

    def _tidy(self) -> None:
        """Close the sessions that have been idle for a while: another program may wait for their places."""
        border = time.monotonic() - REST_SECONDS
        with self.lock:
            self._tidies = False
            over = [one for one in self._idle if self._since.get(one, border) < border]
            self._idle = [one for one in self._idle if one not in over]
            if resting := [self._since[one] for one in self._idle if one in self._since]:
                self._tidy_later(min(resting) - border + 0.01)
        for one in over:
            self._end(one)

    def close(self) -> None:
        """Close every session; one that is in use is closed when it comes back."""
        self.after_fork()
        with self.lock:
            self.closed = True
        self.drop_idle()
        for pool in self.beside:
            pool.close()
        if self.at_close is not None:
            self.at_close()

    def abort(self, owner: object | None = None) -> bool:
        """Break off every send under way, or that of one thread, or the ``send_many`` that was given this stop event;
        from any thread.

        Each ends with an error that says whether it may have been accepted; no further message is drawn. True means
        that nobody needs to wait for that: all of it was still waiting for its first session, and gets none.
        """
        self.after_fork()
        for pool in self.beside:
            pool.abort(owner)
        with self.lock:  # held until the end: a session must not change hands meanwhile
            calls = {key: call for key, call in self._calls.copy().items() if owner in (None, key)}
            for key, call in calls.items():
                call.broken_off = True
                if isinstance(key, threading.Event):
                    key.set()
            for session, user in self._busy.items():
                if owner in (None, user):
                    session.abort()
        return bool(calls) and not any(call.began for call in calls.values())

    def is_broken_off(self) -> bool:
        """Return whether what this thread is doing was broken off."""
        with self.lock:
            call = self._calls.get(threading.get_ident())
        return call is not None and call.broken_off

    def under_way(self, owner: object) -> UnderWay:
        """Let ``abort`` find what is being done, also between two sessions and while one is being opened."""
        return UnderWay(self, owner)

    def enter(self, owner: object) -> bool:
        """Begin what ``under_way`` is about; True asks for ``leave`` at its end, False: it is part of another."""
        if os.getpid() != self._pid:
            self.after_fork()
        if owner in self._calls:
            return False
        self._calls[owner] = Call()  # without the lock: only the owner begins and ends it, and abort takes a copy
        return True

    def leave(self, owner: object) -> None:
        """End what ``enter`` began."""
        self._calls.pop(owner, None)

    def widen(self, connections: int) -> None:
        """Allow so many sessions from now on."""
        with self.lock:
            self._allow(connections - self.connections)
            self.connections = max(self.connections, connections)

    def _allow(self, sessions: int) -> None:
        for _ in range(sessions):
            self._free.put(None)

    def after_fork(self) -> None:
        """Begin anew in a child; first of all that touches the lock, which a thread of the parent may have held."""
        if os.getpid() != self._pid:
            from franking.abilities import SupportsFork

            inherited, leases = self._idle, self._leases
            self._begin()  # the parent's connections are the parent's: only the copies go
            for session in inherited:
                if isinstance(session, SupportsFork) and session.quiet_after_fork:
                    session.close()
            for lease in leases.values():
                lease.release()


class Borrowed:
    """A session for one ``with``: what ``Pool.borrow`` gives. A class, as a generator takes longer for each message."""

    __slots__ = ("_fresh", "_make", "_pool", "_session")

    def __init__(self, pool: Pool, make: Callable[[], Session], fresh: bool) -> None:
        self._pool, self._make, self._fresh = pool, make, fresh

    def __enter__(self) -> Session:
        me = threading.get_ident()
        self._session = self._pool.take(self._make, me, wait=me not in self._pool.readers, fresh=self._fresh)
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._session, error is None or outlives(self._session, error))


class UnderWay:
    """A call for one ``with``: what ``Pool.under_way`` gives."""

    __slots__ = ("_outermost", "_owner", "_pool")

    def __init__(self, pool: Pool, owner: object) -> None:
        self._pool, self._owner = pool, owner

    def __enter__(self) -> None:
        self._outermost = self._pool.enter(self._owner)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outermost:
            self._pool.leave(self._owner)
