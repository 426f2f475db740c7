"""What an account's settings and secret look like, as a short text: when it changes, a waiting account is tried
at once. It holds no secret, nor anything made of one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from franking.account.config import BY_ROUTE, load, location
from franking.errors import FrankingError, discreet
from franking.redaction import Veiled
from franking.registry import provider

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["Stamps"]


class Stamps:
    """Tell each account's stamp: its settings, its stored secret, and the files that its settings name as secrets. The
    settings file is read again only when it changed; a store that is away has what it had before.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = Veiled(os.environ if environ is None else environ)  # it holds secrets
        self._seen: tuple[object, ...] = ()
        self._sections: dict[str, tuple[str, list[Path]]] = {}
        self._secrets: dict[str, str] = {}

    def __call__(self, account: str) -> str:
        with discreet:
            return self._stamp(account.partition(BY_ROUTE)[0])

    def _stamp(self, account: str) -> str:
        seen = _state(Path(location(self._environ.reveal())))
        if seen != self._seen:
            self._seen, self._sections = seen, {}
        if account not in self._sections:
            self._sections[account] = self._section(account)
        section, files = self._sections[account]
        return " ".join((section, self._secret(account), *map(_short, files)))

    def _section(self, account: str) -> tuple[str, list[Path]]:
        files: list[Path] = []
        try:
            config = load(self._environ.reveal())
        except FrankingError as unreadable:
            said = str(unreadable)
        else:
            table = dict(config.tables.get(account, {}))
            said = repr((table, dict(config.defaults.get(str(table.get("provider")), {}))))
            with suppress(FrankingError):  # an account that cannot be used names no file
                files = _files(config.account(account))
        return hashlib.sha256(said.encode()).hexdigest()[:16], files

    def _secret(self, account: str) -> str:
        from franking.auth.store import open_store  # a relay asks for no stamp before an account is held

        with suppress(FrankingError):
            self._secrets[account] = open_store(self._environ.reveal()).stamp(account)
        return self._secrets.get(account, "")


def _files(account: Account) -> list[Path]:
    """Return the files with a secret that an account names."""
    names = [field.name for field in provider(account.provider).fields if field.private]
    return [Path(path).expanduser() for name in names if (path := account.get(name))]


def _short(path: Path) -> str:
    return "-".join(map(str, _state(path)))


def _state(path: Path) -> tuple[object, ...]:
    """Return what changes whenever a file is written anew."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ino, found.st_size)
