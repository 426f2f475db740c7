"""The journal of ``send-many``: what was begun and how it ended, line by line beside the input, so that a second run
sends nothing twice.

It is JSON lines, only ever appended to: ``{"started": 7, "sha256": "…", "message_id": "<…>"}`` before anything of the
message leaves, and ``{"ended": 7, "outcome": "accepted"}`` afterwards. A message that was started and has not ended is
unknown. It sends nothing and reads no input.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from franking.atomic import locked
from franking.errors import SendError, SettingsError

__all__ = ["Entry", "Journal"]


SYNC_SECONDS = 0.1
"""A killed run loses nothing of what was written. Against a failing machine the file is synced as well, at most this
often: where a message takes longer, its start is on the disk before it leaves; in a fast run the last tenth of a second
may be missing. Syncing for each would cost the disk's time for each.
"""

_STATES = ("", "unknown", "accepted", "refused", "failed")  # a message that was started and has not ended is unknown
_MOST = 1_000_000_000  # a line number beyond it is no line number
_HEADS = (b'{"started":', b'{"ended":')
"""How each line begins that is written here."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal knows of one line of the input: ``state`` is ``accepted``, ``refused``, ``failed`` or
    ``unknown``.
    """

    state: str
    digest: int  # the first 64 bits of the line's SHA-256; 0 where the message never began
    message_id: str | None

    def fits(self, sha256: str) -> bool:
        """Return whether the line is still the one that was begun."""
        return self.digest in (0, _digest(sha256))


class Journal:
    """Open (and lock) the journal of an input file; ``entry`` tells what earlier runs did with a line. It takes 9
    octets of memory for each line done. The lock file stays: removing it would let two runs in.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.failure: SettingsError | None = None  # once it could not be written, nothing more may be begun
        self._clock = clock
        self._synced = float("-inf")
        self._states = bytearray()
        self._digests = array("Q")
        self._ids: dict[int, str] = {}  # of messages that may be sent again
        self._descriptor = -1
        self._held = ExitStack()

    def entry(self, line: int) -> Entry | None:
        """Return what earlier runs did with a line, if anything."""
        if line >= len(self._states) or not self._states[line]:
            return None
        return Entry(_STATES[self._states[line]], self._digests[line], self._ids.get(line))

    def __enter__(self) -> Journal:
        with ExitStack() as held:
            try:
                held.enter_context(locked(Path(f"{self.path}.lock"), str(self.path), 0.0))
                self._descriptor = os.open(self.path, _FLAGS, 0o600)
                held.callback(os.close, self._descriptor)
                self._read()
            except SendError as problem:
                if problem.evidence is None or problem.evidence.reason != "lock-timeout":
                    raise
                raise SettingsError(
                    f"{self.path}: another run is working with this journal; wait until it has ended."
                ) from None
            except OSError as problem:
                raise SettingsError(
                    f"{self.path}: the journal cannot be written: {problem.strerror}. It stands beside the input file."
                ) from None
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self._sync()

    def _read(self) -> None:
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise SettingsError(f"{self.path}: this is no journal of send-many but something else; move it away.")
        whole = 0
        with open(self._descriptor, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                if _torn(line):
                    os.ftruncate(self._descriptor, whole)
                    return
                self._read_line(number, line)
                whole += len(line)

    def _read_line(self, number: int, line: bytes) -> None:
        try:
            self._record(json.loads(line) if line.endswith(b"\n") else {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SettingsError(
                f"{self.path}:{number}: this is no journal of send-many; move it away, or mend the line. "
                "Nothing in it was changed."
            ) from None

    def _record(self, record: dict[str, object]) -> None:
        """Keep what one line of the journal says. Raises an error of the kind that fits where it says nothing."""
        if "started" in record:
            line = self._set(record["started"], "unknown")
            self._digests[line] = _digest(str(record["sha256"]))
            self._ids[line] = str(record["message_id"])
            return
        outcome = str(record["outcome"])
        line = self._set(record["ended"], outcome)
        if outcome != "failed":
            self._ids.pop(line, None)

    def _set(self, number: object, state: str) -> int:
        line = int(str(number))
        if not 0 < line < _MOST:
            raise ValueError(line)
        if (more := line + 1 - len(self._states)) > 0:
            self._states.extend(bytes(more))
            self._digests.extend([0] * more)
        self._states[line] = _STATES.index(state, 1)
        return line

    def started(self, line: int, sha256: str, message_id: str) -> None:
        """Write down that a message is about to leave; it is with the system when this returns, and on the disk within
        ``SYNC_SECONDS``. Raises ``SettingsError`` where it cannot be.
        """
        self._append({"started": line, "sha256": sha256, "message_id": message_id})
        if self.failure is not None:
            raise self.failure

    def ended(self, line: int, outcome: str) -> None:
        """Write down how a message ended; an unknown outcome stays without an end. Where it cannot be written,
        ``failure`` says why.
        """
        if outcome != "unknown":
            self._append({"ended": line, "outcome": outcome})

    def _append(self, record: dict[str, object]) -> None:
        if self.failure is not None:
            return  # what was written in part must stay the last thing in the file
        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            if os.write(self._descriptor, data) != len(data):
                self._fail("the disk is full")
        except OSError as problem:
            self._fail(problem.strerror)
        if self._clock() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        """Have the system put on the disk what was written; some file systems have no such thing."""
        try:
            _fdatasync(self._descriptor)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                self._fail(problem.strerror)
        self._synced = self._clock()

    def _fail(self, why: str | None) -> None:
        self.failure = self.failure or SettingsError(
            f"{self.path}: the journal cannot be written: {why}. Nothing more was begun; "
            "make room, then run the same command again."
        )


def _digest(sha256: str) -> int:
    return int(sha256[:16], 16)


_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A pipe would be waited for, and what a link points at is not ours to write."""
_FLAGS |= getattr(os, "O_BINARY", 0)
_fdatasync = getattr(os, "fdatasync", os.fsync)


def _torn(line: bytes) -> bool:
    """Return whether a run was killed while it wrote this line: what it announces did not begin."""
    return not line.endswith(b"\n") and any(line.startswith(head) or head.startswith(line) for head in _HEADS)
