"""The provider ``file``: every message becomes an .eml file in a directory, or a mail in a Maildir. For development,
and the smallest example.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.fields import Field
from franking.errors import Evidence, FrankingError, Refused, SettingsError
from franking.provider import Destination, Facts, Receipt, RouteFacts, Step, Steps
from franking.session_guard import SessionGuard
from franking.text import size_in_words

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.diagnosis.rules import Rule
    from franking.message.address import Address, Envelope
    from franking.message.content import Content
    from franking.provider import Observer

__all__ = ["FileProvider"]

_counter = count(1)


class FileProvider:
    """Write messages down instead of sending them."""

    name = "file"
    title = "Files (.eml or Maildir)"
    fields = (Field("path", "path", help="Directory for .eml files, or a Maildir (one with new, cur and tmp in it)."),)
    facts = Facts(routes=(RouteFacts("file", why="Nothing leaves this machine."),), url_form="path", local=True)

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.diagnosis.rules import Rule

        return (
            Rule(
                "file.cannot-write",
                kind=("store",),
                step=("accepted", "connect"),
                note="directory missing, full or not writable",
            ),
        )

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        """Ask for the directory; nothing else depends on anything."""
        if not settings["path"]:
            raise SettingsError('path: a file account needs a directory, such as path = "/tmp/mail".', field="path")
        return settings

    def route(self, account: Account) -> str:
        return "file"

    def destination(self, account: Account) -> Destination:
        return Destination(str(account.path))

    def open(self, account: Account, secret: Secret, observer: Observer) -> FileSession:
        directory = Path(account.path).expanduser()
        steps = Steps(observer)
        with steps("connect"):
            steps.detail = str(directory)
            try:
                directory.mkdir(exist_ok=True)  # the last one only: a URL from a form should not grow trees
            except OSError as problem:
                raise _cannot_write(directory, problem, "connect") from problem
        return FileSession(account.name, directory, observer)


class FileSession:
    """Write each message whole: under another name first, then renamed, so that nobody ever reads half of one."""

    def __init__(self, account: str, directory: Path, observer: Observer) -> None:
        self._account, self._directory = account, directory
        self._maildir = all((directory / part).is_dir() for part in ("tmp", "new", "cur"))
        self._observer = observer
        self._guard = SessionGuard()

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        with self._guard:
            return self._write(envelope, content)

    def _write(self, envelope: Envelope, content: Content) -> Receipt:
        started = time.perf_counter()
        self._observer(Step("message", "running"))
        name = f"{time.time():.6f}.{os.getpid()}_{next(_counter)}.{socket.gethostname().replace('/', '_')}"
        draft, final = self._directory / f".{name}.part", self._directory / f"{name}.eml"
        if self._maildir:
            draft, final = self._directory / "tmp" / name, self._directory / "new" / name
        size = 0
        try:
            with draft.open("xb") as file:
                for chunk in content.chunks(bcc=False):
                    file.write(chunk)
                    size += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(final)
        except OSError as problem:
            draft.unlink(missing_ok=True)
            failed = _cannot_write(self._directory, problem, "accepted")
            self._observer(Step("message", "failed", _since(started), failed.message))
            raise failed from problem
        except BaseException as broken:
            draft.unlink(missing_ok=True)
            self._observer(Step("message", "failed", _since(started)))
            if not isinstance(broken, FrankingError):
                broken.possibly_sent = False  # type: ignore[attr-defined]  # Ctrl-C
            raise
        self._observer(Step("message", "ok", _since(started), size_in_words(size)))
        self._observer(Step("accepted", "ok", 0.0, str(final)))
        return Receipt(
            message_id=content.message_id,
            route="file",
            reply=f"written to {final}",
            provider_id=name,
            accepted=envelope.recipients,
            bytes=size,
            ms=_since(started),
            account=self._account,
        )

    def close(self) -> None:
        """Nothing is held open between messages."""

    def abort(self) -> None:
        """Nothing is held open between messages."""


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _cannot_write(directory: Path, problem: OSError, step: str) -> Refused:
    evidence = Evidence(
        "store", text=problem.strerror or str(problem), details={"errno": problem.errno, "path": str(directory)}
    )
    return Refused(
        f"The message could not be written to {directory}: {problem.strerror}.", step=step, evidence=evidence
    )
