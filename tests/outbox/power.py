"""What a loss of power would leave of a directory: made from the log of disk.c, change by change. It knows no outbox.

A file system owes only what was synced: the octets of a file at its last fsync, the names of a directory at its own
(fsync(2)). Of everything since, some may be there and some not, a write in part.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["KINDS", "Disk", "Record", "read"]

KINDS = ("kept", "synced", "torn", "mixed")
"""All of it is there; only what was synced; the last write in half; some of it, at random."""

_HEAD = struct.Struct("<cqqII")
_SECTOR = 512


@dataclass(frozen=True)
class Record:
    """One change of a file, or (``T``) what was told."""

    kind: str
    inode: int
    at: int
    path: str
    data: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.data)


def read(log: Path) -> Iterator[Record]:
    """Return what stands in a log."""
    data, place = log.read_bytes(), 0
    while place < len(data):
        kind, inode, at, one, other = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        path, rest = data[place : place + one], data[place + one : place + one + other]
        place += one + other
        yield Record(kind.decode(), inode, at, path.decode(), rest)


@dataclass
class _File:
    durable: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # where, and what; None = cut there

    def octets(self, changes: list[tuple[int, bytes | None]]) -> bytes:
        made = bytearray(self.durable)
        for at, data in changes:
            if len(made) < at:
                made.extend(bytes(at - len(made)))
            if data is None:
                del made[at:]
            else:
                made[at : at + len(data)] = data
        return bytes(made)


Names = dict[str, "_File | None"]  # None = a directory


class Disk:
    """A directory as the log tells it, and what may be left of it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._files: dict[int, _File] = {}
        self._durable: Names = {}
        self._since: list[tuple[str, _File | None, bool]] = []  # names given (True) and taken away, in order

    def does(self, record: Record) -> None:
        """Do one change."""
        match record.kind:
            case "c":
                self._files[record.inode] = file = _File()
                self._since.append((record.path, file, True))
            case "w":
                self._file(record).since.append((record.at, record.data))
            case "t":
                self._file(record).since.append((record.at, None))
            case "s":
                file = self._file(record)
                file.durable, file.since = file.octets(file.since), []
            case "d":
                mine = [one for one in self._since if os.path.dirname(one[0]) == record.path]
                self._since = [one for one in self._since if one not in mine]
                _name(self._durable, mine)
            case "r":
                file = self._names(len(self._since))[record.path]
                self._since += [(record.path, file, False), (record.data.decode(), file, True)]
            case "u":
                self._since.append((record.path, None, False))
            case "m":
                self._since.append((record.path, None, True))

    def _file(self, record: Record) -> _File:
        return self._files[record.inode]

    def _names(self, changes: int) -> Names:
        names = dict(self._durable)
        _name(names, self._since[:changes])
        return names

    def leaves(self, kind: str, chance: random.Random) -> dict[str, bytes | None]:
        """Return one state that power may leave: octets by path, None for a directory."""
        changes = len(self._since)
        if kind == "synced":
            changes = 0
        elif kind == "mixed":
            changes = chance.randint(0, changes)  # a journal keeps their order
        names = self._names(changes)
        left: dict[str, bytes | None] = {}
        for path, file in names.items():
            if not all(above in names for above in self._above(path)) or path.endswith("-shm"):
                continue  # shared memory is made anew by whoever comes first
            left[path] = None if file is None else file.octets(_some(file.since, kind, chance))
        return left

    def _above(self, path: str) -> Iterator[str]:
        while (path := os.path.dirname(path)) != self.root:
            yield path

    def copy(self) -> Disk:
        return deepcopy(self)


def _name(names: Names, changes: list[tuple[str, _File | None, bool]]) -> None:
    for path, file, given in changes:
        if given:
            names[path] = file
        else:
            names.pop(path, None)


def _some(since: list[tuple[int, bytes | None]], kind: str, chance: random.Random) -> list[tuple[int, bytes | None]]:
    if kind == "synced":
        return []
    if kind == "torn" and since:
        return [*since[:-1], _half(*since[-1])]
    if kind == "mixed":
        some = [one for one in since if chance.random() < 0.5]
        return [_half(*one) if chance.random() < 0.3 else one for one in some]
    return since


def _half(at: int, data: bytes | None) -> tuple[int, bytes | None]:
    if data is None:
        return at, data
    return at, data[: max(len(data) // 2 // _SECTOR * _SECTOR, min(len(data), _SECTOR) // 2)]
