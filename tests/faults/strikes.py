"""Exceptions out of the blue: what a handler of signals raises (Celery's SoftTimeLimitExceeded, Ctrl-C) strikes between
any two lines of ours, and at any call within the libraries below. It is raised by a trace function.
"""

from __future__ import annotations

import dis
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from canaries import leaks

__all__ = ["Place", "Strike", "entering", "places", "strike", "struck"]

STRIKES = 12
"""In each act, at places evenly apart; with FRANKING_FUZZ=explore at every place."""

Place = tuple[str, int | str]
"""A file and a line of ours, or a file and a function of a library."""

LIBRARIES = frozenset(
    {"google", "google_auth_oauthlib", "googleapiclient", "httplib2", "http", "json", "msal", "oauthlib", "requests",
    "requests_oauthlib", "subprocess", "urllib3", "uritemplate", "cryptography"}
)  # fmt: skip
NOTHING = dis.opmap["NOP"]
"""A ``try:`` of its own line. No signal strikes there, and CPython keeps it out of what a ``with`` around it covers: a
lock would stay locked.
"""

GUARD = "franking.errors._Discreet.__exit__"  # until its first statement is done, nothing is out of sight
OURS = ("franking", "franking_cli")


class Strike(Exception):
    """Raised where nobody expects it; an ``Exception``, as Celery's is, so that a broad ``except`` may meet it too."""


class _Tracer:
    """Note every place that a program's threads come to, or raise at one of them, when it is met for the first time."""

    def __init__(self, at: Place | None = None) -> None:
        self.at, self.met = at, dict[Place, int]()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = str(frame.f_globals.get("__name__", ""))
        package = name.partition(".")[0]
        if package in OURS:
            return None if _own_loop(name) else self._line
        if package in LIBRARIES and _called_by_us(frame):
            self._note((frame.f_code.co_filename, frame.f_code.co_name))
        return None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and frame.f_code.co_code[frame.f_lasti] != NOTHING:
            self._note((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def _note(self, place: Place) -> None:
        self.met[place] = self.met.get(place, 0) + 1
        if place == self.at and self.met[place] == 1:
            raise Strike


def _own_loop(name: str) -> bool:
    """Return whether this is the loop of a thread that somebody waits for: no signal comes to such a thread, and what
    its libraries raise comes out of what the loop calls.
    """
    return name == "franking.sending.workers" and threading.current_thread() is not threading.main_thread()


def _called_by_us(frame: FrameType) -> bool:
    """Return whether one of ours waits for this call: the servers of the tests use the same libraries."""
    caller = frame.f_back
    while caller is not None:
        if str(caller.f_globals.get("__name__")).partition(".")[0] in OURS:
            return True
        caller = caller.f_back
    return False


@contextmanager
def _tracing(tracer: _Tracer) -> Iterator[None]:
    """Trace this thread, and those that are started meanwhile."""
    before = sys.gettrace()
    threading.settrace(tracer)
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]


def places(act: Callable[[], Any]) -> list[Place]:
    """Return where an act comes to, in the order in which it first does."""
    tracer = _Tracer()
    with _tracing(tracer):
        act()
    return list(tracer.met)


def strike(act: Callable[[], Any], at: Place) -> list[BaseException]:
    """Let a ``Strike`` meet an act; return what comes out of it, and of its threads."""
    out: list[BaseException] = []
    before = threading.excepthook
    threading.excepthook = lambda ended: out.append(ended.exc_value) if ended.exc_value else None
    try:
        with _tracing(_Tracer(at)):
            next(_apart(act))
    except BaseException as error:
        out.append(error)
    finally:
        threading.excepthook = before
    return out


def _apart(act: Callable[[], Any]) -> Iterator[Any]:
    """Do something where exceptions in hand are the generator's: struck among the instructions that end an ``except``,
    CPython 3.11 leaves this thread with an exception in hand for good, the context of all that come later.
    """
    yield act()


def struck(
    act: Callable[[], Any],
    secrets: Callable[[], set[str]],
    *,
    entry: str = "",
    before: Callable[[], Any] = lambda: None,
    strikes: int = STRIKES,
    within: tuple[str, ...] = ("",),
) -> list[str]:
    """Let an exception strike everywhere in an act, or in files of these names; return what it brought out.

    ``entry`` is the public function that is handed a secret: the caller's own variable is on its way into it until its
    first statement is done, which takes what the caller handed over out of sight.
    """
    before()
    act()
    before()
    met = [at for at in places(act) if at[0].endswith(within)]
    assert len(met) > 30
    hits = []
    every = 1
    if os.environ.get("FRANKING_FUZZ") != "explore":
        every = max(len(met) // strikes, 1)
    for at in met[::every]:
        before()
        for error in strike(act, at):
            if (told := leaks(error, secrets())) and not entering(error, entry) and not entering(error, GUARD):
                hits.append(f"{Path(at[0]).name}:{at[1]}: {'; '.join(told)}")
    gc.collect()  # what was struck before anybody owned it goes here, where warnings of it are expected
    return hits


def entering(error: BaseException, entry: str) -> bool:
    """Return whether an exception struck before the first statement of a function was done."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if f"{trace.tb_frame.f_globals['__name__']}.{code.co_qualname}" == entry:
            lines = {line for _, _, line in code.co_lines() if line is not None}
            return trace.tb_lineno <= min(lines - {code.co_firstlineno})
        trace = trace.tb_next
    return False
