"""A program that does all that is done with an outbox, on a disk that disk.c watches; what was told meanwhile goes into
the same log: what ``queue`` returned for, what every step led to, what the server accepted.

    python disk.py watch DIRECTORY LOG              once, every change of a file into the log
    python disk.py fail DIRECTORY ERROR FORMS EVERY FIRST   in a child for each change: there it dies (ERROR 0) or fails
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import franking
import franking.outbox.runner  # warm: a child begins at once
import franking.smtp.session
from franking.errors import FrankingError
from servers.smtp import Fault, SmtpServer, hangs_up

LARGE = 300_000
DISK = ctypes.CDLL(None)
FOREVER = 1 << 40


def tell(what: str, **more: Any) -> None:
    said = json.dumps({"what": what, **more}).encode()
    DISK.disk_told(said, ctypes.c_long(len(said)))


class Accepted(list[Any]):
    """The server's messages; each is told of before the client hears of it."""

    def append(self, received: Any) -> None:
        super().append(received)
        head = received.data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        name = next(line[12:].strip() for line in head.splitlines() if line.lower().startswith("message-id: "))
        tell("accepted", message_id=name, to=received.recipients)


def message(to: str, octets: int = 100) -> franking.Message:
    return franking.Message(to=to, subject="x", text=("y" * 70 + "\n") * (octets // 71))


class Acts:
    """Everything that is done, a step each."""

    def __init__(self) -> None:
        self.box = franking.Outbox()
        self.mailer = franking.connect("shop")

    def put(self) -> None:
        self._told([self.mailer.queue(message("a@example.com"), key="one")])

    def put_large(self) -> None:
        self._told([self.mailer.queue(message("b@example.com", LARGE), key="two")])

    def put_many(self) -> None:
        self.box.database.rows("PRAGMA wal_autocheckpoint = 25")  # one that falls into these few writes
        addresses = ["no@example.com", "later@example.com", *(f"m{number}@example.com" for number in range(4))]
        pairs = [(message(each, LARGE if each == "m3@example.com" else 2000), each) for each in addresses]
        self._told(list(self.box.put_many("shop", pairs)))

    def run(self) -> None:
        self.box.run(once=True)

    def cancel(self) -> None:
        self.box.cancel(self._one("queued"))

    def again(self) -> None:
        self.box.retry(self._one("cancelled"))

    def sent(self) -> None:
        self.box.resolve(self._one("unknown"), "sent")

    def close(self) -> None:
        self.mailer.close()
        self.box.close()

    def purge(self) -> None:
        self.box.purge(older_than=0)

    def run_again(self) -> None:
        self._told([self.mailer.queue(message("c@example.com", LARGE))])
        self.box.run(once=True, window=4)

    def _one(self, state: str) -> str:
        found = self.box.list(state=state)
        if not found:
            raise franking.SettingsError(f"nothing is {state}")
        return found[-1].id

    def _told(self, entries: list[franking.OutboxEntry]) -> None:
        for entry in entries:
            digest = hashlib.sha256(b"".join(self.box.octets(entry.id))).hexdigest()
            tell("put", id=entry.id, digest=digest, key=entry.key)


STEPS = ("put", "put_large", "put_many", "run", "cancel", "again", "sent", "close", "purge", "run_again", "close")


def act() -> None:
    Path(os.environ["FRANKING_CONFIG"]).unlink(missing_ok=True)
    refused = {"no@example.com": "550 5.1.1 unknown", "later@example.com": "450 4.2.1 later"}
    with SmtpServer(refused=refused, faults=[Fault("body", hangs_up, executed=True, nth=3)]) as server:
        server.messages = Accepted()
        Path(os.environ["FRANKING_CONFIG"]).write_text(
            "[outbox]\nnotify = 'boss@example.com'\n"
            "[accounts.shop]\nprovider = 'smtp'\nfrom = 'shop@example.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
            f"port = {server.port}\ntimeout = 20\n"
        )
        acts = Acts()
        for step in STEPS:
            tell("begin", step=step)
            try:
                getattr(acts, step)()
                states = None if step == "close" else {entry.id: entry.state for entry in acts.box.list(limit=1000)}
                tell("end", step=step, states=states)
            except FrankingError as error:
                tell("failed", step=step, error=type(error).__name__, temporary=error.temporary, text=str(error))
            except BaseException as error:
                tell("broken", step=step, error=repr(error))
                raise


def watched(directory: Path, record: bool) -> None:
    """Begin to watch a directory; its log lies beside it."""
    directory.mkdir(mode=0o700)
    os.environ["FRANKING_CONFIG"] = f"{directory}.toml"
    os.environ["FRANKING_STATE_DIR"] = str(directory / "state")
    os.environ["FRANKING_OUTBOX"] = str(directory / "state" / "outbox")
    log = os.open(f"{directory}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    DISK.disk_watch(str(directory).encode(), log, int(record))


def in_child(do: Callable[[], None]) -> int:
    """Do something in a child; return how it ended."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            do()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def fail_everywhere(directory: Path, error: int, every: int, first: int, transient: bool) -> None:
    """Do everything once for each change, in a directory named after its number, until one comes through."""
    number = first
    while True:

        def child(number: int = number) -> None:
            watched(directory / str(number), record=False)
            last = number if transient else FOREVER
            DISK.disk_fails(ctypes.c_long(number), ctypes.c_long(last), error)
            act()
            if DISK.disk_count() <= number:
                tell("through")

        status = in_child(child)
        if b'"through"' in (directory / f"{number}.log").read_bytes():
            return
        assert os.WIFSIGNALED(status) if not error else status == 0, (number, status)
        number += every


if __name__ == "__main__":
    how, place, *more = sys.argv[1:]
    if how == "watch":
        watched(Path(place), record=True)
        act()
    else:
        code, every, first, transient = map(int, more)
        fail_everywhere(Path(place), code, every, first, bool(transient))
