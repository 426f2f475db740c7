"""What is remembered of one browser between two requests, in memory and for a while: its tests, the passwords that it
typed and did not save yet, its sign-ins. Nothing of it is ever written down.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from franking.redaction import Veiled

if TYPE_CHECKING:
    from franking.web.signin import SignIn
    from franking.web.testrun import TestRun

__all__ = ["Typed", "Visitor", "Visitors"]

_MOST_RUNS = 20
_MOST_VISITORS = 1_000
_FORGOTTEN = 12 * 3600.0
"""Seconds after which a browser that did nothing is forgotten."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A password that was typed and not saved, and the places that it was typed for."""

    password: Veiled[str]
    bound: Mapping[str, str]


@dataclass(slots=True)
class Visitor:
    """One browser."""

    id: str = field(repr=False)
    seen: float = 0.0
    language: str | None = None
    to: str = ""
    removing: str | None = None
    last: TestRun | None = None
    typed: dict[str, Typed] = field(default_factory=dict)
    signins: dict[str, SignIn] = field(default_factory=dict)
    runs: OrderedDict[str, TestRun | None] = field(default_factory=OrderedDict)
    sent: deque[float] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def token(self) -> str:
        """Return what every form of this browser carries; who cannot read its cookie cannot know it."""
        return hashlib.sha256(f"franking form {self.id}".encode()).hexdigest()[:40]

    def used(self, once: str, run: TestRun | None = None) -> None:
        """Remember that a form was posted, and which test it began."""
        self.runs[once] = run
        while len(self.runs) > _MOST_RUNS * 5:
            self.runs.popitem(last=False)


class Visitors:
    """The browsers that are known, by the random name in their cookie."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: OrderedDict[str, Visitor] = OrderedDict()
        self._clock = clock
        self._lock = threading.Lock()

    def new(self) -> Visitor:
        """Make a visitor with a name that nobody can guess."""
        return self.named(secrets.token_urlsafe(24))

    def find(self, name: str) -> Visitor | None:
        """Return a visitor that is known and was not forgotten."""
        with self._lock:
            self._forget()
            found = self._known.get(name)
            if found is not None:
                found.seen = self._clock()
                self._known.move_to_end(name)
            return found

    def named(self, name: str) -> Visitor:
        """Return the visitor of this name, a new one where none is known: another process may have named it."""
        found = self.find(name)
        if found is None:
            with self._lock:
                found = self._known.setdefault(name, Visitor(name, self._clock()))
        return found

    def _forget(self) -> None:
        oldest = self._clock() - _FORGOTTEN
        while self._known:
            name, first = next(iter(self._known.items()))
            if first.seen >= oldest and len(self._known) <= _MOST_VISITORS:
                return
            del self._known[name]
