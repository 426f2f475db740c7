"""What an account's settings and stored secret look like, as a short text: when it changes, a waiting account is tried
at once. It holds no secret, nor anything made of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from franking.account.config import BY_ROUTE, load, location
from franking.auth.store import open_store
from franking.errors import FrankingError

__all__ = ["Stamps"]


class Stamps:
    """Tell each account's stamp; the settings file is read again only when it changed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._seen: tuple[object, ...] = ()
        self._sections: dict[str, str] = {}

    def __call__(self, account: str) -> str:
        account = account.partition(BY_ROUTE)[0]
        path = Path(location(self._environ))
        seen = _state(path)
        if seen != self._seen:
            self._seen, self._sections = seen, {}
        if account not in self._sections:
            self._sections[account] = self._section(account)
        return f"{self._sections[account]} {self._secret(account)}"

    def _section(self, account: str) -> str:
        try:
            config = load(self._environ)
        except FrankingError as unreadable:
            said = str(unreadable)
        else:
            table = dict(config.tables.get(account, {}))
            said = repr((table, dict(config.defaults.get(str(table.get("provider")), {}))))
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def _secret(self, account: str) -> str:
        try:
            return open_store(self._environ).stamp(account)
        except FrankingError:
            return ""


def _state(path: Path) -> tuple[object, ...]:
    """Return what changes whenever a file is written anew."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ino, found.st_size)
