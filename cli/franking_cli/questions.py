"""What ``franking setup`` asks, one question at a time. Each fills in one answer of a draft; what is known already is
not asked, and a wrong answer is asked again with its reason. What comes after a failed test is in ``changes.py``.

Every question has a flag, so that it also runs without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from franking.account.account import Account
from franking.account.config import load
from franking.account.fields import CLIENT_SECRET_EXPIRES, Field
from franking.discovery.recommend import better_provider, server_settings
from franking.errors import SettingsError
from franking.message.address import Address
from franking.provider import ClientFacts, Provider
from franking.registry import providers
from franking_cli.console import Console, visible
from franking_cli.draft import Draft
from franking_cli.errands import show_errands, walk

__all__ = [
    "NONE",
    "ask",
    "ask_client",
    "ask_client_value",
    "ask_day",
    "ask_field",
    "ask_login",
    "ask_name",
    "ask_password",
    "ask_recipient",
    "ask_required",
    "ask_server",
    "dropped_path",
    "password_road",
]

Value = TypeVar("Value")

NONE = "-"  # typed where something is asked for that need not be


def ask(
    console: Console,
    question: str,
    read: Callable[[str], Value],
    *,
    answer: str | None = None,
    default: str | None = None,
    flag: str,
) -> Value:
    """Take the answer that a flag gave, else ask until one can be read; without a terminal the default counts, or the
    flag is named.
    """
    if answer is None and default is not None and not console.interactive:
        answer = default
    while True:
        text = answer
        if text is None:
            text = console.ask(question, default=default, flag=flag)
        try:
            return read(text)
        except ValueError as problem:
            if not console.interactive:
                raise
            console.say(console.spoken(console.said(str(problem))), "warn")
            answer = None


# --- what the provider needs ------------------------------------------------------------------------------------------


def ask_client(console: Console, draft: Draft, *, again: bool = False) -> None:
    """Ask for what makes this program known to the provider, where it wants that and nobody gave it yet."""
    client = draft.provider.facts.client
    if client is None or any(draft.known.get(key) for key in client.instead):
        return
    before = draft.settings.get(client.key)
    if before is None and not again:
        default = load().defaults_of(draft.provider).get(client.key)
        if default is not None:
            client.check(str(default))  # it stands in the settings file or the environment, and stays there
            return
        if console.interactive:
            _show_how_to_be_known(console, draft, client)
    answer, shown = before, None
    if again:
        answer, shown = None, before
    draft.settings[client.key] = value = ask_client_value(console, draft.provider, answer, default=shown)
    if client.file:
        draft.client_file = Path(value)


def _show_how_to_be_known(console: Console, draft: Draft, client: ClientFacts) -> None:
    """Show what is to be done at the provider, and what somebody at work hands to their administrator."""
    console.say("\n" + console.words("setup.to-be-known", title=draft.provider.title))
    show_errands(console, client.steps)
    if client.letter and draft.sender.domain.lower() not in draft.provider.facts.mail_domains:
        console.say(console.words("setup.letter"), indent="  ")
        console.say(console.said(client.letter), "faint", indent="     ")
    console.say(console.words("setup.register"), indent="  ")


def ask_client_value(console: Console, kind: Provider, answer: str | None, *, default: str | None = None) -> str:
    """Ask for a client's file or ID, which is looked at; ``register`` leads through the pages first."""
    client = kind.facts.client
    assert client is not None

    def read(text: str) -> str:
        if text.strip() == "register" and console.interactive:
            walk(console, client.steps)
            return ""
        value = text.strip()
        if client.file:
            value = str(dropped_path(text))
        client.check(value)
        return value

    flag = "--" + client.key.replace("_", "-")
    while not (value := ask(console, console.said(client.question), read, answer=answer, default=default, flag=flag)):
        answer = None
    return value


def dropped_path(text: str) -> Path:
    """Read a path as terminals paste it when a file is dropped on them: quotes, escaped blanks, ``file://``, blanks
    around it.
    """
    text = _unquoted(text.strip())
    if text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
        if text[:1] == "/" and text[2:3] == ":":  # file:///C:/…
            text = text[1:]
    return Path(text).expanduser()


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if Path(text).exists():
        return text
    return text.replace("\\ ", " ")


def ask_required(console: Console, draft: Draft) -> None:
    """Ask for the settings without which there is no account, and for those that a flag gave wrongly: the provider's
    own checks say which.
    """
    while True:
        try:
            draft.account()
        except SettingsError as problem:
            wanted = draft.fields.get(problem.field or "")
            if wanted is None:
                raise
            if draft.known.get(wanted.name) is not None:
                _drop_wrong(console, draft, wanted, problem)
            ask_field(console, draft, wanted)
        else:
            return


def _drop_wrong(console: Console, draft: Draft, wanted: Field, problem: SettingsError) -> None:
    """Say what is wrong with a setting and forget it; where nobody can be asked, raise it."""
    if not console.interactive:
        raise problem
    console.say(console.spoken(console.said(str(problem))), "warn")
    draft.settings.pop(wanted.name, None)
    draft.recommended.pop(wanted.name, None)


def ask_field(console: Console, draft: Draft, wanted: Field, default: str | None = None) -> None:
    """Ask for one setting, whatever it is."""
    question = console.said(wanted.help).partition(";")[0].rstrip(".")
    if wanted.choices:
        label = console.said(wanted.name.replace("_", " ").capitalize())
        question = f"{label} ({', '.join(wanted.choices)})"
    draft.settings[wanted.name] = ask(console, question, wanted.read, default=default, flag=wanted.flag)


# --- its server -------------------------------------------------------------------------------------------------------


def ask_server(console: Console, draft: Draft) -> None:
    """Find out how to reach a server: what is known of it, else what its ports say, else by asking."""
    host = draft.known["host"]
    if known := server_settings(host, draft.address):
        draft.recommended = {**known, **draft.recommended}
    elif not draft.offline and not {"security", "port"} & draft.known.keys():
        _look_at_ports(console, draft, host)
    for key in ("security", "port"):  # the security follows from the port, where that one was given
        if draft.known.get(key) is None and draft.known.get("port") is None:
            ask_field(console, draft, draft.fields[key], str(draft.account().settings[key]))
    if "username" not in draft.known:
        ask_login(console, draft, draft.address)


def ask_login(console: Console, draft: Draft, default: str | None) -> None:
    """Ask for the login name; a server inside a company may want none."""
    question = console.words("setup.login-name", none=NONE)

    def read(text: str) -> str | None:
        if text == NONE:
            return None
        return str(draft.fields["username"].read(text))

    if not console.interactive:
        console.ask(question, flag="--username or --no-auth")
    draft.settings["username"] = ask(console, question, read, default=default, flag="--username or --no-auth")


def _look_at_ports(console: Console, draft: Draft, host: str) -> None:
    """Try the usual ports of a server that nobody knows, and take the best of them over."""
    from franking.discovery.probe import advice, probe_ports

    if not console.interactive:
        return
    console.passing(f"  … {console.words('setup.trying-ports', host=visible(host))}")
    results = probe_ports(host, ca_file=draft.known.get("ca_file"), timeout=5.0)
    if results and results[0].usable:
        best = results[0]
        draft.recommended |= {"port": best.port, "security": best.security}
        if not best.auth:
            draft.recommended["username"] = None
    console.say(console.spoken(advice(results, language=console.words.language)))


# --- the rest ---------------------------------------------------------------------------------------------------------


def ask_name(console: Console, draft: Draft, answer: str | None, *, replace: bool, again: bool = False) -> None:
    """Take the account's name, or make one of the address; it is asked for only where the person wants another."""
    taken = load().names

    def read(text: str) -> str:
        if text in taken and not replace:
            raise SettingsError(console.words("setup.name-taken", name=repr(text)), field="name")
        return draft.account(text).name

    if answer is None and not again:
        draft.name = _free_name(draft, taken)
        return
    default = draft.name or _free_name(draft, taken)
    draft.name = ask(console, console.words("setup.name"), read, answer=answer, default=default, flag="--name")
    draft.named = True


def _free_name(draft: Draft, taken: tuple[str, ...]) -> str:
    """Make a name of the address: of its domain, or in a domain that many share of what stands before the @."""
    stem, _, domain = draft.address.rpartition("@")
    shared = {name for each in providers() for name in each.facts.mail_domains}
    if domain.lower() not in shared:
        stem = domain.partition(".")[0]
    stem = "".join(char for char in stem if char.isalnum() or char in "-_.") or "mail"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def password_road(console: Console, draft: Draft) -> None:
    """Show how to come by a password that the provider takes of programs, where it has such a road."""
    better = better_provider(str(draft.known.get("host") or ""))
    if better is not None and better.facts.app_password is not None:
        console.say("\n" + console.words("setup.app-password", title=better.title))
        show_errands(console, better.facts.app_password.steps)


def ask_password(console: Console, draft: Draft, account: Account) -> None:
    """Ask for the password, or the client secret, without showing it."""
    question = console.words("login.password-of", who=visible(account.get("username") or account.name))
    if draft.provider.facts.oauth:
        question = console.words("setup.client-secret")
    while not (password := console.ask(question, hidden=True, flag="--password-stdin")):
        console.say(console.words("setup.nothing-typed"), "warn")
    draft.password = password


def ask_recipient(console: Console, draft: Draft, answer: str | None = None, *, again: bool = False) -> None:
    """Ask where the test message goes."""
    if draft.to and not again:
        return
    default = draft.to or draft.address
    question = console.words("setup.test-to")
    found = ask(console, question, Address.parse, answer=answer, default=default, flag="--to")
    draft.to = found.address


def ask_day(console: Console) -> str | None:
    """Ask on which day a client secret ends; nothing typed: nobody knows, and nobody is told before."""
    while text := console.ask(console.words("login.secret-ends"), flag=""):
        try:
            return str(CLIENT_SECRET_EXPIRES.read(text))
        except SettingsError as problem:
            console.say(console.said(str(problem)), "bad")
    return None
