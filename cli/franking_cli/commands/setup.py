"""``franking setup``: from an address to a saved account that has sent a test message. Its questions are in
``mailbox.py`` and ``questions.py``, what may be changed after a failure in ``changes.py``, the answers in ``draft.py``.

Recommend → choose → sign in → test → save. Until the test has passed, or the person insists, everything lies in memory:
an interruption leaves nothing behind but the command that goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace as replaced
from functools import partial
from typing import Annotated, Any

import typer

from franking.account import editing
from franking.account.account import Account
from franking.account.config import config_path, load
from franking.atomic import make_private, write_whole
from franking.auth.store import OpenedStore, open_store, save_grant, save_password
from franking.errors import FrankingError, LoginError, LoginRequired
from franking.provider import SupportsLogin
from franking.sending.testsend import TestReport, send_test
from franking_cli.changes import ask_what_next, change, settle
from franking_cli.command import command
from franking_cli.commands.login import signed_in_as
from franking_cli.console import Console, LoginScreen, shell, visible
from franking_cli.draft import Draft
from franking_cli.exit_codes import exit_code
from franking_cli.mailbox import ask_provider, ask_sender
from franking_cli.options import Default, Device, NoBrowser, PasswordStdin, Replace, password_from_stdin
from franking_cli.questions import (
    ask_name,
    ask_password,
    ask_recipient,
    password_road,
)
from franking_cli.screen import show_error, show_go_on, show_left_behind, show_result, show_step
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
    switches = {
        "--offline": offline,
        "--save-anyway": save_anyway,
        "--replace": replace,
        "--default": default,
        "--password-stdin": password_stdin,
    }
    draft = Draft(offline=offline, flags=tuple(flag for flag, given in switches.items() if given))
    draft.way = _way(draft.way, no_browser=no_browser, device=device)
    console.go_on = lambda: draft.go_on
    _ask(console, draft, address, name, to, settings, replace=replace, password_stdin=password_stdin)
    while True:
        error, report = _try(console, draft)
        answer = "save"
        if error is not None and not save_anyway:
            answer = ask_what_next(console, draft, secret_refused=_secret_refused(error))
        if answer in ("save", "quit"):
            break
        if answer == "change":
            change(console, draft, replace=replace)
        elif error is not None and _secret_refused(error):
            draft.password = draft.grant = None
    account = draft.account()
    if answer == "save":
        before = load()
        _save(account, draft, draft.password, replace=replace, default=default)
        show_left_behind(console, before)
    _finish(console, draft, account, report, saved=answer == "save")
    return exit_code(error)


def _way(usual: str, *, no_browser: bool, device: bool) -> str:
    """Return how to sign in."""
    if device:
        return "code"
    if no_browser:
        return "paste"
    return usual


def _ask(
    console: Console,
    draft: Draft,
    address: str | None,
    name: str | None,
    to: str | None,
    settings: Mapping[str, Any],
    *,
    replace: bool,
    password_stdin: bool,
) -> None:
    """Ask all that is not known from the flags. The secret comes last, and a sign-in after everything."""
    given = dict(settings)
    wanted = given.pop("provider", None)
    sender = given.pop("sender", None) or address
    if given.pop("no_auth", False):
        given["username"] = None
    draft.settings = given
    ask_sender(console, draft, sender)
    ask_provider(console, draft, wanted=wanted)
    settle(console, draft)
    ask_name(console, draft, name, replace=replace)
    if to is not None:
        ask_recipient(console, draft, to)
    if password_stdin:
        draft.password = password_from_stdin()
    elif draft.wants_password():
        password_road(console, draft)
        ask_password(console, draft, draft.account())
    ask_recipient(console, draft)


def _secret_refused(error: FrankingError) -> bool:
    """Return whether the password or the sign-in was refused, so that another one helps."""
    if isinstance(error, LoginRequired):
        return True
    return isinstance(error, LoginError) and error.evidence is not None and error.evidence.code is not None


# --- signing in and testing, all in memory ----------------------------------------------------------------------------


def _try(console: Console, draft: Draft) -> tuple[FrankingError | None, TestReport | None]:
    """Sign in where that is needed and not done, and test; return what went wrong, and the test's report."""
    try:
        if draft.wants_password() and draft.password is None:
            ask_password(console, draft, draft.account())
        _sign_in(console, draft)
    except FrankingError as problem:
        if not console.interactive:
            raise
        show_error(console, problem)
        return problem, None
    report = _test(console, draft)
    return report.error, report


def _sign_in(console: Console, draft: Draft) -> None:
    """Lead through the provider's sign-in; the grant goes to the store in memory."""
    account, kind = draft.account(), draft.provider
    console.account = account.referred_to_as("", ())  # nothing is saved yet: no command could name it
    if not draft.signs_in(account):
        return
    assert isinstance(kind, SupportsLogin)
    if draft.grant is None or draft.granted_for != draft.sign_in:
        screen = LoginScreen(console, no_browser=draft.way == "paste", device=draft.way == "code")
        draft.grant = kind.login(account, screen)
        draft.granted_for = draft.sign_in
        if not console.json_output:
            who = signed_in_as(console, draft.grant, kind.who(draft.grant))
            console.say(f"✓ {console.words('login.signed-in', who=who)}", "good")
    save_grant(draft.store, account, draft.grant)


def _test(console: Console, draft: Draft) -> TestReport:
    if not console.json_output:
        console.say("\n" + console.words("setup.sending", to=visible(draft.to)), "strong")
    account = draft.account()
    observer = partial(show_step, console)
    report = send_test(
        account,
        draft.to,
        secret=draft.password,
        observer=observer,
        store=draft.store,
        language=console.words.language,
    )
    if draft.client_file is not None:  # a download is open to others, and the copy that is kept will not be
        report = replaced(report, hints=tuple(hint for hint in report.hints if hint.code != "file.open-to-others"))
    if not console.json_output:
        show_result(console, report, sent=console.words("screen.accepted", to=visible(draft.to)))
    return report


# --- writing, and the end of it ---------------------------------------------------------------------------------------


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


def _save_secret(store: OpenedStore, name: str, secret: str, undo: ExitStack) -> None:
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


def _finish(console: Console, draft: Draft, account: Account, report: TestReport | None, *, saved: bool) -> None:
    if console.json_output:
        console.answer({**(report.as_dict() if report else {}), "saved": saved})
        return
    console.say()
    if saved:
        saved_in = console.words("setup.saved", name=visible(account.name), file=config_path())
        console.say(f"✓ {saved_in}", "good")
        following = shell("franking", "send", account.name, "--to", account.sender.address)
        console.say(console.words("screen.following", command=following), indent="  ")
    else:
        console.say(console.words("setup.not-saved"), "warn")
        show_go_on(console)
