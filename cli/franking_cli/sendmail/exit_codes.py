"""The exit codes of sendmail(8) (sysexits.h): which error ends with which, and the one line that tells of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CANTCREAT = 73
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78


def failed(error: Any) -> int:
    """Tell of an error, and return its exit code."""
    text = str(error)
    if error.diagnosis and error.diagnosis.title not in text:
        text += f" ({error.diagnosis.title})"
    complain(text)
    return exit_code(error)


def exit_code(error: Any) -> int:
    """Return the code of sysexits.h for an error. Unknown is 70 and never 75: callers requeue on 75, and would send
    twice.
    """
    from franking.errors import LoginRequired, MessageError, SettingsError

    if error.possibly_sent:
        return EX_SOFTWARE
    if isinstance(error, MessageError):
        return EX_NOUSER if error.field == "recipient" else EX_DATAERR
    if isinstance(error, SettingsError):
        return EX_CANTCREAT if error.evidence is not None and error.evidence.kind == "outbox" else EX_CONFIG
    if isinstance(error, LoginRequired):
        return EX_NOPERM
    if (error.diagnosis or error).temporary or _later(error):
        return EX_TEMPFAIL
    return _for_good(error)


def _for_good(error: Any) -> int:
    from franking.errors import LoginError, RecipientsRefused

    if isinstance(error, LoginError):
        return EX_NOPERM
    return EX_NOUSER if isinstance(error, RecipientsRefused) else EX_UNAVAILABLE


def _later(error: Any) -> bool:
    """Return whether somebody is refused for now behind one who is refused for good, whom the diagnosis is about."""
    first, *others = [refusal["temporary"] for refusal in getattr(error, "refused", {}).values()] or [True]
    return not first and any(others)


def partly_refused(refused: Mapping[str, Any]) -> int:
    """Tell of recipients that were refused while others were accepted, and return the exit code."""
    (address, refusal), *others = refused.items()
    if others:
        address = f"{address} (and {len(others)} more)"
    complain(f"{address} was refused, the others were accepted: {refusal['reply']}")
    return EX_UNAVAILABLE


def complain(text: str) -> None:
    """Print one line on stderr, where there is one."""
    from franking.text import one_line

    if sys.stderr is not None:
        print(f"franking-sendmail: {one_line(text, 900)}", file=sys.stderr)
