"""Which account a command works with: a saved one, an account URL, or unsaved settings given as flags. And the password that was piped in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from franking import Account, SettingsError
from franking_cli.console import Console
from franking_cli.flags import account_from, words

__all__ = ["account_of", "password_from_stdin", "password_of", "typed"]


def account_of(name: str | None, settings: Mapping[str, Any], *more: str) -> Account:
    """Find the account: flags alone make an unsaved one; flags beside a name change that account for this run only.

    ``more`` are further flags that stand for it when the command is typed again.
    """
    from franking.config import resolve, unsaved

    flags = (*words(settings), *more)
    if name is None and ("provider" in settings or "host" in settings or "sender" in settings):
        return unsaved(account_from(settings), flags)
    found = resolve(name)
    given = dict(settings)
    if given.pop("provider", found.provider) != found.provider:
        raise SettingsError(
            f"provider: {found.name!r} is an account of {found.provider}; leave its name out to test other settings.", field="provider"
        )
    if given.pop("no_auth", False):
        given["username"] = None
    return found.replace(**given).referred_to_as(found.reference, (found.reference, *flags))


def typed(name: str | None) -> str | None:
    """Give the name that was typed, for the report of an error; not a URL, which somebody may have put a password into."""
    return None if name is None or "://" in name else name


def password_of(console: Console, account: Account, *, from_stdin: bool) -> str | None:
    """Take a piped password; ask for that of an unsaved account, where somebody can be asked; None leaves it to the usual sources."""
    from franking.credentials import find_password, needs_secret
    from franking.registry import provider
    from franking.stores import open_store

    if from_stdin:
        return password_from_stdin()
    found = provider(account.provider)
    unsaved = account.words[:1] != (account.reference,)
    if not unsaved or not console.interactive or found.facts.oauth or not needs_secret(account, found):
        return None
    if find_password(account, open_store(), os.environ) is not None:
        return None
    return console.ask(f"Password of {account.get('username') or account.name}", hidden=True, flag="--password-stdin")


def password_from_stdin() -> str:
    """Read a password from the first line of stdin, without its line end; on a terminal nothing is shown while it is typed."""
    if sys.stdin.isatty():
        import getpass

        password = getpass.getpass("Password: ", stream=sys.stderr)
    else:
        raw = getattr(sys.stdin, "buffer", None)
        try:
            line = sys.stdin.readline() if raw is None else raw.readline().decode()
        except UnicodeDecodeError:
            raise SettingsError("password: what came from stdin is not UTF-8.", field="password") from None
        password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise SettingsError(
            "password: nothing came from stdin; pipe the password in, as in: printf '%s' \"$PASSWORD\" | franking …", field="password"
        )
    return password
