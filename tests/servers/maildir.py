"""Read back what a real server delivered into a Maildir, byte by byte. Sends nothing, starts nothing."""

from __future__ import annotations

import time
from pathlib import Path

TRACE = (b"return-path", b"received", b"x-original-to", b"delivered-to", b"envelope-to", b"delivery-date")
PATIENCE = 30.0  # seconds for a delivery that takes milliseconds


class Maildir:
    """The messages below one directory tree of Maildirs (``*/new``), found by their Message-ID."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, bytes] = {}

    def find(self, message_id: str) -> bytes:
        """Wait for the message and give it as it was sent: without the trace headers on top, with CRLF (a Maildir keeps LF)."""
        return self.find_all([message_id])[message_id]

    def find_all(self, message_ids: list[str]) -> dict[str, bytes]:
        """Wait for all these messages. Raises ``AssertionError`` that names what did not arrive."""
        deadline = time.monotonic() + PATIENCE
        wanted = set(message_ids)
        while True:
            self._read()
            found = {key: raw for key in wanted for raw in self._seen.values() if _has(raw, key)}
            if len(found) == len(wanted):
                return {key: as_sent(raw) for key, raw in found.items()}
            if time.monotonic() > deadline:
                raise AssertionError(f"not delivered within {PATIENCE:g} s: {sorted(wanted - set(found))}")
            time.sleep(0.01)

    def copies(self, message_id: str) -> int:
        """Count the copies delivered so far."""
        self._read()
        return sum(_has(raw, message_id) for raw in self._seen.values())

    def _read(self) -> None:
        for path in self.root.glob("**/new/*"):
            if path not in self._seen:
                self._seen[path] = path.read_bytes()


def _has(raw: bytes, message_id: str) -> bool:
    head = raw.partition(b"\n\n")[0].lower()
    return b"\nmessage-id: " + message_id.encode().lower() in b"\n" + head


def as_sent(raw: bytes) -> bytes:
    """Take the trace headers off the top (RFC 5321 §4.4) and give the line ends that travelled."""
    lines = raw.split(b"\n")
    at = 0
    while at < len(lines) and (lines[at].partition(b":")[0].lower() in TRACE or (at and lines[at][:1] in (b" ", b"\t"))):
        at += 1
    return b"\r\n".join(lines[at:])
