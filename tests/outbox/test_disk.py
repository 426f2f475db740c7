"""A disk that loses power, is killed, fills, breaks or becomes read-only at any change of any file: what was told is
there, nothing is doubled, and the outbox is usable at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.outbox.claims import Claims
from outbox.power import KINDS, Disk, read
from outbox.test_outbox import save
from servers.smtp import SmtpServer

HERE = Path(__file__).parent
WHOLE = os.environ.get("FRANKING_PROOFS") == "1"  # read before the tests' environment is cleaned
GCC = shutil.which("gcc")
pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(GCC is None or sys.platform != "linux", reason="disk.c is compiled for Linux"),
]
FINISHED = {"accepted", "refused", "failed", "cancelled"}
Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile disk.c."""
    made = tmp_path_factory.mktemp("disk") / "disk.so"
    assert GCC is not None
    subprocess.run(
        [GCC, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, HERE / "disk.c", "-ldl", "-lpthread"],
        check=True,
    )
    return made


def program(library: Path, *arguments: object) -> None:
    here = Path(franking.__file__).parents[1]  # the tree that is tested
    path = os.pathsep.join([str(here), str(HERE.parent), os.environ["PYTHONPATH"]])
    ended = subprocess.run(
        [sys.executable, str(HERE / "disk.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "LD_PRELOAD": str(library)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


class Left:
    """What an outbox was told to be, and what there is of it."""

    def __init__(self, told: Told, directory: Path) -> None:
        self.told = told
        self.digests: dict[str, str] = {one["id"]: one["digest"] for one in told if one["what"] == "put"}
        self.arrived = [one["message_id"] for one in told if one["what"] == "accepted"]
        self.before: dict[str, str] = {}
        self.step = ""
        self.failed = False
        for one in told:
            if one["what"] == "begin":
                self.step = one["step"]
            elif one["what"] == "end":
                self.before, self.step = one["states"] or self.before, ""
            elif one["what"] in ("failed", "broken"):
                self.failed, self.step = True, ""
        self.by_hand = any(one["what"] == "begin" and one["step"] == "sent" for one in told)
        self.purged = any(one["what"] == "begin" and one["step"] == "purge" for one in told)
        self.box = franking.Outbox(directory)
        self.entries = {entry.id: entry for entry in self.box.list(limit=1000)}

    def check(self) -> None:
        assert [row[0] for row in self.box.database.rows("PRAGMA integrity_check")] == ["ok"]
        if not self.failed:
            self._old_or_new()
        for name in self.digests.keys() - self.entries.keys():
            assert self.purged, f"{name} is lost"
        claims = Claims(self.box.database)
        claims.take_over(self.box.clock())
        claims.close()
        self.entries = {entry.id: entry for entry in self.box.list(limit=1000)}
        for entry in self.entries.values():
            self._true(entry)

    def _old_or_new(self) -> None:
        now = {name: entry.state for name, entry in self.entries.items()}
        changed = {name for name in now.keys() | self.before.keys() if now.get(name) != self.before.get(name)}
        new = now.keys() - self.before.keys()
        match self.step:
            case "":
                assert not changed or not self.before, (self.before, now)
            case "put" | "put_large":
                assert changed == new and len(new) <= 1
            case "put_many":
                assert changed == new and len(new) in (0, 6)
            case "cancel" | "again" | "sent":
                assert not new and len(changed) <= 1
            case "purge":
                gone = self.before.keys() - now.keys()
                assert changed == gone
                assert not gone or gone == {name for name, state in self.before.items() if state in FINISHED}
            case "run" | "run_again":
                assert not self.before.keys() - now.keys()
                assert {self.before[name] for name in changed - new} <= {"queued"}

    def _true(self, entry: franking.OutboxEntry) -> None:
        there = self.arrived.count(entry.message_id)
        assert there <= 1, "it was sent twice"
        if entry.state == "queued":
            assert not there, f"{entry.id} has arrived, and would be sent again"
        if entry.state == "accepted":
            assert there or self.by_hand, f"{entry.id} never arrived"
            return
        octets = b"".join(self.box.octets(entry.id))
        assert len(octets) == entry.bytes
        if entry.id in self.digests:
            assert hashlib.sha256(octets).hexdigest() == self.digests[entry.id], f"{entry.id} is not what was put"

    def use(self, port: int) -> None:
        """Deliver what is there, and something new."""
        Path(os.environ["FRANKING_CONFIG"]).unlink(missing_ok=True)
        save(port)
        (new,) = self.box.put_many("shop", [franking.Message(to="new@example.com", text="x" * 300_000)])
        for entry in self.box.list(state="queued"):
            self.box.retry(entry.id)
        self.box.run(once=True)
        for name in [*self.entries, new.id]:
            entry = self.box.get(name)
            assert entry.state in {*FINISHED, "unknown"}, entry


@pytest.fixture
def usable() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def laid(directory: Path, left: dict[str, bytes | None], root: str) -> Path:
    """Lay a state down; return where its outbox is."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    for path, octets in sorted(left.items()):
        place = directory / os.path.relpath(path, root)
        if octets is None:
            place.mkdir(mode=0o700)
        else:
            place.touch(mode=0o600)
            place.write_bytes(octets)
    return directory / "state" / "outbox"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_power_is_lost_between_any_two_writes(kind: str, library: Path, tmp_path: Path, usable: SmtpServer) -> None:
    root = tmp_path / "watched"
    program(library, "watch", root, f"{root}.log")
    records = list(read(Path(f"{root}.log")))
    assert sum(record.kind == "w" for record in records) > 200
    chance, told, disk = random.Random(7), Told(), Disk(str(root))
    states, changed = 0, True
    for record in records:
        if record.kind == "T":
            told.append(record.told)
            changed = True
            continue
        if kind == "synced" and not changed:  # what is only written changes nothing there
            disk.does(record)
            changed = record.kind in "sd"
            continue
        for _ in range((8 if WHOLE else 1) if kind == "mixed" else 1):
            left = Left(told, laid(tmp_path / "left", disk.leaves(kind, chance), str(root)))
            left.check()
            states += 1
            if states % (5 if WHOLE else 40) == 0:
                left.use(usable.port)
            left.box.close()
        disk.does(record)
        changed = record.kind in "sd"
    assert not any(one["what"] in ("failed", "broken") for one in told)


FAILURES = {"killed": 0, "full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("transient", [False, True], ids=["for good", "once"])
@pytest.mark.parametrize("failure", FAILURES)
def test_it_fails_at_any_write(
    failure: str, transient: bool, library: Path, tmp_path: Path, usable: SmtpServer
) -> None:
    if failure == "killed" and transient:
        pytest.skip("nobody is killed once")
    place = tmp_path / "d"
    place.mkdir()
    every = 1 if WHOLE else 25
    program(library, "fail", place, FAILURES[failure], every, 0, int(transient))
    logs = sorted(place.glob("*.log"), key=lambda path: int(path.stem))
    assert len(logs) > 300 // every
    for log in logs:
        told = [record.told for record in read(log)]
        try:
            as_it_is(told, failure, log.with_suffix("") / "state" / "outbox", usable.port)
        except BaseException as problem:
            problem.add_note(f"at change {log.stem}: {told[-4:]}")
            raise


def as_it_is(told: Told, failure: str, outbox: Path, port: int) -> None:
    for one in told:
        assert one["what"] != "broken", one
        if one["what"] == "failed" and one["error"] == "SendError" and failure != "read-only":
            assert one["temporary"], one
    left = Left(told, outbox)
    # whether a commit is there whose sync failed, only the next who opens it can say
    left.failed |= failure == "broken"
    left.check()
    left.use(port)
    left.box.close()
    shutil.rmtree(outbox)
