"""Arguments and flags that several commands have, those of every provider's settings among them; the account they
choose, and the password that was piped in.
"""

from __future__ import annotations

import getpass
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import typer

from franking.account.account import Account
from franking.account.fields import COMMON_FIELDS, Field
from franking.errors import SettingsError
from franking.registry import provider, providers
from franking_cli.console import Console

__all__ = [
    "METAVARS",
    "AccountName",
    "Default",
    "Device",
    "NoBrowser",
    "PasswordStdin",
    "Replace",
    "Transcript",
    "account_from",
    "as_flags",
    "changed",
    "choose_account",
    "name_to_report",
    "parameters",
    "password_for",
    "password_from_stdin",
]

SIGNING_IN, SAVING = "Signing in", "Saving"

AccountName = Annotated[
    str | None, typer.Argument(help="A saved account's name, or an account URL; the default account without.")
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin", help="Read the password from the first line of stdin.", rich_help_panel=SIGNING_IN
    ),
]
Transcript = Annotated[
    bool,
    typer.Option(
        "--transcript", help="Show the dialogue with the server, without secrets.", rich_help_panel="When it fails"
    ),
]
Device = Annotated[
    bool,
    typer.Option("--device", help="Sign in with a code on another device (Microsoft).", rich_help_panel=SIGNING_IN),
]
NoBrowser = Annotated[
    bool,
    typer.Option(
        "--no-browser",
        help="Show the address, and take the one that the browser ended at.",
        rich_help_panel=SIGNING_IN,
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Write over an account of this name.", rich_help_panel=SAVING)]
Default = Annotated[
    bool,
    typer.Option("--default", help="Make it the account that is meant when nobody names one.", rich_help_panel=SAVING),
]


# --- the account ------------------------------------------------------------------------------------------------------


def choose_account(name: str | None, settings: Mapping[str, Any], *, password_stdin: bool) -> Account:
    """Find the account that a command works with: flags alone make an unsaved one; flags beside a name change that
    account for this run only.
    """
    from franking.account.config import resolve
    from franking.account.url import unsaved

    flags = as_flags(settings, password_stdin=password_stdin)
    if name is None and ("provider" in settings or "host" in settings or "sender" in settings):
        return unsaved(account_from(settings), flags)
    found = resolve(name)
    account = changed(found, settings, otherwise="leave its name out to test other settings")
    return account.referred_to_as(found.reference, (found.reference, *flags))


def changed(account: Account, settings: Mapping[str, Any], *, otherwise: str) -> Account:
    """Return an account with these settings changed; ``otherwise`` says how to come by another provider."""
    changes = dict(settings)
    if changes.pop("provider", account.provider) != account.provider:
        raise SettingsError(
            f"provider: {account.name!r} is an account of {account.provider}; {otherwise}.", field="provider"
        )
    if changes.pop("no_auth", False):
        changes["username"] = None
    return account.replace(**changes)


def account_from(settings: Mapping[str, Any], *, name: str = "unsaved") -> Account:
    """Make an account of flags. Raises ``SettingsError`` for what is missing or wrong."""
    from franking.account.config import load

    own = dict(settings)
    kind = own.pop("provider", None)
    if not kind and own.get("host"):
        kind = "smtp"
    if not kind:
        raise SettingsError("provider: say which with --provider, or --host for a plain SMTP server.", field="provider")
    sender = own.pop("sender", None)
    if not sender:
        raise SettingsError("from: say who sends with --from, such as --from you@example.com.", field="from")
    if own.pop("no_auth", False) and own.get("username"):
        raise SettingsError("no-auth: --no-auth and --username contradict each other; leave one out.", field="username")
    return load().build(name=name, provider=kind, sender=sender, **own)


def name_to_report(name: str | None) -> str | None:
    """Return the name of an account for the report of an error; not a URL, which somebody may have put a password
    into.
    """
    return None if name is None or "://" in name else name


# --- its password -----------------------------------------------------------------------------------------------------


def password_for(console: Console, account: Account, *, from_stdin: bool) -> str | None:
    """Take a piped password; ask for that of an unsaved account, where somebody can be asked; None leaves it to the
    usual sources.
    """
    from franking.auth.sources import Sources
    from franking.auth.store import open_store
    from franking.provider import needs_secret

    if from_stdin:
        return password_from_stdin()
    kind = provider(account.provider)
    saved = account.words[:1] == (account.reference,)
    if saved or not console.interactive or kind.facts.oauth or not needs_secret(account, kind):
        return None
    if Sources(account, open_store(), os.environ).password() is not None:
        return None
    return console.ask(
        console.words("login.password-of", who=account.get("username") or account.name),
        hidden=True,
        flag="--password-stdin",
    )


def password_from_stdin() -> str:
    """Read a password from the first line of stdin, without its line end; on a terminal nothing is shown while it is
    typed.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ", stream=sys.stderr)
    else:
        try:
            password = _first_line().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise SettingsError("password: what came from stdin is not UTF-8.", field="password") from None
    if not password:
        raise SettingsError(
            "password: nothing came from stdin; pipe the password in, as in: printf '%s' \"$PASSWORD\" | franking …",
            field="password",
        )
    return password


def _first_line() -> str:
    octets = getattr(sys.stdin, "buffer", None)
    return sys.stdin.readline() if octets is None else str(octets.readline(), "utf-8")


# --- flags ------------------------------------------------------------------------------------------------------------

_FLAGS = {"sender": "--from"}  # all others are called as their keys are
METAVARS = {  # what help shows of a field's type
    "int": "NUMBER",
    "float": "NUMBER",
    "seconds": "SECONDS",
    "path": "PATH",
    "date": "YYYY-MM-DD",
    "list": "A,B",
    "names": "A,B",
}
# what a form for e-mail settings asks, in its order: shown before all else
_FORM = ("provider", "sender", "host", "port", "security", "username", "no_auth")


def parameters(own: set[str]) -> dict[str, inspect.Parameter]:
    """Make a keyword parameter with a Typer option for ``provider``, ``from`` and every field of every provider, each
    key once.

    Keys in ``own`` are the command's own and are left out.
    """
    kinds = [each.name for each in providers()]
    flags = {
        "provider": _flag(
            "--provider", f"What kind of mailbox it is: {', '.join(kinds)}.", metavar="WORD", choices=kinds
        ),
        "sender": _flag(
            "--from",
            'Who sends: an address, with or without a name: "Jan Novák <info@novak.cz>".',
            metavar="ADDRESS",
        ),
        "no_auth": _flag("--no-auth", "No login: an open server inside a company network.", switch=True),
    }
    flags |= {key: _field_flag(key, fields) for key, fields in _fields().items()}
    ordered = {key: flags.pop(key) for key in _FORM if key in flags} | flags
    return {
        key: inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for key, annotation in ordered.items()
        if key not in own
    }


def _fields() -> dict[str, dict[str, Field]]:
    """Return each setting with what the providers that have it say of it; those of every account by no name."""
    shared: dict[str, dict[str, Field]] = {}
    for each in providers():
        for field in each.fields:
            if not field.secret:
                shared.setdefault(field.name, {})[each.name] = field
    return shared | {field.name: {"": field} for field in COMMON_FIELDS}


def _flag(
    flag: str,
    help_text: str,
    *,
    panel: str = "Settings",
    switch: bool = False,
    metavar: str | None = "TEXT",
    choices: Collection[str] = (),
) -> Any:
    kind: Any = str
    if switch:
        kind, metavar = bool, None
    option = typer.Option(
        flag,
        help=help_text,
        rich_help_panel=panel,
        show_default=False,
        metavar=metavar,
        autocompletion=_completion(tuple(choices)) if choices else None,
    )
    return Annotated[kind | None, option]


def _completion(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _field_flag(key: str, fields: Mapping[str, Field]) -> Any:
    """Make the flag of one key; ``fields`` are what the providers that have it say of it, by their names."""
    # numbers are texts here and read by the field itself, which says better than a parser what is wrong with them
    field = next(iter(fields.values()))
    choices = dict.fromkeys(choice for each in fields.values() for choice in each.choices)
    help_text, flag = _help_of(fields), field.flag
    if field.type == "bool":
        flag = f"{flag}/--no-{flag[2:]}"
    metavar = "|".join(choices) or METAVARS.get(field.type, "TEXT")
    if len(metavar) > 20:  # a wide column of them would cut the flags' names off in 80 columns
        metavar = "WORD"
        if any(choice not in help_text for choice in choices):
            help_text += f" One of: {', '.join(choices)}."
    switch = field.type == "bool"
    return _flag(flag, help_text, panel=_panel(key, fields), switch=switch, metavar=metavar, choices=choices)


def _help_of(fields: Mapping[str, Field]) -> str:
    """Return what a setting is, for each provider where they differ."""
    texts = dict.fromkeys(each.help for each in fields.values())
    if len(texts) == 1:
        return next(iter(texts))
    return " ".join(f"{name}: {each.help}" for name, each in fields.items())


def _panel(key: str, fields: Mapping[str, Field]) -> str:
    *names, last = fields
    if last == "":
        return "Settings of every account"
    if key in _FORM:
        return "Settings"
    if not names:
        return f"Settings of {last}"
    return f"Settings of {', '.join(names)} and {last}"


def as_flags(settings: Mapping[str, Any], *, password_stdin: bool = False) -> tuple[str, ...]:
    """Write settings as the flags that give them, to be typed again."""
    found: list[str] = []
    for key, value in settings.items():
        flag = _FLAGS.get(key, "--" + key.replace("_", "-"))
        if value is False:
            flag = f"--no-{flag[2:]}"
        found.append(flag)
        if isinstance(value, tuple | list):
            found.append(",".join(value))
        elif not isinstance(value, bool):
            found.append(str(value))
    if password_stdin:
        found.append("--password-stdin")
    return tuple(found)
