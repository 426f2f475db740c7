"""Which account a command works with: a saved one, an account URL, or unsaved settings given as flags. And the password
that was piped in.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from franking.account.account import Account
from franking.errors import SettingsError
from franking_cli.console import Console

__all__ = [
    "account_from",
    "account_of",
    "collect",
    "parameters",
    "password_from_stdin",
    "password_of",
    "typed",
    "words",
]


def account_of(name: str | None, settings: Mapping[str, Any], *more: str) -> Account:
    """Find the account: flags alone make an unsaved one; flags beside a name change that account for this run only.

    ``more`` are further flags that stand for it when the command is typed again.
    """
    from franking.account.config import resolve
    from franking.account.url import unsaved

    flags = (*words(settings), *more)
    if name is None and ("provider" in settings or "host" in settings or "sender" in settings):
        return unsaved(account_from(settings), flags)
    found = resolve(name)
    given = dict(settings)
    if given.pop("provider", found.provider) != found.provider:
        raise SettingsError(
            f"provider: {found.name!r} is an account of {found.provider}; leave its name out to test other settings.",
            field="provider",
        )
    if given.pop("no_auth", False):
        given["username"] = None
    return found.replace(**given).referred_to_as(found.reference, (found.reference, *flags))


def typed(name: str | None) -> str | None:
    """Return the name that was typed, for the report of an error; not a URL, which somebody may have put a password
    into.
    """
    return None if name is None or "://" in name else name


def password_of(console: Console, account: Account, *, from_stdin: bool) -> str | None:
    """Take a piped password; ask for that of an unsaved account, where somebody can be asked; None leaves it to the
    usual sources.
    """
    from franking.auth.sources import Sources
    from franking.auth.store import open_store
    from franking.provider import needs_secret
    from franking.registry import provider

    if from_stdin:
        return password_from_stdin()
    found = provider(account.provider)
    unsaved = account.words[:1] != (account.reference,)
    if not unsaved or not console.interactive or found.facts.oauth or not needs_secret(account, found):
        return None
    if Sources(account, open_store(), os.environ).password() is not None:
        return None
    return console.ask(f"Password of {account.get('username') or account.name}", hidden=True, flag="--password-stdin")


def password_from_stdin() -> str:
    """Read a password from the first line of stdin, without its line end; on a terminal nothing is shown while it is
    typed.
    """
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
            "password: nothing came from stdin; pipe the password in, as in: printf '%s' \"$PASSWORD\" | franking …",
            field="password",
        )
    return password


_SHOWN = {"int": "NUMBER", "float": "SECONDS", "path": "PATH", "list": "A,B"}


def parameters(taken: set[str]) -> dict[str, inspect.Parameter]:
    """Make a keyword parameter with a Typer option for ``provider``, ``from`` and every field of every provider, each
    key once.

    Keys in ``taken`` are the command's own and are left out.
    """
    from franking.account.fields import COMMON_FIELDS, Field
    from franking.registry import providers

    found: dict[str, inspect.Parameter] = {}

    def add(
        key: str, flag: str, help_text: str, panel: str = "Settings", *, switch: bool = False, metavar: str = "TEXT"
    ) -> None:
        if key not in taken:
            kind: Any = bool if switch else str
            shown = None if switch else metavar
            option = typer.Option(flag, help=help_text, rich_help_panel=panel, show_default=False, metavar=shown)
            found[key] = inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
            )

    def add_field(owners: list[str], fields: list[Field]) -> None:
        # numbers are texts here and read by the field itself, which says better than a parser what is wrong with them
        field = fields[0]
        switch = field.type == "bool"
        choices = dict.fromkeys(choice for one in fields for choice in one.choices)
        texts = dict.fromkeys(one.help for one in fields)
        help_text = (
            field.help
            if len(texts) == 1
            else " ".join(f"{owner}: {one.help}" for owner, one in zip(owners, fields, strict=True))
        )
        panel = (
            "Settings"
            if not owners or owners[0] == next(iter(providers())).name
            else f"Settings of {' and '.join(owners)}"
        )
        flag = f"{field.flag}/--no-{field.flag[2:]}" if switch else field.flag
        metavar = "|".join(choices) or _SHOWN.get(field.type, "TEXT")
        if len(metavar) > 20:  # a wide column of them would cut the flags' names off in 80 columns
            metavar, unnamed = "WORD", [choice for choice in choices if choice not in help_text]
            help_text += f" One of: {', '.join(choices)}." if unnamed else ""
        add(field.name, flag, help_text, panel, switch=switch, metavar=metavar)

    add(
        "provider",
        "--provider",
        f"What kind of mailbox it is: {', '.join(provider.name for provider in providers())}.",
        metavar="WORD",
    )
    add(
        "sender",
        "--from",
        'Who sends: an address, with or without a name: "Jan Novák <info@novak.cz>".',
        metavar="ADDRESS",
    )
    add("no_auth", "--no-auth", "No login: an open server inside a company network.", switch=True)
    shared: dict[str, tuple[list[str], list[Field]]] = {}
    for provider in providers():
        for field in provider.fields:
            if not field.secret:
                owners, fields = shared.setdefault(field.name, ([], []))
                owners.append(provider.name)
                fields.append(field)
    for owners, fields in shared.values():
        add_field(owners, fields)
    for field in COMMON_FIELDS:
        add_field([], [field])
    return found


def collect(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the settings that were really given."""
    return {key: value for key, value in values.items() if value is not None}


def words(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Write settings as the flags that give them, to be typed again."""
    found: list[str] = []
    for key, value in settings.items():
        flag = "--from" if key == "sender" else "--" + key.replace("_", "-")
        if isinstance(value, bool):
            found.append(flag if value else "--no-" + flag[2:])
        else:
            found += [flag, ",".join(value) if isinstance(value, tuple | list) else str(value)]
    return tuple(found)


def account_from(settings: Mapping[str, Any], *, name: str = "unsaved") -> Account:
    """Make an account of flags. Raises ``SettingsError`` for what is missing or wrong."""
    given = dict(settings)
    provider = given.pop("provider", None) or ("smtp" if given.get("host") else None)
    if not provider:
        raise SettingsError("provider: say which with --provider, or --host for a plain SMTP server.", field="provider")
    sender = given.pop("sender", None)
    if not sender:
        raise SettingsError("from: say who sends with --from, such as --from you@example.com.", field="from")
    if given.pop("no_auth", False) and given.get("username"):
        raise SettingsError("no-auth: --no-auth and --username contradict each other; leave one out.", field="username")
    from franking.account.config import load

    return load().build(name=name, provider=provider, sender=sender, **given)
