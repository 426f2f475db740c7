"""Mail from logs: a ``logging.Handler`` that collects records and mails them as a digest, without ever holding up the
program.

    handler = franking.loghandler.MailHandler("shop", to="ops@example.com")
    logging.getLogger().addHandler(handler)

Records are formatted at once and mailed by a thread of the handler's own: the first soon, then at most one digest in
``interval`` seconds. What is too much is counted, not kept. At the end of the program ``logging.shutdown`` flushes and
closes it, as every handler. Records of Franking itself, and of the handler's own thread, are ignored, so that its
failures feed nothing.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from franking.redaction import veiled

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.sending.mailer import Mailer

__all__ = ["MailHandler"]


class MailHandler(logging.Handler):
    """Mail log records of ``level`` and above.

    ``account`` and ``options`` are those of ``franking.connect``. ``gather`` is how many seconds the first record waits
    for others, ``interval`` the least time between two mails, ``capacity`` the most records kept for one digest (the
    rest is counted), ``exit_timeout`` how long the end of the program may be held up to mail what is left. All in
    seconds.
    """

    def __init__(
        self,
        account: str | Account | None,
        to: str | Sequence[str],
        *,
        subject: str | None = None,
        level: int = logging.ERROR,
        gather: float = 2.0,
        interval: float = 300.0,
        capacity: int = 200,
        exit_timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        options["secret"] = veiled(options.get("secret"))
        super().__init__(level)
        self._account, self._options = account, options
        self._to = [to] if isinstance(to, str) else list(to)
        self._subject = subject
        self._gather, self._interval, self._capacity, self._exit_timeout = gather, interval, capacity, exit_timeout
        self._clock = clock
        self._begin()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._records: deque[tuple[int, str, str]] = deque()
        self._dropped = 0
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due: float | None = None
        self._earliest = self._clock()
        self._flushing: bool = False
        self._stopping: bool = False
        self._mailer: Mailer | None = None
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; returns at once."""
        if record.name.partition(".")[0] == "franking" or threading.current_thread() is self._thread:
            return
        if os.getpid() != self._pid:
            self._begin()  # a forked child has no thread of ours, and the parent mails the parent's records
        try:
            text = self.format(record)
            title = record.getMessage().strip().partition("\n")[0]
        except Exception:  # noqa: BLE001  (the program's own mistake in a log call: reported as logging does)
            self.handleError(record)
            return
        with self._wake:
            if self._stopping:
                return
            self._last = record
            if len(self._records) >= self._capacity:
                self._dropped += 1
                return
            self._records.append((record.levelno, title, text))
            if self._due is None:
                self._due = max(self._clock() + self._gather, self._earliest)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="franking log mail", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and not self._flushing and (left := self._left()) > 0:
                    self._wake.wait(min(left, threading.TIMEOUT_MAX))
                records, dropped, last = list(self._records), self._dropped, self._last
                self._records.clear()
                self._dropped, self._due = 0, None
            if records:
                self._mail(records, dropped, last)
            with self._wake:
                self._postpone()
                if not self._records:
                    self._flushing = False
                    self._wake.notify_all()
                    if self._stopping:
                        return

    def _left(self) -> float:
        """Return the seconds until the next digest is due; infinite while there is nothing to mail."""
        if self._due is None:
            return math.inf
        return self._due - self._clock()

    def _postpone(self) -> None:
        """Let what came meanwhile wait for the next digest."""
        self._earliest = self._clock() + self._interval
        if self._due is not None:
            self._due = max(self._due, self._earliest)

    def _mail(self, records: list[tuple[int, str, str]], dropped: int, last: logging.LogRecord | None) -> None:
        from franking.sending.connect import connect

        try:
            if self._mailer is None:
                self._mailer = connect(self._account, **self._options)
            self._mailer.send(self._digest(records, dropped))
        except Exception:  # noqa: BLE001  (a log mail that fails must not end the thread; reported as logging does)
            if last is not None:
                self.handleError(last)

    def _digest(self, records: list[tuple[int, str, str]], dropped: int) -> Any:
        from franking.message.message import Message
        from franking.text import blanked

        worst, title, _ = max(records, key=lambda one: one[0])
        more = len(records) + dropped - 1
        subject = self._subject or f"[{logging.getLevelName(worst)}] {socket.gethostname()}: {title}"
        subject = blanked(subject)[:160]
        if more:
            subject += f" (and {more:,} more)"
        body = "\n".join(text for _, _, text in records)
        if dropped:
            body += f"\n\n{dropped:,} more records came and were not kept (the digest holds {self._capacity})."
        return Message(
            to=self._to,
            subject=subject,
            text=body.encode("utf-8", "replace").decode().replace("\0", "\\0") + "\n",
            headers={"Auto-Submitted": "auto-generated"},
        )

    def flush(self) -> None:
        """Mail what is there now, and wait until that is done (at most ``exit_timeout`` seconds)."""
        with self._wake:
            thread = self._thread  # in a forked child it has ended
            if thread is None or not thread.is_alive() or threading.current_thread() is thread:
                return
            self._flushing = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._flushing, self._exit_timeout)

    def close(self) -> None:
        """Mail what is left, end the thread, close the connection."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        thread = self._thread
        if os.getpid() == self._pid:
            if thread is not None and threading.current_thread() is not thread:
                thread.join(self._exit_timeout)
            if self._mailer is not None:
                self._mailer.close()
        super().close()
