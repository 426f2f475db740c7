"""A renewal that a test writes itself: what makes a new grant of the old, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from franking.auth.secret import Grant
from franking.auth.token import Refresh

__all__ = ["Renewed"]


@dataclass
class Renewed:
    """A ``franking.auth.token.Renewal``; ``log`` is told what is done in which order."""

    refresh: Refresh
    exported: Grant | None = None
    route: str | None = None
    needs_login: bool = True
    repair: str = "franking login shop"
    log: Callable[[str], object] = len

    def provided(self) -> Grant | None:
        return self.exported

    @contextmanager
    def ready(self) -> Iterator[Refresh]:
        self.log("ready")

        def refresh(grant: Grant | None) -> Grant:
            self.log("refresh")
            return self.refresh(grant)

        yield refresh
