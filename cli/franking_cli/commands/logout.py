"""``franking logout``: forget a password or a sign-in on this machine; ``--revoke`` also ends it at the provider."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["command", "forget"]


@framed
def command(
    console: Console,
    account: Annotated[
        str | None, typer.Argument(help="A saved account's name, or an account URL; the default account without.")
    ] = None,
    *,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Also end the sign-in at the provider, on every machine that shares it.")
    ] = False,
) -> int:
    """Forget a password or a sign-in; the account's settings stay."""
    from franking.account.config import resolve
    from franking.auth.store import open_store
    from franking.errors import SettingsError

    store = open_store()
    try:
        found: Account | None = resolve(account)
    except SettingsError:
        if account is None or revoke or not store.path(account).exists():
            raise
        found = None  # the settings are gone or broken, the secret is still there: it can be forgotten all the same
    console.account = found
    name = found.name if found else str(account)
    said = _revoke(found, store) if revoke and found else None
    there = forget(store, name)
    if console.json_output:
        console.answer({"ok": True, "account": name, "forgotten": there, "revoked": said is not None, "detail": said})
        return 0
    if said:
        console.say(said)
    console.say(
        f"✓ {name}: forgotten on this machine." if there else f"{name}: nothing was stored.", "good" if there else None
    )
    if found:
        _warn_of_others(console, found)
    return 0


def forget(store: Any, name: str) -> bool:
    """Remove an account's secret from the store; tell whether there was one."""
    try:
        os.lstat(store.path(name))
    except (FileNotFoundError, NotADirectoryError):  # nothing there: no directory is made, no lock taken
        return False
    except OSError:  # somebody else's directory, perhaps: the store says what is in the way
        pass
    with store.lock(name):
        store.delete(name)
    return True


def _revoke(account: Account, store: Any) -> str:
    from franking.auth.sources import secret_for
    from franking.auth.token import TokenSecret
    from franking.provider import SupportsLogin
    from franking.registry import provider

    kind = provider(account.provider)
    if not isinstance(kind, SupportsLogin) or not kind.needs_login(account):
        raise typer.BadParameter(
            f"{account.name!r} has a password, which only its provider's own pages can change; leave --revoke out"
        )
    secret = secret_for(account, kind, store, os.environ)
    grant = secret.grant if isinstance(secret, TokenSecret) else None
    if grant is None:
        raise typer.BadParameter(
            f"nobody is signed in for {account.name!r} on this machine, so there is nothing to revoke; leave --revoke out"
        )
    return kind.revoke(account, grant)


def _warn_of_others(console: Console, account: Account) -> None:
    from franking.account.environment import secret_variable
    from franking.account.repair import repair_command

    if os.environ.get(secret_variable(account.name)):
        console.say(f"{secret_variable(account.name)} is still set, and is still used.", "warn")
    for key in ("password_command", "password_file", "token_command"):
        if account.get(key):
            console.say(f"The account's {key} is still there, and is still used.", "warn")
    console.say(f"To sign in again: {repair_command('login', account.reference)}")
