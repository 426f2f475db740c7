"""The command-line flags of an account's settings, generated from the providers' fields: a new provider needs nothing here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from franking import Account, SettingsError

__all__ = ["account_from", "collect", "parameters", "words"]

_TYPES = {"int": int, "float": float, "bool": bool}


def parameters(taken: set[str]) -> dict[str, inspect.Parameter]:
    """Make a keyword parameter with a Typer option for ``provider``, ``from`` and every field of every provider, each key once.

    Keys in ``taken`` are the command's own and are left out.
    """
    from franking.account import COMMON_FIELDS
    from franking.registry import providers

    found: dict[str, inspect.Parameter] = {}

    def add(key: str, flags: tuple[str, ...], kind: Any, help_text: str, panel: str) -> None:
        if key in taken or key in found:
            return
        option = typer.Option(*flags, help=help_text, rich_help_panel=panel, show_default=False)
        found[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])

    names = ", ".join(provider.name for provider in providers())
    add("provider", ("--provider",), str, f"{names}.", "Settings")
    add("sender", ("--from",), str, 'Who sends: an address, with or without a name: "Jan Novák <info@novak.cz>".', "Settings")
    add("no_auth", ("--no-auth",), bool, "No login: an open server inside a company network.", "Settings")
    for provider in providers():
        for field in provider.fields:
            if not field.secret:
                flags = (f"{field.flag}/--no-{field.name.replace('_', '-')}",) if field.type == "bool" else (field.flag,)
                kind = bool if field.type == "bool" else _TYPES.get(field.type, str)
                add(field.name, flags, kind, field.help, "Settings" if provider.name == "smtp" else f"Settings of {provider.name}")
    for field in COMMON_FIELDS:
        flags = (f"{field.flag}/--no-{field.name.replace('_', '-')}",) if field.type == "bool" else (field.flag,)
        add(field.name, flags, _TYPES.get(field.type, str), field.help, "Settings")
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
            found += [flag, str(value)]
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
