"""The exit codes of ``franking``: which error ends with which. Those of ``franking-sendmail`` are sysexits.h's.

The first that fits: 3 outcome unknown · 130 interrupted · 2 usage, settings or message · 4 sign-in needed · 5 temporary
· 1 failed for good · 0 done.
"""

from __future__ import annotations

from franking.errors import FrankingError, LoginRequired, MessageError, SettingsError

__all__ = ["exit_code"]


def exit_code(error: FrankingError | None) -> int:
    """Return the exit code of an error, the first that fits (0 for none)."""
    if error is None:
        return 0
    if error.possibly_sent:
        return 3
    if isinstance(error, SettingsError | MessageError):
        return 2
    if isinstance(error, LoginRequired):
        return 4
    return 5 if (error.diagnosis or error).temporary else 1
