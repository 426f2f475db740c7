"""The send log: a line of JSON for each message that anybody sent, where ``[log]`` in the settings file names a file.

    {"time": "2026-11-30T09:00:00.000Z", "account": "shop", "message_id": "<…>", "outcome": "accepted", "code": null,
     "ms": 80.1, "recipients": ["example.cz"]}

Every process appends its lines whole. No subject, no text, nothing secret; of recipients the domains alone, unless
``recipients = true``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from franking.account.fields import Field, unknown_key
from franking.atomic import locked, make_private
from franking.errors import SettingsError

__all__ = ["SendLog", "read_settings"]

FIELDS = (
    Field("file", "path", help="Where a line for each message is appended."),
    Field("recipients", "bool", False, help="Whether whole addresses are written; else their domains."),
    Field("max_bytes", "int", 10_000_000, minimum=1000, help="Size at which a new file is begun."),
    Field("keep", "int", 5, minimum=0, maximum=1000, help="How many older files are kept: FILE.1, FILE.2 …"),
)

LOCK_SECONDS = 10.0


def read_settings(table: Mapping[str, Any], directory: str) -> SendLog:
    """Return the log that ``[log]`` describes; ``directory`` is that of the settings file. Raises ``SettingsError``
    that names the key.
    """
    fields = {field.name: field for field in FIELDS}
    found = {name: field.default for name, field in fields.items()}
    for key, value in table.items():
        if key not in fields:
            raise SettingsError(unknown_key(key, "[log]", fields), field=key)
        found[key] = fields[key].read(value)
    if not found["file"]:
        raise SettingsError('log.file: say where to write, such as file = "sent.jsonl" under [log].', field="file")
    path = Path(directory) / found.pop("file")
    return SendLog(path, **found)


@dataclass(frozen=True, slots=True)
class SendLog:
    """Append to one file; any number of threads and processes may."""

    path: Path
    recipients: bool = False
    max_bytes: int = 10_000_000
    keep: int = 5

    def write(self, row: Mapping[str, Any], recipients: Iterable[str]) -> None:
        """Append a line. Raises ``OSError`` or ``FrankingError`` where that cannot be done."""
        whom = list(recipients)
        if not self.recipients:
            whom = sorted({address.rpartition("@")[2].lower() for address in whom})
        line = json.dumps({**row, "recipients": whom}, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            size = self._append(line)
        except FileNotFoundError:
            make_private(self.path.parent)
            size = self._append(line)
        if size >= self.max_bytes:
            self._rotate()

    def _append(self, line: bytes) -> int:
        """Write a line at the end in one piece, so that none is cut by another's; return how long the file is now."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            os.write(handle, line)
            found = os.fstat(handle)
            return found.st_size if stat.S_ISREG(found.st_mode) else 0
        finally:
            os.close(handle)

    def _rotate(self) -> None:
        """Begin a new file; who comes second finds it begun."""
        with locked(self.path.with_name(f".{self.path.name}.lock"), f"The send log {self.path}", LOCK_SECONDS):
            with suppress(FileNotFoundError):
                if self.path.stat().st_size < self.max_bytes:
                    return
            for number in range(self.keep, 0, -1):
                with suppress(FileNotFoundError):
                    self._older(number - 1).replace(self._older(number))
            if not self.keep:
                self.path.unlink(missing_ok=True)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path
