"""``franking logout``: forget a password or a sign-in on this machine; ``--revoke`` also ends it at the provider."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from franking.account.account import Account
from franking.account.config import resolve
from franking.account.environment import secret_variable
from franking.account.repair import repair_command
from franking.auth.store import OpenedStore, open_store
from franking.errors import SettingsError
from franking.provider import SupportsLogin
from franking.registry import provider
from franking_cli.command import command
from franking_cli.commands.login import current_grant
from franking_cli.console import Console
from franking_cli.options import AccountName

__all__ = ["forget", "run"]


@command
def run(
    console: Console,
    account: AccountName = None,
    *,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Also end the sign-in at the provider, on every machine that shares it.")
    ] = False,
) -> None:
    """Forget a password or a sign-in; the account's settings stay.

    franking logout shop
    """
    store = open_store()
    name = account
    try:
        console.account = resolve(account)
        name = console.account.name
    except SettingsError:
        if name is None or revoke or not store.has(name):
            raise  # else the settings are gone or broken, the secret is still there: it can be forgotten all the same
    detail = None
    if console.account is not None and revoke:
        detail = _revoke(console.account, store)
    forgotten = forget(store, str(name))
    if console.json_output:
        console.answer(
            {"ok": True, "account": name, "forgotten": forgotten, "revoked": detail is not None, "detail": detail}
        )
        return
    if detail:
        console.say(console.said(detail))
    _show(console, str(name), forgotten=forgotten)


def _show(console: Console, name: str, *, forgotten: bool) -> None:
    if forgotten:
        console.say(f"✓ {console.words('logout.forgotten', name=name)}", "good")
    else:
        console.say(console.words("logout.nothing", name=name))
    if console.account is not None:
        _warn_of_others(console, console.account)


def forget(store: OpenedStore, name: str) -> bool:
    """Remove an account's secret from the store, and return whether there was one."""
    if not store.has(name):  # no directory is made, no lock taken
        return False
    with store.lock(name):
        store.delete(name)
    return True


def _revoke(account: Account, store: OpenedStore) -> str:
    kind = provider(account.provider)
    if not isinstance(kind, SupportsLogin) or not kind.needs_login(account):
        raise typer.BadParameter(
            f"{account.name!r} has a password, which only its provider's own pages can change; leave --revoke out"
        )
    grant = current_grant(account, kind, store)
    if grant is None:
        raise typer.BadParameter(
            f"nobody is signed in for {account.name!r} on this machine, so there is nothing to revoke; "
            "leave --revoke out"
        )
    return kind.revoke(account, grant)


def _warn_of_others(console: Console, account: Account) -> None:
    if os.environ.get(secret_variable(account.name)):
        console.say(console.words("logout.variable", name=secret_variable(account.name)), "warn")
    for field in provider(account.provider).fields:
        if field.credential and account.get(field.name):
            console.say(console.words("logout.setting", name=field.name), "warn")
    console.say(console.words("logout.again", command=repair_command("login", account.reference)))
