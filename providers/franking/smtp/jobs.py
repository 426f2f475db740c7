"""The jobs of a ``send_many`` as a session draws them: whether drawing keeps anybody waiting. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

from franking.message.address import Envelope
from franking.message.content import Content

__all__ = ["Job", "Source"]

SLOW = 0.001  # seconds: a source that takes longer for a job is slower than the wire of this machine
TRUST = 8  # jobs in a row that a source must have given sooner than that, until it is taken to be ready

Job = tuple[Any, Envelope, Content]


class Source:
    """The jobs to come, and how they ended (``problem``). ``slow``: the last one took its time; ``quick``: none did for
    a while.
    """

    def __init__(self, jobs: Iterable[Job], clock: Callable[[], float]) -> None:
        self._jobs = iter(jobs)
        self._clock = clock
        self.fetched: Job | None = None
        self.over = self.slow = False
        self._in_time = 0  # jobs in a row that were there at once
        self.problem: BaseException | None = None

    @property
    def ready(self) -> int:
        """Return how many jobs can be drawn without keeping anybody waiting, as far as the jobs know it themselves."""
        left = 0 if self.over else length_hint(self._jobs)
        return left if self.fetched is None else left + 1

    @property
    def quick(self) -> bool:
        return self._in_time >= TRUST

    def fetch(self) -> None:
        """Draw the next job already, for whoever asks next."""
        if self.fetched is None:
            self.fetched = self.draw()

    def draw(self) -> Job | None:
        """Return the next job; None when they are over."""
        if self.fetched is not None:
            job, self.fetched = self.fetched, None
            return job
        started = self._clock()
        try:
            return next(self._jobs)
        except StopIteration:
            self.over = True
        except (Exception, KeyboardInterrupt, SystemExit) as problem:  # noqa: BLE001 - the caller's own
            # raised once every result is out
            self.over, self.problem = True, problem
        finally:
            self.slow = self._clock() - started > SLOW
            self._in_time = 0 if self.slow else self._in_time + 1
        return None
