"""``franking login``: sign in, or store a password; ``--export`` and ``--import`` carry a sign-in to another
machine.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from franking.account import editing
from franking.account.account import Account
from franking.account.binding import binding_of
from franking.account.config import load, resolve
from franking.account.repair import login_command, repair_command
from franking.auth.bound import check_bound
from franking.auth.secret import Grant
from franking.auth.sources import keyed_by_settings, not_a_sign_in, secret_for
from franking.auth.store import OpenedStore, open_store, save_grant, save_password
from franking.auth.token import TokenSecret
from franking.errors import Evidence, LoginRequired, SettingsError
from franking.provider import Provider, SupportsLogin, needs_secret
from franking.registry import provider
from franking_cli.command import command
from franking_cli.commands.status import inspect_secret, state_row
from franking_cli.console import Console, LoginScreen, visible
from franking_cli.options import AccountName, Device, NoBrowser, PasswordStdin, password_from_stdin
from franking_cli.questions import ask_day
from franking_cli.screen import show_hints

__all__ = ["current_grant", "run", "signed_in_as"]


@command
def run(
    console: Console,
    account: AccountName = None,
    *,
    password_stdin: PasswordStdin = False,
    device: Device = False,
    no_browser: NoBrowser = False,
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
) -> None:
    """Sign in, or store a password.

    franking login shop

    An OAuth account opens the browser; on a machine without one use --no-browser or --device. Any other account asks
    for its password.
    """
    console.account = found = resolve(account)
    kind = provider(found.provider)
    store = open_store()
    if export and import_:
        raise typer.BadParameter("--export prints a sign-in and --import takes one; use one of them at a time")
    if not isinstance(kind, SupportsLogin) or not kind.needs_login(found):
        if any((export, import_, device, no_browser)):
            raise typer.BadParameter(
                f"{found.name!r} has a password and no sign-in; use --password-stdin, or no flag to be asked for it"
            )
        _take_password(console, found, kind, store, from_stdin=password_stdin)
    elif password_stdin:
        raise typer.BadParameter(
            f"{found.name!r} signs in at {kind.title}, which takes no passwords from programs; "
            "leave --password-stdin out"
        )
    elif export:
        _export(console, found, kind, store)
    elif import_:
        _import(console, found, store)
    else:
        screen = LoginScreen(console, no_browser=no_browser, device=device)
        _sign_in(console, found, kind, store, screen, wider=large_attachments)


# --- passwords --------------------------------------------------------------------------------------------------------


def _take_password(console: Console, account: Account, kind: Provider, store: OpenedStore, *, from_stdin: bool) -> None:
    _check_password_wanted(console, account, kind)
    stored = "login.password-stored"
    question = console.words("login.password-of", who=account.get("username") or account.name)
    if kind.facts.oauth:
        stored, question = "login.client-secret-stored", console.words("login.client-secret-of")
    _expect_room(account, store)
    password = password_from_stdin() if from_stdin else console.ask(question, hidden=True, flag="--password-stdin")
    if not password:
        raise SettingsError(console.words("login.nothing-typed"), field="password")
    save_password(store, account, password)
    if kind.facts.oauth and console.interactive:
        _note_end(console, account)
    if not console.json_output:
        place = _place(console, store, account)
        console.say(f"✓ {console.words(stored, name=account.name, place=place)}", "good")
        _show_doubts(console, account, password)
    _finish(console, account)


def _show_doubts(console: Console, account: Account, password: str) -> None:
    """Show what seems wrong with a password, as a blank at its end."""
    from franking.sending.testsend import hints_for

    hints = hints_for(account, password)
    show_hints(console, (hint.say(console.language) for hint in hints if hint.code.startswith("secret.")))


def _note_end(console: Console, account: Account) -> None:
    """Ask when a client secret ends and write it into the settings, so that somebody is told before."""
    if account.name in load().names and (ends := ask_day(console)) is not None:
        editing.save(account.replace(client_secret_expires=ends), replace=True)


def _check_password_wanted(console: Console, account: Account, kind: Provider) -> None:
    if not needs_secret(account, kind):
        if "username" in account.settings:
            raise SettingsError(console.words("login.add-username", name=repr(account.name)), field="username")
        raise SettingsError(console.words("login.no-password", name=repr(account.name)))
    if key := keyed_by_settings(account):
        raise typer.BadParameter(
            f"{account.name!r} needs no sign-in and no password: it uses the file that {key} names"
        )


# --- sign-ins ---------------------------------------------------------------------------------------------------------


def _sign_in(
    console: Console, account: Account, kind: SupportsLogin, store: OpenedStore, screen: LoginScreen, *, wider: bool
) -> None:
    """Lead a person through a provider's sign-in, say who it was, and store the grant; ``wider`` asks for what large
    messages need.
    """
    wanted = _with_large_attachments(account) if wider else account
    _expect_room(account, store)
    grant = kind.login(wanted, screen)
    who = kind.who(grant)
    save_grant(store, account, grant)
    if not console.json_output:
        signed_in = signed_in_as(console, grant, who)
        said = console.words("login.signed-in-place", who=signed_in, place=_place(console, store, account))
        console.say(f"✓ {said}", "good")
    if wanted != account:
        _note_large_attachments(console, wanted)
    _finish(console, wanted, who=who, scopes=list(grant.scopes))


def signed_in_as(console: Console, grant: Grant, who: str | None) -> str:
    """Return who signed in, in which directory, and what the sign-in allows."""
    text = visible(who or console.words("login.somebody"))
    if grant.details.get("tenant"):
        text += console.words("status.directory", tenant=visible(str(grant.details["tenant"])))
    return text + console.words("status.may", scopes=visible(" ".join(grant.scopes)))


def _expect_room(account: Account, store: OpenedStore) -> None:
    """See that the store can be written, so that nobody goes through a sign-in for nothing. Raises
    ``SettingsError``.
    """
    with store.lock(account.name):
        pass


def _with_large_attachments(account: Account) -> Account:
    """Return the account as one that carries large messages, for whose sign-in more is asked."""
    if "large_attachments" not in account.settings:
        raise SettingsError(
            f"large_attachments: an account of {account.provider} needs no further rights for large messages.",
            field="large_attachments",
        )
    return account.replace(large_attachments=True).referred_to_as(account.reference)


def _note_large_attachments(console: Console, account: Account) -> None:
    """Write into the settings that large messages are wanted, now that they are allowed: renewals ask for the same."""
    if account.name in load().names:
        editing.save(account, replace=True)
        if not console.json_output:
            console.say(console.words("login.large-attachments", name=account.name))


def current_grant(account: Account, kind: Provider, store: OpenedStore) -> Grant | None:
    """Return the sign-in that would be used now, if there is one."""
    secret = secret_for(account, kind, store, os.environ)
    return secret.grant if isinstance(secret, TokenSecret) else None


def _export(console: Console, account: Account, kind: Provider, store: OpenedStore) -> None:
    grant = current_grant(account, kind, store)
    if grant is None:
        repair = login_command(account)
        raise LoginRequired(
            f"Nobody has signed in for {account.name!r} yet; run: {repair}",
            repair=repair,
            evidence=Evidence("oauth", reason="no-grant"),
        )
    console.say(console.words("login.exported"), "warn")
    console.data(replace(grant, bound=binding_of(account)).dumps())


def _import(console: Console, account: Account, store: OpenedStore) -> None:
    try:
        grant = Grant.loads(sys.stdin.read())
    except SettingsError as problem:
        raise not_a_sign_in(str(problem)) from None
    if grant.provider != account.provider:
        said = console.words("login.other-provider", at=grant.provider, name=repr(account.name), of=account.provider)
        raise SettingsError(said, field="provider")
    if grant.bound:
        check_bound(grant.bound, account, os.environ, "This sign-in")
    save_grant(store, account, grant)
    if not console.json_output:
        who = grant.who or console.words("status.somebody")
        place = _place(console, store, account)
        console.say(f"✓ {console.words('login.imported', who=who, name=account.name, place=place)}", "good")
    _finish(console, account, who=grant.who, scopes=list(grant.scopes))


# --- the end of it ----------------------------------------------------------------------------------------------------


def _finish(console: Console, account: Account, **more: Any) -> None:
    """Say what else would be used instead, and what to do next."""
    state, _ = inspect_secret(account)
    if console.json_output:
        console.answer({**state_row(account, state), **more})
        return
    if state.source != "store":
        first = console.words("login.setting-first", setting=state.source)
        if state.source == "environment":
            first = console.words("login.environment-first")
        console.say(first, "warn")
    following = repair_command("send-test", account.reference, "--to", account.sender.address)
    console.say(console.words("screen.following", command=following))


def _place(console: Console, store: OpenedStore, account: Account) -> str:
    kind = store.kind(account.name) or ""
    known = console.words.known(f"store.{kind}")
    return f"{console.words(f'store.{kind}') if known else kind}: {store.place(account.name)}"
