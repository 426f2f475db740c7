"""What a process tells a shared store beside its work: what became of messages, and that it lives and still has what it
holds. One thread does it, started when there is something to tell, ended when there is nothing for a while.

What cannot be told, because the store is away, is told again until it can; ``wait`` is for those who must not go on
before it was told. A store that can be told without being waited for is told at once, and what it answers is heard
later: to wake a thread for each message took longer than to send it. It knows neither journals nor limits: it is
handed what to do.

What is held (a lock, a message, a connection that a mailbox may have) has an owner and an end by the server's clock,
which is put off at each third of the time. Whoever stands still beyond the end has lost it, and learns so: the server
compares both in the same breath as it does what was asked for. Nothing here trusts this machine's calendar.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from franking.errors import FrankingError, SendError, exhausted

__all__ = ["Afterwards", "Held", "afterwards", "new_owner", "steady", "tell_all"]

LINGER_SECONDS = 2.0
"""How long a thread without work stays."""

HEAR_SECONDS = 0.25
"""After how long the thread looks for the answer to what was said: the next message has mostly heard it by then."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before what failed is tried again, doubled each time."""

EXIT_SECONDS = 10.0
"""How long a program that ends waits for what it still has to tell."""

_log = logging.getLogger("franking.shared")


def new_owner() -> str:
    """Make the word by which a holding is known."""
    return os.urandom(16).hex()


def steady() -> float:
    """Return seconds of a clock that is never set, and counts while the machine sleeps (Linux)."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _nothing() -> None:
    """Do nothing about what is lost: who has it finds out."""


@dataclass(slots=True, eq=False)
class Held:
    """Something that is this process's for ``lease`` seconds, and again each time ``renew`` says so. ``lost`` is called
    where it is somebody else's by now.
    """

    renew: Callable[[], bool]
    lease: float
    clock: Callable[[], float]
    since: float
    lost: Callable[[], object] = _nothing
    gone: bool = False
    due: float = 0.0

    def __post_init__(self) -> None:
        self.due = self.since + self.lease / 3

    @property
    def lapsed(self) -> bool:
        """Return whether it may be somebody else's: this process stood still, or the store was away."""
        return self.gone or self.clock() >= self.since + self.lease


@dataclass(slots=True, eq=False)
class _Said:
    """An act that was said, what waits for its answer, and when the thread does so, if nobody did before."""

    act: Callable[[], object]
    answer: Callable[[], object]
    due: float


class Afterwards:
    """Tell things in the order in which they came, and renew what is held. Safe to share between threads; a forked
    child begins anew.
    """

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self.clock = clock
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._acts: deque[Callable[[], object]] = deque()
        self._unheard: deque[_Said] = deque()
        self._held: set[Held] = set()
        self._thread: threading.Thread | None = None
        self._failed = self._failures = 0  # ever, and since it last went well
        self._waiting = 0
        self._closing = False
        self._problem: FrankingError | None = None
        self._not_before = 0.0

    def do(self, act: Callable[[], object], say: Callable[[], Callable[[], object] | None] | None = None) -> None:
        """Have something told soon. Where it can, ``say`` sends the same without waiting and returns what waits for the
        answer; what is then not known to be told is told again, by ``act``.
        """
        answer = None
        if say is not None and not self._acts:
            try:
                answer = say()
            except FrankingError:
                pass
            except BaseException:
                with self._ready():
                    self._acts.append(act)
                raise
        with self._ready(wake=answer is None):
            if answer is None:
                self._acts.append(act)
            else:
                self._unheard.append(_Said(act, answer, self.clock() + HEAR_SECONDS))

    @property
    def behind(self) -> bool:
        """Return whether something could not be told yet."""
        return self._pid == os.getpid() and self._failures > 0

    def wait(self, seconds: float | None = None) -> None:
        """Wait until everything is told. Raises what keeps it from being told, a ``FrankingError``."""
        if self._pid == os.getpid():
            if self._unheard and (seconds is None or self._thread is None):
                self._hear()
            if self._is_told:  # nearly always
                return
        with self._ready():
            failed, self._not_before = self._failed, 0.0
            for said in self._unheard:
                said.due = 0.0
            if self._thread is not None:
                self._changed.notify_all()  # it may be resting from a failure
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: self._is_told or self._failed > failed, seconds)
                finally:
                    self._waiting -= 1
            if self._is_told:
                return
            problem = copy(self._problem)
        raise problem or SendError("What became of earlier messages could not be written down yet.", temporary=True)

    @property
    def _is_told(self) -> bool:
        return not (self._acts or self._unheard)

    def _hear(self) -> None:
        """Wait for the answers to what was said; where one does not come, or refuses, it is told again."""
        for said in list(self._unheard):
            told = True
            try:
                said.answer()
            except Exception:  # noqa: BLE001  (whatever it is, the act meets it again)
                told = False
            with self._changed:
                if said in self._unheard:  # no other thread was faster
                    self._unheard.remove(said)
                    if not told:
                        self._acts.append(said.act)
                    if self._waiting or not told:  # else the thread would wake for each message
                        self._changed.notify_all()

    def hold(self, held: Held) -> None:
        """Renew something until it is let go."""
        with self._ready(wake=held.lease / 3 < LINGER_SECONDS):  # else the thread looks by itself before that
            self._held.add(held)

    def let_go(self, held: Held) -> None:
        with self._ready(begin=False, wake=False):
            self._held.discard(held)

    @contextmanager
    def holding(self, renew: Callable[[], bool], lease: float, since: float) -> Iterator[None]:
        """Renew something for as long as this block takes; ``since`` is when it was asked for, by ``clock``."""
        held = Held(renew, lease, self.clock, since)
        try:  # a signal may strike between any two lines, and what nobody lets go is renewed for ever
            self.hold(held)
            yield
        finally:
            self.let_go(held)

    @contextmanager
    def _ready(self, *, begin: bool = True, wake: bool = True) -> Iterator[None]:
        """Hold the lock, and see to it that the thread runs and looks."""
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            if begin and (self._thread is None or not self._thread.is_alive()):  # what broke into it ended it
                thread = threading.Thread(target=self._run, name="franking-afterwards", daemon=True)
                with suppress(RuntimeError):  # this computer has no more threads: who waits is told
                    thread.start()
                    self._thread = thread
            yield
            if wake:
                self._changed.notify_all()

    def close(self, seconds: float = EXIT_SECONDS) -> None:
        """Wait until everything is told, and for the end of the thread. Raises as ``wait``."""
        try:
            self.wait(seconds)
        finally:
            with self._ready(begin=False):
                self._closing, thread = True, self._thread
            if thread is not None:
                thread.join(seconds)
            self._closing = False

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        idle_since = self.clock()
        while True:
            with self._changed:
                now = self.clock()
                due = sorted((held for held in self._held if held.due <= now), key=lambda held: held.due)
                act = self._acts[0] if self._acts and self._not_before <= now else None
                unheard = bool(self._unheard) and self._unheard[0].due <= now
                if not due and act is None and not unheard:
                    idle = self._is_told and not self._held
                    if self._closing or (idle and now - idle_since > LINGER_SECONDS):
                        self._thread = None
                        return
                    self._changed.wait(self._rest(now))
                    continue
            idle_since = now
            for held in due:
                if not self._renew(held):  # each might take its time-out: what is to be told need not wait for all
                    break
            if unheard:
                self._hear()
            if act is not None:
                self._tell(act)

    def _rest(self, now: float) -> float:
        moments = [held.due for held in self._held] + [said.due for said in self._unheard]
        if self._acts:
            moments.append(self._not_before)
        return max(0.001, min([now + LINGER_SECONDS, *moments]) - now)

    def _renew(self, held: Held) -> bool:
        """Put off the end of something; return whether the store answered."""
        asked = self.clock()
        try:
            mine = held.renew()
        except Exception as problem:  # noqa: BLE001  (whatever it is: others must go on being renewed)
            _log.warning("What this program holds could not be renewed: %s", problem)
            held.due = asked + min(FIRST_PAUSE, held.lease / 3)
            return False
        held.since, held.due = asked, asked + held.lease / 3
        if not mine:
            self.let_go(held)
            held.gone = True
            try:
                held.lost()
            except Exception:  # noqa: BLE001  (others must go on being renewed)
                _log.exception("What this program had lost could not be left in order.")
        return True

    def _tell(self, act: Callable[[], object]) -> None:
        problem: FrankingError | None = None
        try:
            act()
        except FrankingError as failure:
            problem = failure
        except Exception as failure:  # noqa: BLE001  (a mistake in the program: it would be made again)
            problem = exhausted(failure)
            if problem is None:
                _log.exception("What became of a message could not be written down.")
        with self._changed:
            self._problem = problem
            if problem is None:
                self._failures = 0
                self._acts.popleft()
            else:
                _log.warning("What became of a message could not be written down yet: %s", problem)
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
                self._failures += 1
                self._failed += 1
                self._not_before = self.clock() + pause
            self._changed.notify_all()


def afterwards(of: Any) -> Afterwards:
    """Return what tells things to one store: all who share the store share it."""
    return _known.get(of) or _known.setdefault(of, Afterwards())


_known: WeakKeyDictionary[Any, Afterwards] = WeakKeyDictionary()
_all: WeakSet[Afterwards] = WeakSet()


def tell_all() -> None:
    """Wait until everything is told, as long as a program that ends would: it may end without a further word."""
    for one in list(_all):
        with suppress(FrankingError):
            one.wait(EXIT_SECONDS)


@atexit.register
def _at_exit() -> None:
    for one in list(_all):
        with suppress(FrankingError):
            one.close()


def _after_fork() -> None:
    """Begin anew in a child, before it has a second thread."""
    for one in list(_all):
        one._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
