"""The command-line flags of an account's settings, generated from the providers' fields: a new provider needs nothing here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from franking import Account, SettingsError

__all__ = ["account_from", "collect", "parameters", "words"]

_SHOWN = {"int": "NUMBER", "float": "SECONDS", "path": "PATH", "list": "A,B"}


def parameters(taken: set[str]) -> dict[str, inspect.Parameter]:
    """Make a keyword parameter with a Typer option for ``provider``, ``from`` and every field of every provider, each key once.

    Keys in ``taken`` are the command's own and are left out.
    """
    from franking.account import COMMON_FIELDS, Field
    from franking.registry import providers

    found: dict[str, inspect.Parameter] = {}

    def add(key: str, flag: str, help_text: str, panel: str = "Settings", *, switch: bool = False, metavar: str = "TEXT") -> None:
        if key not in taken:
            kind: Any = bool if switch else str
            shown = None if switch else metavar
            option = typer.Option(flag, help=help_text, rich_help_panel=panel, show_default=False, metavar=shown)
            found[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])

    def add_field(owners: list[str], fields: list[Field]) -> None:
        # numbers are texts here and read by the field itself, which says better than a parser what is wrong with them
        field = fields[0]
        switch = field.type == "bool"
        choices = dict.fromkeys(choice for one in fields for choice in one.choices)
        texts = dict.fromkeys(one.help for one in fields)
        help_text = field.help if len(texts) == 1 else " ".join(f"{owner}: {one.help}" for owner, one in zip(owners, fields, strict=True))
        panel = "Settings" if not owners or owners[0] == next(iter(providers())).name else f"Settings of {' and '.join(owners)}"
        flag = f"{field.flag}/--no-{field.flag[2:]}" if switch else field.flag
        metavar = "|".join(choices) or _SHOWN.get(field.type, "TEXT")
        if len(metavar) > 20:  # a wide column of them would cut the flags' names off in 80 columns
            metavar, unnamed = "WORD", [choice for choice in choices if choice not in help_text]
            help_text += f" One of: {', '.join(choices)}." if unnamed else ""
        add(field.name, flag, help_text, panel, switch=switch, metavar=metavar)

    add("provider", "--provider", f"What kind of mailbox it is: {', '.join(provider.name for provider in providers())}.", metavar="WORD")
    add("sender", "--from", 'Who sends: an address, with or without a name: "Jan Novák <info@novak.cz>".', metavar="ADDRESS")
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
    from franking.config import with_defaults

    return with_defaults(name=name, provider=provider, sender=sender, **given)
