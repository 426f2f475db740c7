"""Somebody at a real pseudo-terminal who answers one question after the other, as ``commandline.Person`` does: the
command runs in a forked copy of this process, so that what a test has put in place of the network holds there too.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable

__all__ = ["Terminal"]

Answer = str | Callable[[str], str] | BaseException
_SECONDS = 40.0


class Terminal:
    """A command at a pseudo-terminal of 80 columns; ``run`` fails where another question is asked."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._answers: list[tuple[str, Answer]] = []
        self._shown = b""

    @property
    def shown(self) -> str:
        """Return all that the terminal showed, what the person typed included."""
        return self._shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def answer(self, question: str, text: Answer) -> None:
        self._answers.append((question, text))

    def interrupt(self, question: str) -> None:
        self.answer(question, KeyboardInterrupt())

    def run(self) -> int:
        """Run the command and return its exit code."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the servers' threads are not needed in the copy
            child, terminal = pty.fork()
        if child == 0:
            _child(self._arguments)
        try:
            place = 0
            for question, text in self._answers:
                place = self._wait(terminal, question, place)
                if isinstance(text, BaseException):
                    os.write(terminal, b"\x03")
                    continue
                if callable(text):
                    text = text(self.shown[self.shown.rindex(question) :].split()[0])
                os.write(terminal, f"{text}\n".encode())
            self._wait(terminal, "", place)
        finally:
            os.close(terminal)
            code = _end(child)
        return code

    def _wait(self, terminal: int, question: str, place: int) -> int:
        """Read until this question is asked, or with none until the end; return where in the text it was."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            shown = self.shown
            asked = shown.find(question, place) if question else -1
            if asked >= 0 and re.search(r": ?$", shown[asked:]):
                return len(shown)
            if not question and shown.endswith(": ") and not select.select([terminal], [], [], 15)[0]:
                raise AssertionError(f"asked once too often: {shown[place:]}")
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    data = os.read(terminal, 4096)
                except OSError:  # the other end is closed
                    data = b""
                if not data and question:
                    break
                if not data:
                    return len(self.shown)
                self._shown += data
        raise AssertionError(f"never asked: {question}\n{self.shown}" if question else f"no end:\n{self.shown}")


def _child(arguments: tuple[str, ...]) -> None:
    """Be the command, at the terminal, and nothing else of the test."""
    code = 70
    try:
        os.environ |= {"TERM": "dumb", "COLUMNS": "80"}
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _never_miss_a_signal()
        from franking_cli.app import run

        code = run(list(arguments))
        sys.stderr.flush()
    finally:
        os._exit(code)


def _never_miss_a_signal() -> None:
    """Interrupt what waits twenty times a second. Python acts upon a Ctrl-C between two of its own steps, or when it
    breaks a wait: one that comes in the moment after the last step and before the wait is seen when the wait is over,
    and who types as fast as a test does hits that moment once in some thousand times.
    """
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)


def _end(child: int) -> int:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
