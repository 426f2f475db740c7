"""Run ``franking`` and ``franking-sendmail`` in this process: with a stdin, stdout and stderr of their own, piped, or
at a terminal where a person answers.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from franking_cli import app
from franking_cli.sendmail.main import main as sendmail_main

__all__ = ["Ended", "Franking", "Person", "franking", "sendmail"]

Answer = str | Callable[[str], str] | BaseException


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode()

    @property
    def json(self) -> Any:
        """Return the one value that stands on stdout."""
        assert len(self.out.splitlines()) == 1, self.out
        return json.loads(self.out)


Franking = Callable[..., Ended]


class Stream(io.TextIOWrapper):
    """Text over octets in memory; a terminal if it is told so."""

    def __init__(self, octets: bytes = b"", *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(octets), encoding=encoding, write_through=True)
        self.terminal = terminal

    def fileno(self) -> int:
        return -1

    def isatty(self) -> bool:
        return self.terminal

    def written(self) -> bytes:
        self.flush()
        octets: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return octets


def franking(*arguments: str, text: bytes = b"", env: dict[str, str] | None = None, encoding: str = "utf-8") -> Ended:
    """Run ``franking`` with piped streams."""
    stdout, stderr = Stream(encoding=encoding), Stream(encoding=encoding)
    return _ended(lambda: app.run(list(arguments)), Stream(text), stdout, stderr, env)


def sendmail(*arguments: str, text: bytes = b"", env: dict[str, str] | None = None) -> Ended:
    """Run ``franking-sendmail``."""

    def act() -> int:
        with mock.patch.object(sys, "argv", ["franking-sendmail", *arguments]):
            try:
                sendmail_main()
            except SystemExit as ended:
                assert isinstance(ended.code, int)
                return ended.code

    with _loggers_as_they_were():
        return _ended(act, Stream(text), Stream(), Stream(), env)


@contextmanager
def _loggers_as_they_were() -> Iterator[None]:
    """Put back what ``-v`` sets up for a whole process: here others follow."""
    wire, root = logging.getLogger("franking.wire"), logging.getLogger()
    level, handlers = wire.level, list(root.handlers)
    try:
        yield
    finally:
        wire.setLevel(level)
        root.handlers[:] = handlers


def _ended(act: Callable[[], int], stdin: Stream, stdout: Stream, stderr: Stream, env: dict[str, str] | None) -> Ended:
    with (
        mock.patch.dict(os.environ, env or {}),
        mock.patch.multiple(sys, stdin=stdin, stdout=stdout, stderr=stderr),
    ):
        code = act()
    return Ended(code, stdout.written(), stderr.written().decode(stderr.encoding))


class Person:
    """Somebody at a terminal who answers one question after the other.

    ``answer`` says what will be typed at which question; ``run`` runs the command, and fails where another question is
    asked. ``columns`` is how wide the terminal is; with ``whole`` it shows stdout as well.
    """

    def __init__(self, *arguments: str, columns: int = 80, whole: bool = False) -> None:
        self._arguments, self._columns, self._whole = arguments, columns, whole
        self._answers: list[tuple[str, Answer]] = []
        self._stderr = Stream(terminal=True)
        self._seen = 0
        self.secrets: list[str] = []

    def answer(self, question: str, text: Answer) -> None:
        """Answer a question. A function gets the address that begins with the question, and returns what is pasted."""
        self._answers.append((question, text))

    def interrupt(self, question: str) -> None:
        self.answer(question, KeyboardInterrupt())

    @property
    def octets(self) -> bytes:
        """Return all that the terminal got; what the person typed is not in it."""
        return self._stderr.written()

    @property
    def shown(self) -> str:
        """Return the same as text."""
        return self.octets.decode()

    def run(self, **environment: str) -> int:
        """Run the command and return its exit code."""
        stdin = Stream(terminal=True)
        stdin.readline = self._read_line  # type: ignore[method-assign, assignment]
        stdout = self._stderr if self._whole else Stream()
        size = os.terminal_size((self._columns, 50))
        with (
            mock.patch("getpass.getpass", self._read_hidden),
            mock.patch("os.get_terminal_size", lambda _: size),
        ):
            env = {"TERM": "dumb", **environment}
            code = _ended(lambda: app.run(list(self._arguments)), stdin, stdout, self._stderr, env).code
        assert not self._answers, f"never asked: {self._answers}\n{self.shown}"
        return code

    def _read_hidden(self, prompt: str, stream: Any) -> str:
        stream.write(prompt)
        self.secrets.append(self._read_line().rstrip("\n"))
        return self.secrets[-1]

    def _read_line(self, size: int = -1) -> str:
        shown, self._seen = self.shown[self._seen :], len(self.shown)
        assert self._answers, f"asked once too often: {shown}"
        question, text = self._answers.pop(0)
        assert question.replace("\r\n", "\n") in shown, shown
        if isinstance(text, BaseException):
            raise text
        if callable(text):
            text = text(shown[shown.index(question) :].split()[0])
        self._stderr.write("\n")  # the terminal shows the end of the line that was typed
        return f"{text}\n"
