"""``franking accounts``: the settings. Secrets are the subject of ``login``, ``logout`` and ``status``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from franking.account import config, editing
from franking.account.account import Account
from franking.account.repair import repair_command
from franking.account.url import write_url
from franking.auth.store import FileStore, open_store, save_password
from franking.discovery.recommend import server_settings
from franking.errors import SendError, SettingsError
from franking.registry import provider
from franking_cli.command import command
from franking_cli.commands.logout import forget
from franking_cli.commands.status import broken_row, inspect_secret, state_row
from franking_cli.console import Console, visible
from franking_cli.options import Default, Replace, account_from, changed, password_from_stdin
from franking_cli.screen import show_hints, show_left_behind, show_table

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show, add, remove, enable or disable accounts.\n\nfranking accounts list",
)

Name = Annotated[str, typer.Argument(help="The account's name.")]


# --- looking ----------------------------------------------------------------------------------------------------------


@app.command("list")
@command
def list_accounts(console: Console) -> None:
    """List all accounts; the default one has a star.

    franking accounts list
    """
    from franking.sending.testsend import hints_for

    saved = config.load()
    rows, states = list[dict[str, Any]](), list[str]()
    for name in saved.names:
        unsure = False
        try:
            account = saved.account(name)
            _encrypt(console, name)
            row = state_row(account, inspect_secret(account)[0])
            unsure = any(hint.code == "username.missing" for hint in hints_for(account))
        except SettingsError as problem:
            row = broken_row(name, problem)
        rows.append({**row, "default": name == saved.chosen})
        states.append(_state(console, rows[-1], unsure=unsure))
    if console.json_output:
        console.answer(rows)
    elif rows:
        console.say(console.words("accounts.location", location=saved.location), "faint")
        _show_rows(console, rows, states)
    else:
        console.say(console.words("accounts.none", location=saved.location))
        console.say(console.words("accounts.add"))


def _show_rows(console: Console, rows: list[dict[str, Any]], states: list[str]) -> None:
    heads = [console.words(f"accounts.{key}") for key in ("name", "route", "from", "state")]
    show_table(console, [("", *heads), *map(_cells, rows, states)])


def _cells(row: dict[str, Any], state: str) -> tuple[str, ...]:
    return ("*" * row["default"], row["name"], row["route"] or "?", row["from"] or "?", state)


def _state(console: Console, row: dict[str, Any], *, unsure: bool) -> str:
    """Return in a few words how an account stands; ready is only what may work."""
    if row["enabled"] is False:
        return console.words("accounts.switched-off")
    if not row["ok"]:
        return row["repair"] or console.words("accounts.not-ready")
    return console.words("accounts.no-login-name" if unsure else "accounts.ready")


@app.command("show")
@command
def show(
    console: Console,
    name: Annotated[str | None, typer.Argument(help="The account's name; the default account without.")] = None,
) -> None:
    """Show an account's settings, and its account URL.

    franking accounts show shop
    """
    account = config.resolve(name)
    _encrypt(console, account.name)
    if console.json_output:
        console.answer(_described(account))
    else:
        _show_settings(console, account)
        _advise(console, account)


def _show_settings(console: Console, account: Account) -> None:
    console.data(f"name = {visible(account.name)}")
    console.data(f"provider = {account.provider}")
    console.data(f"from = {visible(str(account.sender))}")
    for key, value in account.settings.items():
        if key in account.given:
            console.data(f"{key} = {_written(value)}")
        elif value not in (None, "", ()):
            console.data(f"{key} = {_written(value)}    {console.words('accounts.by-default')}")
    console.data(f"url = {visible(write_url(account))}")


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return visible(", ".join(value))
    if isinstance(value, bool):
        return str(value).lower()
    return visible(str(value))


# --- changing ---------------------------------------------------------------------------------------------------------


@app.command("add")
@command(settings=True)
def add(
    console: Console,
    name: Name,
    *,
    replace: Replace = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Change only what is given of an account of this name; an empty value takes it away."
        ),
    ] = False,
    default: Default = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Also store the password: the first line of stdin.")
    ] = False,
    settings: dict[str, Any],
) -> None:
    """Add an account. Its password or sign-in comes afterwards: franking login NAME.

    franking accounts add shop --from info@example.com --host smtp.example.com --username info@example.com
    """
    if update:
        changes = {key: None if value == "" else value for key, value in settings.items()}
        made = changed(editing.changeable(name), changes, otherwise="write it anew with --replace")
    else:
        made = _with_what_is_known(account_from(settings, name=name), settings)
    password = password_from_stdin() if password_stdin else None
    before = config.load()
    editing.save(made, replace=replace or update, default=default)
    show_left_behind(console, before)
    if password:
        save_password(open_store(), config.resolve(name), password)
    _finish(console, config.resolve(name), "accounts.is-changed" if update else "accounts.is-saved")


def _with_what_is_known(account: Account, settings: dict[str, Any]) -> Account:
    """Fill in what is known of the server: port and security where neither was given, and the login name where one
    follows from the address.
    """
    if provider(account.provider).facts.oauth or not account.get("host"):
        return account
    known = server_settings(account.host, account.sender.address)
    if settings.get("no_auth") or settings.get("username"):
        known.pop("username", None)
    if settings.get("port") or settings.get("security"):
        known.pop("port", None)
        known.pop("security", None)
    return account.replace(**{key: value for key, value in known.items() if value is not None})


@app.command("remove")
@command
def remove(
    console: Console,
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_secret: Annotated[
        bool, typer.Option("--keep-secret", help="Leave its password or sign-in in the store.")
    ] = False,
) -> int:
    """Remove an account, its password or sign-in included.

    franking accounts remove shop
    """
    saved = config.load()
    if name not in saved.names:
        raise saved.no_account(name)
    if not yes and not console.confirm(console.words("accounts.remove", name=name), flag="--yes"):
        console.say(console.words("accounts.nothing-removed"))
        return 130
    forgotten = not keep_secret and forget(open_store(), name)
    left = editing.remove(name)
    if console.json_output:
        console.answer({"ok": True, "account": name, "forgotten": forgotten, "default": left.chosen})
        return 0
    removed = console.words("accounts.removed-all" if forgotten else "accounts.removed", name=name)
    console.say(f"✓ {removed}", "good")
    _show_no_default(console, left)
    return 0


def _show_no_default(console: Console, left: config.Config) -> None:
    if left.names and left.chosen is None:
        following = repair_command("accounts", "default", left.names[0])
        console.say(console.words("accounts.no-default", command=following))


@app.command("default")
@command
def default(console: Console, name: Name) -> None:
    """Make an account the one that is meant when nobody names one.

    franking accounts default shop
    """
    _finish(console, editing.set_default(name).account(name), "accounts.is-default")


@app.command("enable")
@command
def enable(console: Console, name: Name) -> None:
    """Let an account send.

    franking accounts enable shop
    """
    _finish(console, editing.set_enabled(name, True).account(name), "accounts.is-on")


@app.command("disable")
@command
def disable(console: Console, name: Name) -> None:
    """Keep an account from sending; its settings and its secret stay.

    franking accounts disable shop
    """
    account = editing.set_enabled(name, False).account(name)
    if console.json_output:
        console.answer(_described(account))
    else:
        enables = repair_command("accounts", "enable", name)
        console.say(f"✓ {console.words('accounts.is-off', name=name, command=enables)}", "good")


# --- the end of it ----------------------------------------------------------------------------------------------------


def _encrypt(console: Console, name: str) -> None:
    """Encrypt a secret that was stored before FRANKING_STORE asked for it, and say so."""
    try:
        store = open_store()
        if isinstance(store, FileStore) and store.encrypt_plain(name) and not console.json_output:
            console.say(console.words("accounts.encrypted", name=name), "good")
    except (SettingsError, SendError) as problem:  # the list goes on: what is wrong with the secret, it tells
        if not console.json_output:
            console.say(console.words("accounts.in-plain-file", name=name, problem=problem), "warn")


def _finish(console: Console, account: Account, what: str) -> None:
    account = account.referred_to_as(account.name)
    _encrypt(console, account.name)
    if console.json_output:
        console.answer(_described(account))
    else:
        console.say(f"✓ {console.words(what, name=account.name)}", "good")
        _advise(console, account)


def _advise(console: Console, account: Account) -> None:
    """Point at what seems wrong in the settings, and at the next step."""
    from franking.sending.testsend import hints_for

    hints = hints_for(account)
    show_hints(console, (hint.say(console.language) for hint in hints))
    state, _ = inspect_secret(account)
    if not account.enabled:
        following = repair_command("accounts", "enable", account.reference)
        console.say(console.words("accounts.off-next", command=following))
    elif any(hint.code == "username.missing" for hint in hints):
        return  # which said what comes next
    elif state.ok:
        following = repair_command("send-test", account.reference, "--to", account.sender.address)
        console.say(console.words("screen.following", command=following))
    else:
        console.say(console.words("screen.following", command=state.repair))


def _described(account: Account) -> dict[str, Any]:
    """Return what ``--json`` tells of an account: the state of its secret, and all its settings."""
    from franking.sending.testsend import hints_for

    return {
        **state_row(account, inspect_secret(account)[0]),
        "default": account.name == config.load().chosen,
        "settings": dict(account.settings),
        "given": sorted(account.given),
        "url": write_url(account),
        "hints": [hint.as_dict() for hint in hints_for(account)],
    }
