"""``franking login``: sign in, or store a password; ``--export`` and ``--import`` carry a sign-in to another
machine.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, LoginScreen, visible

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Grant
    from franking.auth.store import FileStore
    from franking.provider import Provider, SupportsLogin

__all__ = ["command", "sign_in", "told_of"]


@framed
def command(
    console: Console,
    account: Annotated[
        str | None, typer.Argument(help="A saved account's name, or an account URL; the default account without.")
    ] = None,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Sign in with a code on another device (Microsoft).")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address, and take the one that the browser ended at.")
    ] = False,
    large_attachments: Annotated[
        bool,
        typer.Option(
            "--large-attachments", help="Also ask for what large messages need, and note it in the account (Outlook)."
        ),
    ] = False,
    export: Annotated[
        bool,
        typer.Option("--export", help="Print the sign-in, for FRANKING_SECRET_… or another machine. It is a secret."),
    ] = False,
    import_: Annotated[bool, typer.Option("--import", help="Take a sign-in that --export printed from stdin.")] = False,
) -> int:
    """Sign in, or store a password.

    An OAuth account opens the browser; on a machine without one use --no-browser or --device. Any other account asks
    for its password.
    """
    from franking.account.config import resolve
    from franking.auth.store import open_store
    from franking.provider import SupportsLogin
    from franking.registry import provider

    console.account = found = resolve(account)
    kind = provider(found.provider)
    store = open_store()
    signs_in = isinstance(kind, SupportsLogin) and kind.needs_login(found)
    if export and import_:
        raise typer.BadParameter("--export prints a sign-in and --import takes one; use one of them at a time")
    if not signs_in and (export or import_ or device or no_browser):
        raise typer.BadParameter(
            f"{found.name!r} has a password and no sign-in; use --password-stdin, or no flag to be asked for it"
        )
    if signs_in and password_stdin:
        raise typer.BadParameter(
            f"{found.name!r} signs in at {kind.title}, which takes no passwords from programs; leave --password-stdin out"
        )
    if export:
        return _export(console, found, kind, store)
    if import_:
        return _import(console, found, store)
    if isinstance(kind, SupportsLogin) and signs_in:
        if large_attachments:
            found = _with_large_attachments(console, found)
        return sign_in(console, found, kind, store, LoginScreen(console, no_browser=no_browser, device=device))
    return _store_password(console, found, kind, store, from_stdin=password_stdin)


# --- passwords --------------------------------------------------------------------------------------------------------


def _store_password(console: Console, account: Account, kind: Provider, store: FileStore, *, from_stdin: bool) -> int:
    from franking.auth.sources import keyed_by_settings
    from franking.auth.store import save_password
    from franking.errors import SettingsError
    from franking.provider import needs_secret
    from franking.sending.testsend import hints_for
    from franking_cli.options import password_from_stdin

    if not needs_secret(account, kind):
        raise SettingsError(
            f"{account.name!r} needs no password"
            + ("; if the server asks for a login, add username first." if "username" in account.settings else "."),
            field="username" if "username" in account.settings else None,
        )
    if key := keyed_by_settings(account):
        raise typer.BadParameter(
            f"{account.name!r} needs no sign-in and no password: it uses the file that {key} names"
        )
    what = (
        f"Password of {account.get('username') or account.name}"
        if not kind.facts.oauth
        else "Client secret of the app registration"
    )
    _expect_room(account, store)
    password = password_from_stdin() if from_stdin else console.ask(what, hidden=True, flag="--password-stdin")
    if not password:
        raise SettingsError("password: nothing was typed; nothing was stored.", field="password")
    save_password(store, account.name, password)
    if not console.json_output:
        console.say(
            f"✓ The {'client secret' if kind.facts.oauth else 'password'} is stored for {account.name} ({_place(store, account)}).",
            "good",
        )
        console.hints(hint.text for hint in hints_for(account, password) if hint.code.startswith("secret."))
    return _finish(console, account, {})


# --- sign-ins ---------------------------------------------------------------------------------------------------------


def sign_in(console: Console, account: Account, kind: SupportsLogin, store: FileStore, screen: LoginScreen) -> int:
    """Lead a person through a provider's sign-in, say who it was, and store the grant."""
    from franking.auth.store import save_grant

    _expect_room(account, store)
    grant = kind.login(account, screen)
    who = kind.who(grant)
    save_grant(store, account.name, grant)
    if not console.json_output:
        console.say(f"✓ Signed in as {told_of(grant, who)} ({_place(store, account)}).", "good")
    return _finish(console, account, {"who": who, "scopes": list(grant.scopes)})


def told_of(grant: Grant, who: str | None) -> str:
    """Say who signed in, in which directory, and what the sign-in allows."""
    tenant = f" of the directory {visible(str(grant.details['tenant']))}" if grant.details.get("tenant") else ""
    return f"{visible(who or 'somebody whose name the provider did not tell')}{tenant}; may: {visible(' '.join(grant.scopes))}"


def _expect_room(account: Account, store: FileStore) -> None:
    """See that the store can be written, so that nobody goes through a sign-in for nothing. Raises
    ``SettingsError``.
    """
    with store.lock(account.name):
        pass


def _with_large_attachments(console: Console, account: Account) -> Account:
    """Note in the account that large messages are wanted: renewals and later sign-ins ask for the same."""
    from franking.account.config import load
    from franking.account.editing import save
    from franking.errors import SettingsError

    if "large_attachments" not in account.settings:
        raise SettingsError(
            f"large_attachments: an account of {account.provider} needs no further rights for large messages.",
            field="large_attachments",
        )
    changed = account.replace(large_attachments=True).referred_to_as(account.reference)
    if account.name in load().names and not account.large_attachments:
        save(changed, replace=True)
        if not console.json_output:
            console.say(f"large_attachments = true is now in the settings of {account.name}.")
    return changed


def _export(console: Console, account: Account, kind: Provider, store: FileStore) -> int:
    from franking.account.repair import login_command
    from franking.auth.sources import secret_for
    from franking.auth.token import TokenSecret
    from franking.errors import Evidence, LoginRequired

    secret = secret_for(account, kind, store, os.environ)
    grant = secret.grant if isinstance(secret, TokenSecret) else None
    if grant is None:
        repair = login_command(account)
        raise LoginRequired(
            f"Nobody has signed in for {account.name!r} yet; run: {repair}",
            repair=repair,
            evidence=Evidence("oauth", reason="no-grant"),
        )
    console.say("This line is as secret as a password: whoever has it can send as this mailbox.", "warn")
    console.data(grant.dumps())
    return 0


def _import(console: Console, account: Account, store: FileStore) -> int:
    from franking.auth.secret import Grant
    from franking.auth.sources import not_a_sign_in
    from franking.auth.store import save_grant
    from franking.errors import SettingsError

    try:
        grant = Grant.loads(sys.stdin.read())
    except SettingsError as problem:
        raise not_a_sign_in(str(problem)) from None
    if grant.provider != account.provider:
        raise SettingsError(
            f"This is a sign-in at {grant.provider}, but {account.name!r} is an account of {account.provider}.",
            field="provider",
        )
    save_grant(store, account.name, grant)
    if not console.json_output:
        console.say(
            f"✓ The sign-in of {grant.who or 'somebody'} is stored for {account.name} ({_place(store, account)}).",
            "good",
        )
    return _finish(console, account, {"who": grant.who, "scopes": list(grant.scopes)})


# --- the end of it ----------------------------------------------------------------------------------------------------


def _finish(console: Console, account: Account, more: dict[str, Any]) -> int:
    """Say what else would be used instead, and what to do next."""
    from franking.account.repair import repair_command
    from franking_cli.commands.status import look, row

    state, _ = look(account)
    told = {**row(account, state), **more}
    if state.source != "store" and not console.json_output:
        said = {"environment": "The environment variable of this account is set and comes first"}.get(
            state.source or "", f"The setting {state.source} comes first"
        )
        console.say(f"{said}: what was stored is not used while it is there.", "warn")
    if console.json_output:
        console.answer(told)
    else:
        console.say(f"Next: {repair_command('send-test', account.reference, '--to', account.sender.address)}")
    return 0


def _place(store: FileStore, account: Account) -> str:
    kind = store.kind(account.name)
    words = {
        "file": "in a plain file that only you can read",
        "encrypted": "encrypted",
        "keyring": "encrypted, its key in the system's keyring",
    }
    return f"{words.get(kind or '', kind)}: {store.path(account.name)}"
