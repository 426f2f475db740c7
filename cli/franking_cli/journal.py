"""The journal of ``send-many``: what was begun and how it ended, line by line beside the input, so that a second run sends nothing twice.

It is JSON lines, only ever appended to: ``{"started": 7, "sha256": "…", "message_id": "<…>"}`` before anything of the message leaves, and
``{"ended": 7, "outcome": "accepted"}`` afterwards. A message that was started and has not ended is unknown. It sends nothing and reads no input.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from franking import SettingsError

__all__ = ["Entry", "Journal"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal knows of one line of the input."""

    sha256: str
    message_id: str
    outcome: str | None = None

    @property
    def state(self) -> str:
        """Give ``accepted``, ``refused``, ``failed`` or, for what was started and did not end, ``unknown``."""
        return self.outcome or "unknown"


class Journal:
    """Open (and lock) the journal of an input file; ``entries`` holds what earlier runs did, by line number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[int, Entry] = {}
        self._descriptor = -1

    def __enter__(self) -> Journal:
        from filelock import FileLock, Timeout

        self._lock = FileLock(f"{self.path}.lock")
        try:
            self._lock.acquire(timeout=0)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except Timeout:
            raise SettingsError(f"{self.path}: another run is working with this journal; wait until it has ended.") from None
        except OSError as problem:
            raise SettingsError(
                f"{self.path}: the journal cannot be written: {problem.strerror}. It stands beside the input file."
            ) from None
        self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)
        self._lock.release()
        Path(f"{self.path}.lock").unlink(missing_ok=True)

    def _read(self) -> None:
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # a run was killed while it wrote this line: what it announces did not begin
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise SettingsError(f"{self.path}:{number}: this is no journal of send-many; move it away, or mend the line.") from None
                whole += len(line)
        os.ftruncate(self._descriptor, whole)

    def _take(self, record: dict[str, object]) -> None:
        if "started" in record:
            self.entries[int(str(record["started"]))] = Entry(str(record["sha256"]), str(record["message_id"]))
        else:
            line = int(str(record["ended"]))
            begun = self.entries.get(line, Entry("", ""))
            self.entries[line] = Entry(begun.sha256, begun.message_id, str(record["outcome"]))

    def started(self, line: int, sha256: str, message_id: str) -> None:
        """Write down that a message is about to leave; it is with the system when this returns."""
        self._append({"started": line, "sha256": sha256, "message_id": message_id})

    def ended(self, line: int, outcome: str) -> None:
        """Write down how a message ended; an unknown outcome stays without an end."""
        if outcome != "unknown":
            self._append({"ended": line, "outcome": outcome})

    def _append(self, record: dict[str, object]) -> None:
        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if os.write(self._descriptor, data) != len(data):
            raise SettingsError(f"{self.path}: the journal could not be written whole; is the disk full? Nothing more was sent.")
