"""Where the page's accounts are: the small interface that an application fills, and ``AccountFile``, Franking's own
settings file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from franking.account import editing
from franking.account.account import Account
from franking.account.config import config_path, load
from franking.account.environment import setting_variable
from franking.errors import SettingsError
from franking.registry import provider as provider_named

__all__ = ["AccountFile", "AccountSource", "KeepsFiles", "KnowsDefaults", "KnowsProblems"]


class AccountSource(Protocol):
    """Where accounts are kept; an application may keep them in its database."""

    def list(self) -> Iterable[str]:
        """Return the names, in the order in which a person wants to see them."""

    def get(self, name: str) -> Account:
        """Return one account. Raises ``KeyError`` where there is none."""

    def put(self, account: Account) -> object:
        """Save an account, a new one or a changed one."""

    def remove(self, name: str) -> object:
        """Forget an account. Raises ``KeyError`` where there is none."""


@runtime_checkable
class KnowsDefaults(Protocol):
    """A source in which a setting may come from elsewhere than the account."""

    def defaults(self, provider: str) -> Mapping[str, tuple[Any, str]]:
        """Return, by key, what holds for all accounts of a provider, and the environment variable that says so (or
        nothing).
        """


@runtime_checkable
class KnowsProblems(Protocol):
    """A source that may be unable to save."""

    def problem(self) -> str | None:
        """Return why nothing can be saved now, with what would mend it, or None."""


@runtime_checkable
class KeepsFiles(Protocol):
    """A source that keeps the file by which an application makes itself known to a provider."""

    def keep(self, name: str, data: bytes) -> str:
        """Keep it for an account of this name, for nobody else to read; return its path."""


class AccountFile:
    """The accounts of the settings file; ``environ`` by default the process's. Read anew for each request."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def list(self) -> Iterable[str]:
        return load(self._environ).names

    def get(self, name: str) -> Account:
        config = load(self._environ)
        if name not in config.names:
            raise KeyError(name)
        return config.account(name)

    def put(self, account: Account) -> None:
        editing.save(account, replace=True, environ=self._environ)

    def remove(self, name: str) -> None:
        if name not in load(self._environ).names:
            raise KeyError(name)
        editing.remove(name, self._environ)

    def defaults(self, provider: str) -> Mapping[str, tuple[Any, str]]:
        """Return the defaults of ``[providers.…]`` and of the environment, with the variable that sets one."""
        found = load(self._environ).defaults_of(provider_named(provider))
        variables = {key: setting_variable(provider, key) for key in found}
        return {
            key: (value, variables[key] if self._environ.get(variables[key]) else "") for key, value in found.items()
        }

    def keep(self, name: str, data: bytes) -> str:
        from franking.atomic import make_private, write_whole

        path = config_path(self._environ).parent / f"{name}.client.json"
        make_private(path.parent)
        write_whole(path, data)
        return str(path)

    def problem(self) -> str | None:
        path = config_path(self._environ)
        try:
            read = load(self._environ)
        except SettingsError as problem:
            return str(problem)
        if not read.own and read.exists:
            return f"{read.location} is read by every user of this computer and is not changed here."
        place = path.resolve()
        if place.exists() and os.name == "posix":
            import shlex

            info = place.stat()
            if info.st_mode & 0o022:
                return f"{path} may be written to by other users of this computer: chmod go-w {shlex.quote(str(path))}"
            if info.st_uid not in (0, os.geteuid()):
                return f"{path} belongs to another user (uid {info.st_uid})."
        folder = place.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not os.access(folder, os.W_OK):
            return f"{folder} cannot be written to."
        return None
