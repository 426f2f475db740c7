"""``franking setup``: from an address to a saved account that has sent a test message. Its questions are in
``questions.py``.

Recommend → choose → sign in → test → save. Until the test has passed, or the person insists, everything lies in memory:
an interruption leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as replaced
from functools import partial
from typing import Annotated, Any

import typer

from franking.account import editing
from franking.account.account import Account
from franking.account.config import config_path, load
from franking.atomic import make_private, write_whole
from franking.auth.sources import Sources, keyed_by_settings
from franking.auth.store import FileStore, open_store, save_grant, save_password
from franking.provider import SupportsLogin, needs_secret
from franking.sending.testsend import TestReport, send_test
from franking_cli.command import command
from franking_cli.commands.login import signed_in_as
from franking_cli.console import Console, LoginScreen, shell, visible
from franking_cli.exit_codes import exit_code
from franking_cli.options import Default, Device, NoBrowser, PasswordStdin, Replace, password_from_stdin
from franking_cli.questions import Draft, ask_name, ask_recipient, ask_what_next, change_server, new_draft
from franking_cli.screen import show_left_behind, show_result, show_step
from franking_cli.signals import on_ending

__all__ = ["run"]


@command(settings=True)
def run(
    console: Console,
    address: Annotated[str | None, typer.Argument(help="Your mail address, with or without a name.")] = None,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What to call the account.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Where the test message goes; by default to yourself.")] = None,
    password_stdin: PasswordStdin = False,
    device: Device = False,
    no_browser: NoBrowser = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Recommend from the names alone; look nothing up.")
    ] = False,
    save_anyway: Annotated[
        bool, typer.Option("--save-anyway", help="Save the account even if the test fails.")
    ] = False,
    replace: Replace = False,
    default: Default = False,
    settings: dict[str, Any],
) -> int:
    """Set an account up: recommend, sign in, test, save. Nothing is written before the test has passed.

    franking setup you@example.com
    """
    draft = new_draft(console, address, settings, offline=offline)
    draft.name = ask_name(console, draft, name, replace=replace)
    screen = LoginScreen(console, no_browser=no_browser, device=device)
    account = draft.account()
    secret = _sign_in(console, account, draft, screen, password_stdin=password_stdin)
    recipient = ask_recipient(console, to, account)
    while True:
        report = _test(console, account, draft, secret, recipient)
        answer = "save"
        if not report.ok and not save_anyway:
            answer = ask_what_next(console, draft)
        if answer in ("save", "quit"):
            break
        if answer == "change":
            change_server(console, draft)
            account = draft.account()
        secret = _sign_in(console, account, draft, screen)
    if answer == "save":
        before = load()
        _save(account, draft, secret, replace=replace, default=default)
        show_left_behind(console, before)
    _finish(console, account, report, saved=answer == "save")
    return exit_code(report.error)


# --- signing in and testing, all in memory ----------------------------------------------------------------------------


def _sign_in(
    console: Console, account: Account, draft: Draft, screen: LoginScreen, *, password_stdin: bool = False
) -> str | None:
    """Sign in (the grant goes to the store in memory), or take a password; None where neither is needed."""
    kind = draft.provider
    console.account = account.referred_to_as("", ())  # nothing is saved yet: no command could name it
    if isinstance(kind, SupportsLogin) and kind.needs_login(account):
        grant = kind.login(account, screen)
        save_grant(draft.store, account, grant)
        if not console.json_output:
            console.say(f"✓ Signed in as {signed_in_as(grant, kind.who(grant))}.", "good")
        return None
    if not needs_secret(account, kind) or keyed_by_settings(account):
        return None
    if password_stdin:
        return password_from_stdin()
    if Sources(account, draft.store, os.environ).password() is not None:
        return None  # from a command, a file or the environment
    question = f"Password of {visible(account.get('username') or account.name)}"
    if kind.facts.oauth:
        question = "Client secret"
    while not (password := console.ask(question, hidden=True, flag="--password-stdin")):
        console.say("Nothing was typed.", "warn")
    return password


def _test(console: Console, account: Account, draft: Draft, secret: str | None, to: str) -> TestReport:
    if not console.json_output:
        console.say(f"\nSending a test message to {visible(to)}", "strong")
    report = send_test(account, to, secret=secret, observer=partial(show_step, console), store=draft.store)
    if draft.client_file is not None:  # a download is open to others, and the copy that is kept will not be
        report = replaced(report, hints=tuple(hint for hint in report.hints if hint.code != "file.open-to-others"))
    if not console.json_output:
        show_result(console, report, sent=f"The test message was accepted; look into the inbox of {visible(to)}.")
    return report


# --- writing ----------------------------------------------------------------------------------------------------------


def _save(account: Account, draft: Draft, password: str | None, *, replace: bool, default: bool) -> None:
    """Write secret, client file and settings, the settings last; all of it or nothing."""
    with _uninterrupted(), ExitStack() as undo:
        if password:
            save_password(draft.store, account, password)
        if secret := draft.store.load(account.name):
            _save_secret(open_store(), account.name, secret, undo)
        client = draft.provider.facts.client
        if client is not None and draft.client_file is not None:
            target = config_path().parent / f"{account.name}.client.json"
            make_private(target.parent)
            if not replace:
                undo.callback(target.unlink, missing_ok=True)
            write_whole(target, draft.client_file.read_bytes())
            account = account.replace(**{client.key: str(target)})
        editing.save(account, replace=replace, default=default)
        undo.pop_all()


def _save_secret(store: FileStore, name: str, secret: str, undo: ExitStack) -> None:
    before = store.load(name)
    if before is None:
        undo.callback(store.delete, name)
    else:
        undo.callback(store.save, name, before)
    with store.lock(name):
        store.save(name, secret)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and its like back for the few milliseconds of writing; they count afterwards."""
    pending: list[int] = []
    with on_ending(lambda number, frame: pending.append(number)):
        yield
    if pending:
        raise KeyboardInterrupt


def _finish(console: Console, account: Account, report: TestReport, *, saved: bool) -> None:
    if console.json_output:
        console.answer({**report.as_dict(), "saved": saved})
        return
    console.say()
    if saved:
        console.say(f"✓ The account {visible(account.name)} is saved in {config_path()}.", "good")
        console.say(f"Next: {shell('franking', 'send', account.name, '--to', account.sender.address)}", indent="  ")
    else:
        console.say("Nothing was saved.", "warn")
