"""What is kept of each send, however it came about: a line in the send log, where one is wanted, and whether the last
send of an account failed for a lasting reason, for ``franking health``.

It sends nothing and decides nothing. Where nothing is to be told nothing is written; what cannot be written is logged,
and stops no mail. The files are ``send_log.py``'s and ``last_failures.py``'s.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from franking.account.environment import state_folder
from franking.errors import FrankingError, LoginError, LoginRequired, OutcomeUnknown, Refused, SettingsError, TLSError

if TYPE_CHECKING:
    from logging import Logger

    from franking.account.account import Account
    from franking.message.prepare import Prepared
    from franking.provider import Receipt
    from franking.sending.send_log import SendLog

__all__ = ["Record", "info", "is_lasting"]

_INFO = 20  # logging.INFO
_LASTING = (LoginRequired, LoginError, SettingsError, TLSError)


def is_lasting(error: FrankingError) -> bool:
    """Return whether nothing is sent until a person does something: sign-in, login, settings, TLS. It is never about a
    recipient or a message, and an account that somebody switched off does what it should.
    """
    found = error.explained()
    if found is None or found.code == "account.disabled" or error.possibly_sent:
        return False
    return isinstance(error, _LASTING) and not (error.temporary or found.temporary)


class Record:
    """Keep what is worth keeping of one mailer's sends. Shared by threads."""

    on = True
    """Whether what is sent really leaves."""

    def __init__(self, account: Account, *, own: bool) -> None:
        """``own``: its secret is the one that is stored for it, not one that a program gave."""
        self._account = account
        self._file = os.path.join(state_folder(os.environ), "health.json") if own and account.saved else ""
        self._log: SendLog | None = None
        self._asked = False

    def accepted(self, receipt: Receipt, prepared: Prepared) -> None:
        """Keep that a message was accepted: by this account, or by one that stood in and has kept it itself."""
        if receipt.account not in ("", self._account.name) or not self.on:
            return
        if self._file and os.access(self._file, os.F_OK):
            self._change(None)
        if self._log is not None:
            self._write(prepared, "accepted", ms=round(receipt.ms, 1))

    def failed(self, error: FrankingError, prepared: Prepared, outcome: str | None = None) -> None:
        """Keep that a message was not accepted, or may have been; the error has its diagnosis."""
        self.failing(error)
        if self.on and self._log is not None:
            found = error.explained()
            self._write(prepared, outcome or _outcome(error), code=found.code if found is not None else None)

    def failing(self, error: FrankingError) -> None:
        """Keep for what lasting reason the account cannot send, if there is one."""
        if self._file and self.on and is_lasting(error):
            self._change(error)

    # -- health ------------------------------------------------------------------------------------------------------

    def _change(self, error: FrankingError | None) -> None:
        from pathlib import Path

        from franking.sending import last_failures

        path = Path(self._file)
        try:
            if error is None:
                last_failures.clear(path, self._account.name)
            elif (found := error.explained()) is not None:
                last_failures.note(path, self._account.name, found)
        except (OSError, FrankingError) as problem:
            _warn("%s cannot be written: %s", path, problem)

    # -- the log -----------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Look whether a log is wanted, once. Raises ``SettingsError`` for a ``[log]`` that is wrong; settings that
        cannot be read at all are told where they are needed.
        """
        if self._asked:
            return
        from franking.account.config import load

        self._asked = True
        try:
            config = load()
        except SettingsError:
            return
        if "log" in config.sections:
            from franking.sending.send_log import read_settings

            self._log = read_settings(config.sections["log"], os.path.dirname(config.location))

    def _write(self, prepared: Prepared, outcome: str, *, code: str | None = None, ms: float | None = None) -> None:
        import time

        from franking.outbox.entry import moment

        assert self._log is not None
        row: dict[str, Any] = {
            "time": moment(time.time()),
            "account": self._account.name,
            "message_id": prepared.content.message_id,
            "outcome": outcome,
            "code": code,
            "ms": ms,
        }
        try:
            self._log.write(row, prepared.envelope.recipients)
        except (OSError, FrankingError) as problem:
            _warn("The send log %s cannot be written: %s", self._log.path, problem)


def _outcome(error: FrankingError) -> str:
    """Return what became of one message, in the words of ``SendResult``."""
    if isinstance(error, OutcomeUnknown) or error.possibly_sent:
        return "unknown"
    if isinstance(error, Refused) and not error.temporary:
        return "refused"
    return "failed"


def info(text: str, *values: object) -> None:
    """Log, where somebody may listen: who set up logging has imported it; nobody else waits 5 ms for it."""
    if "logging" in sys.modules and (log := _log()).isEnabledFor(_INFO):
        log.info(text, *values, stacklevel=2)


def _warn(text: str, *values: object) -> None:
    _log().warning(text, *values, stacklevel=2)


@cache  # finding it anew takes two locks for each message
def _log() -> Logger:
    import logging  # 5 ms

    return logging.getLogger("franking.mailer")
