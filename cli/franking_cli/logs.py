"""What the library logs, shown to a person: with ``-v`` what it does, with ``-vv`` and ``--transcript`` the dialogue
with the server. All of it is redacted before it gets here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from franking.redaction import redacted
from franking_cli.console import Console, visible

__all__ = ["logging_to_stderr", "show_dialogue"]


@contextmanager
def logging_to_stderr(verbose: int) -> Iterator[None]:
    """Show what the library logs on stderr while a command runs: what it does (-v), or everything with the dialogue
    (-vv).
    """
    if not verbose:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    # a logger below this one may be louder for a reason of its own
    handler.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    with _handled("franking", handler, handler.level):
        yield


@contextmanager
def show_dialogue(console: Console, wanted: bool) -> Iterator[None]:
    """Show the dialogue with the server afterwards, both directions, already redacted; ``~`` marks what went inside
    TLS.
    """
    if not wanted:
        yield
        return
    collected = _Lines()
    try:
        with _handled("franking.wire", collected, logging.DEBUG):
            yield
    finally:
        console.say("\n" + console.words("screen.dialogue"), "strong")
        for line in collected.lines:
            console.raw(f"  {visible(line)}")


@contextmanager
def _handled(name: str, handler: logging.Handler, level: int) -> Iterator[None]:
    """Give a logger one handler more, and its level; both only for a while."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)  # not the attribute: loggers remember what is enabled


class _Redacted(logging.Formatter):
    """Look at each line once more before a person sees it: no tokens, no one-time addresses, no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _Lines(logging.Handler):
    """Collect messages in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
