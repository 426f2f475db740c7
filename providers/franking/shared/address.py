"""What is read off a shared store's address, which may hold a password: how it is shown, and what is never shown. Which
server it names is ``opening.py``'s.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from franking.redaction import Redactor
from franking.shared import failures

__all__ = ["check", "secrets_of", "shown"]

_SECRETS = ("password", "sslpassword", "passfile")
"""Options of an address that are as secret as its password is."""


def shown(url: str) -> str:
    """Return an address without its user and password, and without its options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def secrets_of(url: str) -> Redactor:
    """Return what takes an address's password out of the words of a server or a library, which may repeat it."""
    parts = urlsplit(url)
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    options = [value for name, value in parse_qsl(parts.query) if name in _SECRETS]
    return Redactor([one for one in (written, unquote(written), *options) if one])


def check(url: str, *, step: str) -> None:
    """Raise ``SettingsError`` for an address whose password ends the server's name early: the rest of it would be taken
    for something that is shown. Nothing of it is repeated.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise failures.misfit("the address cannot be read", step=step) from None
    behind = f"{parts.path}{parts.fragment}" if "@" in parts.netloc else f"{parts.path}{parts.fragment}{parts.query}"
    if "@" in behind:
        raise failures.misfit(
            "the address cannot be read: in a user's name, a password or an option, write @ as %40, / as %2F, "
            "? as %3F and # as %23",
            step=step,
        )
