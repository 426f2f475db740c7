"""Read back what a real server delivered into a Maildir, byte by byte. Sends nothing, starts nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

TRACE = (b"return-path", b"received", b"x-original-to", b"delivered-to", b"envelope-to", b"delivery-date")
PATIENCE = 30.0  # seconds for a delivery that takes milliseconds


class Maildir:
    """The messages below one directory tree of Maildirs (``*/new``), found by their Message-ID."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: set[str] = set()
        self._found: dict[str, list[Path]] = {}

    def find(self, message_id: str) -> bytes:
        """Wait for the message and give it as it was sent: without the trace headers on top, with CRLF (a Maildir keeps
        LF).
        """
        return self.find_all([message_id])[message_id]

    def find_all(self, message_ids: list[str]) -> dict[str, bytes]:
        """Wait for all these messages. Raises ``AssertionError`` that names what did not arrive."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._look()
            missing = [name for name in message_ids if name not in self._found]
            if not missing:
                return {name: as_sent(self._found[name][0].read_bytes()) for name in message_ids}
            if time.monotonic() > deadline:
                raise AssertionError(f"not delivered within {PATIENCE:g} s: {missing}")
            time.sleep(0.01)

    def containing(self, octets: bytes) -> bytes:
        """Wait for a message with these octets in it: for programs that make their own Message-ID."""
        return self._the_one(lambda sent: octets in sent, f"a message with {octets!r}")

    def about(self, subject: str) -> bytes:
        """Wait for a message with this subject, however it is encoded."""
        return self._the_one(lambda sent: subject_of(sent) == subject, f"a message about {subject!r}")

    def _the_one(self, fits: Callable[[bytes], bool], what: str) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            self._look()
            for paths in self._found.values():
                if fits(sent := as_sent(paths[0].read_bytes())):
                    return sent
            if time.monotonic() > deadline:
                raise AssertionError(f"not delivered within {PATIENCE:g} s: {what}")
            time.sleep(0.01)

    def copies(self, message_id: str) -> int:
        """Count the copies delivered so far."""
        self._look()
        return len(self._found.get(message_id, ()))

    def names(self) -> list[str]:
        """Return the Message-ID of everything delivered so far."""
        self._look()
        return list(self._found)

    def _look(self) -> None:
        for new in self.root.glob("**/new"):
            for name in set(os.listdir(new)) - self._known:
                self._known.add(name)
                self._found.setdefault(_message_id(new / name), []).append(new / name)


def subject_of(message: bytes) -> str:
    return str(BytesParser(policy=default).parsebytes(message)["Subject"])


def _message_id(path: Path) -> str:
    with path.open("rb") as file:
        for line in file:
            if line[:12].lower() == b"message-id: ":
                return line[12:].strip().decode("ascii", "replace")
            if line == b"\n":
                break
    return ""


def as_sent(raw: bytes) -> bytes:
    """Take the trace headers off the top (RFC 5321 §4.4) and give the line ends that travelled."""
    lines = raw.split(b"\n")
    at = 0
    while at < len(lines) and (
        lines[at].partition(b":")[0].lower() in TRACE or (at and lines[at][:1] in (b" ", b"\t"))
    ):
        at += 1
    return b"\r\n".join(lines[at:])
