"""Franking's errors as application code catches them today: each is smtplib's error for the same misfortune too, so
that ``except SMTPException`` and ``except (SMTPException, OSError)`` go on working when the backend is changed.

They are Franking's errors with all that these carry, and pickle. ``smtp_code``, ``smtp_error`` and ``recipients`` are
what smtplib would have said.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager

from franking import errors

__all__ = ["as_smtplib"]


class _Worded(Exception):
    """Stand between an error of Franking and one of smtplib, which would be made of a reply code."""

    evidence: errors.Evidence | None

    def __init__(self, message: str) -> None:
        self.args = (message,)

    @property
    def smtp_code(self) -> int:
        """Return the server's reply code; -1, as smtplib has it, where no SMTP server spoke."""
        seen = self.evidence
        if seen is None or seen.code is None or seen.kind not in ("smtp", "sasl"):
            return -1
        return seen.code

    @property
    def smtp_error(self) -> bytes:
        """Return what the other side said."""
        seen = self.evidence
        if seen is None:
            return b""
        return " ".join(part for part in (seen.enhanced, seen.text) if part).encode()


class _ForEach(_Worded):
    refused: dict[str, dict[str, str]]

    @property
    def recipients(self) -> dict[str, tuple[int, bytes]]:
        """Return the code and the text of the reply to each recipient."""
        return {address: _coded(answer["reply"]) for address, answer in self.refused.items()}


def _coded(reply: str) -> tuple[int, bytes]:
    code, _, text = reply.partition(" ")
    if not code.isdigit():  # an API's words
        return -1, reply.encode()
    return int(code), text.encode()


_KIN: dict[type[errors.FrankingError], type[errors.FrankingError]] = {
    ours: type(ours.__name__, (ours, mixin, theirs), {"__module__": __name__, "__doc__": ours.__doc__})
    for ours, mixin, theirs in (
        (errors.SettingsError, _Worded, smtplib.SMTPException),
        (errors.MessageError, _Worded, smtplib.SMTPException),
        (errors.LoginRequired, _Worded, smtplib.SMTPException),
        (errors.SendError, _Worded, smtplib.SMTPException),
        (errors.LockLost, _Worded, smtplib.SMTPException),
        (errors.TLSError, _Worded, smtplib.SMTPException),
        (errors.ConnectError, _Worded, smtplib.SMTPServerDisconnected),
        (errors.ConnectTimeout, _Worded, smtplib.SMTPServerDisconnected),
        (errors.OutcomeUnknown, _Worded, smtplib.SMTPServerDisconnected),
        (errors.LoginError, _Worded, smtplib.SMTPAuthenticationError),
        (errors.Refused, _Worded, smtplib.SMTPResponseException),
        (errors.Throttled, _Worded, smtplib.SMTPResponseException),
        (errors.RecipientsRefused, _ForEach, smtplib.SMTPRecipientsRefused),
    )
}
globals().update({kind.__name__: kind for kind in _KIN.values()})  # where pickle looks for them


@contextmanager
def as_smtplib() -> Iterator[None]:
    """Raise the errors of Franking that pass through as smtplib's too."""
    try:
        yield
    except errors.FrankingError as problem:
        if isinstance(problem, smtplib.SMTPException):
            raise
        raise _kin(problem) from problem.__cause__


def _kin(problem: errors.FrankingError) -> errors.FrankingError:
    kind = next(_KIN[base] for base in type(problem).__mro__ if base in _KIN)
    made = kind(problem.message)
    made.__dict__.update(problem.__dict__)
    return made.with_traceback(problem.__traceback__)
