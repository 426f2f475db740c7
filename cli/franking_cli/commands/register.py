"""``franking register``: an application of one's own at a provider whose mailboxes are opened by signing in. It leads
through the pages, looks at what came of it, and prints a script for an administrator. The sign-in itself is the subject
of ``setup`` and ``login``.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from franking.account.account import Account
from franking.errors import SettingsError
from franking.provider import Looked, Provider, SupportsRegistration
from franking.registry import provider, providers
from franking.sending.explain import explain
from franking_cli.command import command
from franking_cli.console import Console, shell
from franking_cli.errands import show_errands, walk
from franking_cli.options import account_from, as_flags
from franking_cli.questions import ask_client_value, ask_day
from franking_cli.screen import show_diagnosis

__all__ = ["run"]

_SYMBOLS = {True: ("✓", "good"), False: ("✗", "bad"), None: ("–", "faint")}


@command(settings=True)
def run(
    console: Console,
    where: Annotated[str, typer.Argument(metavar="gmail|outlook", help="Where the application is registered.")],
    address: Annotated[str | None, typer.Argument(help="The mailbox that will send, where it is known.")] = None,
    *,
    script: Annotated[
        str | None,
        typer.Option("--script", metavar="az|powershell", help="Print a script for an administrator instead."),
    ] = None,
    app_name: Annotated[
        str, typer.Option("--app-name", help="What to call the application, for --script.")
    ] = "Franking",
    settings: dict[str, Any],
) -> int:
    """Register an application of your own at Google or Microsoft.

    franking register outlook you@contoso.com --tenant contoso.com
    franking register gmail

    It shows each page with what to type there, takes the client's file or ID, and looks whether it is right, before
    anybody signs in. With --client-secrets or --client-id it only looks.
    """
    kind = _kind(where)
    given = {key: value for key, value in settings.items() if key not in ("provider", "sender")}
    sender = settings.get("sender") or address
    if sender is None and given.get("app_only"):
        raise SettingsError(console.words("register.which-mailbox"), field="from")
    account = _account(kind, sender, given)
    if script is not None:
        return _print_script(console, kind, account, script, app_name)
    key = _client_key(kind)
    console.go_on = lambda: shell("franking", "register", where, *filter(None, [sender]), *as_flags(given))
    if given.get(key) is None:
        errands = kind.errands(account)
        if not console.interactive:
            return _print_errands(console, errands)
        walk(console, errands)
        given[key] = ask_client_value(console, kind, None)
    looked = _look(console, kind, sender, given)
    good = _right(looked)
    if good and console.interactive and given.get("app_only") and not given.get("certificate"):
        given.setdefault("client_secret_expires", ask_day(console))
    known = {key: value for key, value in given.items() if value is not None}
    return _finish(console, kind, sender, known, looked, good=good)


def _kind(where: str) -> Any:
    """Return the provider that was named, where an application can be registered at it."""
    able = [each.name for each in providers() if isinstance(each, SupportsRegistration)]
    if where.strip().lower() not in able:
        raise typer.BadParameter(f"nothing is registered at {where}; choose one of {', '.join(able)}")
    return provider(where)


def _client_key(kind: Provider) -> str:
    assert kind.facts.client is not None  # else nothing is registered there
    return kind.facts.client.key


def _look(console: Console, kind: Any, sender: str | None, given: dict[str, Any]) -> list[Looked]:
    """Look at the application until all is right with it or the person has enough; what is typed anew is put into
    ``given``.
    """
    key = _client_key(kind)
    while True:
        account = _account(kind, sender, given)
        looked = list(kind.look(account))
        _show(console, kind, account, looked)
        if _right(looked) or not console.interactive:
            return looked
        console.say("\n" + console.words("register.mend", setting=key))
        text = console.ask(console.words("register.look-again"), flag="")
        if text == "q":
            return looked
        if text:
            given[key] = ask_client_value(console, kind, text)


def _right(looked: list[Looked]) -> bool:
    return all(one.ok is not False for one in looked)


def _account(kind: Provider, sender: str | None, given: dict[str, Any]) -> Account:
    return account_from({**given, "provider": kind.name, "sender": sender or "you@example.com"})


def _print_script(console: Console, kind: SupportsRegistration, account: Account, script: str, name: str) -> int:
    if kind.scripts and script not in kind.scripts:
        raise typer.BadParameter(f"there are scripts for {' and '.join(kind.scripts)}", param_hint="--script")
    text = kind.script(account, script, name=name)
    if console.json_output:
        console.answer({"ok": True, "script": text})
    else:
        console.data(text.rstrip("\n"))
    return 0


def _print_errands(console: Console, errands: tuple[Any, ...]) -> int:
    """Show all pages, where nobody can be waited for."""
    if console.json_output:
        steps = [{"do": each.do, "link": each.link, "values": dict(each.values)} for each in errands]
        console.answer({"ok": True, "steps": steps})
    else:
        show_errands(console, errands)
    return 0


def _show(console: Console, kind: Provider, account: Account, looked: list[Looked]) -> None:
    if console.json_output:
        return
    console.say()
    for one in looked:
        symbol, style = _SYMBOLS[one.ok]
        detail = one.detail or console.words("register.not-right")
        console.say(f"{symbol} {console.said(one.what)}: {console.spoken(console.said(detail))}", style, hang="  ")
        if one.error is not None:
            show_diagnosis(console, explain(one.error, account.referred_to_as("", ()), kind), said="")


def _finish(
    console: Console, kind: Any, sender: str | None, given: dict[str, Any], looked: list[Looked], *, good: bool
) -> int:
    following = ["franking", "setup", sender or "ADDRESS", "--provider", kind.name, *as_flags(given)]
    if console.json_output:
        console.answer({"ok": good, "looked": [_row(kind, one) for one in looked], "next": shell(*following)})
    elif good:
        console.say("\n" + console.words("register.next"))
        console.raw(f"  {shell(*following)}")
    return 0 if good else 2


def _row(kind: Any, one: Looked) -> dict[str, Any]:
    diagnosis = one.error and explain(one.error, None, kind).as_dict()
    return {"what": one.what, "ok": one.ok, "detail": one.detail, "diagnosis": diagnosis}
