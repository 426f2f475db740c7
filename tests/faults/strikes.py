"""Exceptions out of the blue: what a handler of signals raises (Celery's SoftTimeLimitExceeded, Ctrl-C) strikes between
any two lines of ours, and at any call within the libraries below. It is raised by a trace function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Place", "Strike", "places", "strike"]

Place = tuple[str, int | str]
"""A file and a line of ours, or a file and a function of a library."""

LIBRARIES = frozenset(
    {"google", "google_auth_oauthlib", "googleapiclient", "httplib2", "http", "json", "msal", "oauthlib", "requests",
    "requests_oauthlib", "subprocess", "urllib3", "uritemplate", "cryptography"}
)  # fmt: skip


class Strike(Exception):
    """Raised where nobody expects it; an ``Exception``, as Celery's is, so that a broad ``except`` may meet it too."""


class _Tracer:
    """Note every place that one thread comes to, or raise at one of them, when it is met for the first time."""

    def __init__(self, at: Place | None = None) -> None:
        self.at, self.met = at, dict[Place, int]()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = str(frame.f_globals.get("__name__", ""))
        package = name.partition(".")[0]
        if package == "franking":
            return self._line
        if package in LIBRARIES:
            self._note((frame.f_code.co_filename, frame.f_code.co_name))
        return None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._note((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def _note(self, place: Place) -> None:
        self.met[place] = self.met.get(place, 0) + 1
        if place == self.at and self.met[place] == 1:
            raise Strike


@contextmanager
def _tracing(tracer: _Tracer) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


def places(act: Callable[[], Any]) -> list[Place]:
    """Return where an act comes to, in the order in which it first does."""
    tracer = _Tracer()
    with _tracing(tracer):
        act()
    return list(tracer.met)


def strike(act: Callable[[], Any], at: Place) -> BaseException | None:
    """Let a ``Strike`` meet an act; return what comes out of it, None where nothing did."""
    try:
        with _tracing(_Tracer(at)):
            act()
    except BaseException as error:
        return error
    return None
