"""Which account a command works with: a saved one, an account URL, or unsaved settings given as flags."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from franking import Account, SettingsError
from franking_cli.console import Console
from franking_cli.flags import account_from

__all__ = ["account_of", "password_from_stdin"]


def account_of(name: str | None, settings: Mapping[str, Any], console: Console) -> Account:
    """Find the account: flags alone make an unsaved one; flags beside a name change that account for this run only."""
    from franking.config import resolve

    if name is None and ("provider" in settings or "host" in settings or "sender" in settings):
        return account_from(settings)
    found = resolve(name)
    if not settings:
        return found
    given = dict(settings)
    if given.pop("provider", found.provider) != found.provider:
        raise SettingsError(
            f"provider: {found.name!r} is a {found.provider} account; leave its name out to test other settings.", field="provider"
        )
    if given.pop("no_auth", False):
        given["username"] = None
    return found.replace(**given)


def password_from_stdin() -> str:
    """Read a password from the first line of stdin, without its line end."""
    line = sys.stdin.readline()
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise SettingsError("password: nothing came from stdin; pipe the password in, as in: printf '%s' \"$PASSWORD\" | franking …")
    return password
