"""``franking accounts``: the settings. Secrets are the subject of ``login``, ``logout`` and ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking.account import editing
from franking_cli.command import command as framed
from franking_cli.console import Console, visible
from franking_cli.options import password_from_stdin

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show, add, remove, enable or disable accounts.",
)

Name = Annotated[str, typer.Argument(help="The account's name.")]


@app.command("list")
@framed
def list_accounts(console: Console) -> int:
    """List all accounts; the default one has a star."""
    from franking.account.config import load
    from franking.errors import SettingsError
    from franking_cli.commands.status import broken, look, row

    config = load()
    rows = []
    for name in config.names:
        try:
            found = config.account(name)
            entry = row(found, look(found)[0])
        except SettingsError as problem:
            entry = broken(name, problem)
        rows.append({**entry, "default": name == config.chosen})
    if console.json_output:
        console.answer(rows)
        return 0
    if not rows:
        console.say(f"There are no accounts in {config.path} yet.")
        console.say("Add one with: franking setup")
        return 0
    console.say(f"From {config.path}:", "faint")
    table = [("", "name", "route", "from", "state")]
    for entry in rows:
        state = "ready" if entry["ok"] else (entry["repair"] or "not ready")
        state = state if entry["enabled"] in (True, None) else "switched off"
        table.append(
            ("*" if entry["default"] else "", entry["name"], entry["route"] or "?", entry["from"] or "?", state)
        )
    widths = [max(len(visible(line[column])) for line in table) for column in range(5)]
    for line in table:
        console.data("  ".join(f"{visible(cell):<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


@app.command("show")
@framed
def show(
    console: Console,
    name: Annotated[str | None, typer.Argument(help="The account's name; the default account without.")] = None,
) -> int:
    """Show an account's settings, and its account URL."""
    from franking.account.config import resolve
    from franking.account.url import write_url

    found = resolve(name)
    if console.json_output:
        console.answer(_described(found))
        return 0
    console.data(f"name = {visible(found.name)}")
    console.data(f"provider = {found.provider}")
    console.data(f"from = {visible(str(found.sender))}")
    for key, value in found.settings.items():
        if key in found.given or value not in (None, "", ()):
            shown = (
                ", ".join(value)
                if isinstance(value, tuple)
                else str(value).lower()
                if isinstance(value, bool)
                else str(value)
            )
            console.data(f"{key} = {visible(shown)}" + ("" if key in found.given else "    (default)"))
    console.data(f"url = {visible(write_url(found))}")
    _advise(console, found)
    return 0


@app.command("add")
@framed(settings=True)
def add(
    console: Console,
    name: Name,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Write over an account of this name.")] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Change only what is given of an account of this name; an empty value takes it away."
        ),
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the account that is meant when nobody names one.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Also store the password: the first line of stdin.")
    ] = False,
    settings: dict[str, Any],
) -> int:
    """Add an account. Its password or sign-in comes afterwards: franking login NAME.

    For example: franking accounts add shop --from info@example.com --host smtp.example.com --username info@example.com
    """
    from franking.account.config import resolve
    from franking.account.editing import save
    from franking.auth.store import open_store, save_password
    from franking.errors import SettingsError
    from franking_cli.options import account_from

    if update:
        old = resolve(name)
        given = {key: None if value == "" else value for key, value in settings.items()}
        if given.pop("provider", old.provider) != old.provider:
            raise SettingsError(
                f"provider: {name!r} is an account of {old.provider}; write it anew with --replace.", field="provider"
            )
        if given.pop("no_auth", False):
            given["username"] = None
        made = old.replace(**given)
    else:
        made = account_from(settings, name=name)
    password = password_from_stdin() if password_stdin else None
    save(made, replace=replace or update, default=default)
    if password:
        save_password(open_store(), name, password)
    return _tell(console, resolve(name), "changed" if update else "saved")


@app.command("remove")
@framed
def remove(
    console: Console,
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_secret: Annotated[
        bool, typer.Option("--keep-secret", help="Leave its password or sign-in in the store.")
    ] = False,
) -> int:
    """Remove an account, its password or sign-in included."""
    from franking.account import config
    from franking.account.repair import repair_command
    from franking.auth.store import open_store
    from franking_cli.commands.logout import forget

    if name not in config.load().names:
        raise config.load().no_account(name)
    if console.interactive and not yes and not console.confirm(f"Remove {name} and what it signs in with?"):
        console.say("Nothing was removed.")
        return 130
    forgotten = not keep_secret and forget(open_store(), name)
    left = editing.remove(name)
    if console.json_output:
        console.answer({"ok": True, "account": name, "forgotten": forgotten, "default": left.chosen})
        return 0
    console.say(f"✓ {name} is removed{', with what it signed in with' if forgotten else ''}.", "good")
    if left.names and left.chosen is None:
        console.say(f"There is no default account now. Next: {repair_command('accounts', 'default', left.names[0])}")
    return 0


@app.command("default")
@framed
def default(console: Console, name: Name) -> int:
    """Make an account the one that is meant when nobody names one."""
    return _tell(console, editing.set_default(name).account(name), "now the default account")


@app.command("enable")
@framed
def enable(console: Console, name: Name) -> int:
    """Let an account send."""
    return _tell(console, editing.set_enabled(name, True).account(name), "switched on")


@app.command("disable")
@framed
def disable(console: Console, name: Name) -> int:
    """Keep an account from sending; its settings and its secret stay."""
    from franking.account.repair import repair_command

    changed = editing.set_enabled(name, False).account(name)
    if console.json_output:
        console.answer(_described(changed))
        return 0
    console.say(f"✓ {name} is switched off. To switch it on: {repair_command('accounts', 'enable', name)}", "good")
    return 0


def _tell(console: Console, account: Account, what: str) -> int:
    account = account.referred_to_as(account.name)
    if console.json_output:
        console.answer(_described(account))
        return 0
    console.say(f"✓ {account.name} is {what}.", "good")
    _advise(console, account)
    return 0


def _advise(console: Console, account: Account) -> None:
    """Point at what seems wrong in the settings, and at the next step."""
    from franking.account.repair import repair_command
    from franking.sending.testsend import hints_for
    from franking_cli.commands.status import look

    console.hints(hint.text for hint in hints_for(account))
    state, _ = look(account)
    if not account.enabled:
        console.say(f"It is switched off. Next: {repair_command('accounts', 'enable', account.reference)}")
    elif state.ok:
        console.say(f"Next: {repair_command('send-test', account.reference, '--to', account.sender.address)}")
    else:
        console.say(f"Next: {state.repair}")


def _described(account: Account) -> dict[str, Any]:
    from franking.account.config import load
    from franking.account.url import write_url
    from franking.sending.testsend import hints_for
    from franking_cli.commands.status import look, row

    return {
        **row(account, look(account)[0]),
        "default": account.name == load().chosen,
        "settings": {
            key: list(value) if isinstance(value, tuple) else value for key, value in account.settings.items()
        },
        "given": sorted(account.given),
        "url": write_url(account),
        "hints": [{"code": hint.code, "text": hint.text} for hint in hints_for(account)],
    }
