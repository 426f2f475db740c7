"""The messages of a ``send_many`` as the application gives them: drawn one at a time, whoever asks, and numbered. It
prepares nothing and knows no pace.

All workers of a run share one, and so do the runs of an account and of those that stand in for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from operator import length_hint
from typing import Any

__all__ = ["INTERRUPTIONS", "Ready", "Source"]

INTERRUPTIONS = (KeyboardInterrupt, SystemExit)  # Ctrl-C, or the exit that a handler of SIGTERM asks for


class Ready(Iterator[Any]):
    """What a generator gives whose maker knows how many are there already: those keep nobody waiting, so that they may
    leave together.
    """

    def __init__(self, messages: Iterator[Any], left: Callable[[], int]) -> None:
        self._messages, self._left = messages, left

    def __next__(self) -> Any:
        return next(self._messages)

    def __length_hint__(self) -> int:
        return self._left()


class Source:
    """Draw from an iterable, until it ends, breaks, or nobody wants more. Safe to share between threads."""

    def __init__(self, messages: Iterable[Any], stop: threading.Event) -> None:
        """``stop``, once it is set, ends the drawing."""
        self._messages = iter(messages)
        self._stop = stop
        self._index = count()
        self._drawing = threading.Lock()  # a slow iterable must not hold up what others do meanwhile
        self.ahead: deque[tuple[int, Any]] = deque()  # at most one message, drawn while the pace let none leave
        self.exhausted = False
        self.halted = False  # by an interruption
        self.broken: BaseException | None = None  # raised when every result is out

    @property
    def ended(self) -> bool:
        """Return whether nothing is left to draw."""
        return self.exhausted and not self.ahead

    @property
    def stopping(self) -> bool:
        """Return whether nothing new is to begin any more."""
        return self.halted or self._stop.is_set()

    def next(self, wait: float) -> tuple[int, Any] | None:
        """Return the next message with its number, counted from 0; None at the end, or where another thread draws for
        longer than ``wait`` seconds.
        """
        if not self._drawing.acquire(True, wait):
            return None
        try:
            if self.halted or self._stop.is_set():
                return None
            if self.ahead:
                return self.ahead.popleft()
            if self.exhausted:
                return None
            message = next(self._messages)
            return next(self._index), message
        except StopIteration:
            self.exhausted = True
        except INTERRUPTIONS as interruption:
            self.halt(interruption)
        except Exception as problem:  # noqa: BLE001  (the iterable is the caller's; its error goes back to them)
            self.end(problem)  # what is under way is finished first
        finally:
            self._drawing.release()
        return None

    def halt(self, interruption: BaseException) -> None:
        """End because of an interruption: nothing further is begun either."""
        self.halted = True
        self.end(interruption)

    def end(self, problem: BaseException | None = None) -> None:
        """Draw no more; a ``problem`` is raised when every result is out."""
        self.exhausted = True  # without the lock: in a forked child a thread of the parent may hold it for ever
        if not isinstance(self.broken, INTERRUPTIONS):
            self.broken = problem or self.broken

    def __length_hint__(self) -> int:
        return length_hint(self._messages)
