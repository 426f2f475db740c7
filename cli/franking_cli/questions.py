"""What ``franking setup`` asks, one question at a time; what is known is filled in. It fills a draft of an account, and
writes nothing.

Every question has a flag, so that it also runs without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from franking.account.account import Account
from franking.account.config import load
from franking.account.fields import Field
from franking.account.url import write_url
from franking.auth.store import MemoryStore
from franking.discovery.recommend import recommend
from franking.discovery.recommendation import Recommendation
from franking.errors import SettingsError
from franking.manual import page_reference
from franking.message.address import Address
from franking.provider import Provider
from franking.registry import provider, providers
from franking_cli.commands.recommend import show
from franking_cli.console import Console, visible
from franking_cli.options import as_flags

__all__ = ["Draft", "ask_name", "ask_recipient", "ask_what_next", "change_server", "dropped_path", "new_draft"]

Value = TypeVar("Value")


@dataclass
class Draft:
    """An account that is being set up: what is known of it so far."""

    sender: Address
    provider: Provider
    settings: dict[str, Any]
    name: str = ""
    client_file: Path | None = None
    store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def fields(self) -> dict[str, Field]:
        """Return the provider's settings by their names."""
        return {each.name: each for each in self.provider.fields}

    @property
    def has_server(self) -> bool:
        """Return whether a server is chosen, as its provider has none of its own."""
        return not self.provider.facts.oauth and "host" in self.fields

    def account(self, name: str | None = None) -> Account:
        """Make the account. Raises ``SettingsError`` for what is missing or wrong."""
        account = load().build(
            name=self.name if name is None else name,
            provider=self.provider.name,
            sender=self.sender,
            **self.settings,
        )
        known = {key: value for key, value in self.settings.items() if value is not None}
        flags = as_flags({"provider": self.provider.name, "sender": str(self.sender), **known})
        return account.referred_to_as(write_url(account), flags)


def _ask(
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
    if answer is not None:
        return read(answer)
    while True:
        text = console.ask(question, default=default, flag=flag)
        try:
            return read(text)
        except ValueError as problem:
            console.say(visible(str(problem)), "warn")


# --- who sends, by which provider -------------------------------------------------------------------------------------


def new_draft(console: Console, address: str | None, settings: Mapping[str, Any], *, offline: bool) -> Draft:
    """Find out who sends, by which provider, and what that needs."""
    known = dict(settings)
    sender = _ask(
        console, "Your mail address", Address.parse, answer=known.pop("sender", None) or address, flag="ADDRESS"
    )
    found = recommend(known.get("host") or sender.address, offline=offline)
    if not console.json_output:
        show(console, found)
    kind = _choose_provider(console, found, known.pop("provider", None), has_host=bool(known.get("host")))
    known = {**_recommended(found, kind, sender), **known}
    if known.pop("no_auth", False):
        known["username"] = None
    draft = Draft(sender, kind, known)
    _ask_client(console, draft)
    _ask_required(console, draft)
    if draft.has_server:
        _ask_server(console, draft)
    return draft


def _choose_provider(console: Console, found: Recommendation, wanted: str | None, *, has_host: bool) -> Provider:
    """Let the person choose the provider, the recommended one first; a flag chooses without a question."""
    likeliest = found.provider
    if has_host:
        # takes a name and a password, as a server that nobody knows does
        plain = next(each.name for each in providers() if not each.facts.oauth)
        likeliest = likeliest or plain
        if not console.interactive:
            wanted = wanted or plain
    if wanted is not None:
        return provider(wanted)
    choices = sorted(providers(), key=lambda each: each.name != likeliest)
    default = likeliest
    if console.interactive:
        console.say()
        for number, each in enumerate(choices, 1):
            console.say(f"{number}. {each.title}{' (recommended)' * (each.name == found.provider)}", indent="  ")
        default = likeliest and "1"

    def read(text: str) -> Provider:
        if text.isascii() and text.isdigit() and 0 < int(text) <= len(choices):
            return choices[int(text) - 1]
        if not text or text.isdigit():
            raise SettingsError(f"Please type a number from 1 to {len(choices)}.")
        return provider(text)

    return _ask(console, "Which one", read, default=default, flag="--provider")


def _recommended(found: Recommendation, kind: Provider, sender: Address) -> dict[str, Any]:
    """Take the recommended settings over where a server and a login name are what the provider needs, another route to
    the same mailbox included.
    """
    if found.provider is None or kind.facts.oauth or all(each.name != "host" for each in kind.fields):
        return {}
    settings = {
        key: found.settings[key] for key in ("host", "port", "security", "username") if found.settings[key] is not None
    }
    if found.kind != "address":
        settings.setdefault("username", sender.address)
    return settings


# --- what the provider needs ------------------------------------------------------------------------------------------


def _ask_client(console: Console, draft: Draft) -> None:
    """Ask for what makes this program known to the provider, where it wants that and nobody gave it yet."""
    client = draft.provider.facts.client
    if client is None or any(draft.settings.get(key) for key in client.instead):
        return
    answer = draft.settings.get(client.key)
    if answer is None:
        default = load().defaults_of(draft.provider).get(client.key)
        if default is not None:
            client.check(str(default))  # it stands in the settings file or the environment, and stays there
            return
        if console.interactive:
            console.say()
            for line in client.steps:
                console.say(line, indent="  ", hang="     " if line[:1].isdigit() else "  ")
            console.say(f"More: {page_reference(client.page)}", indent="  ")

    def read(text: str) -> str:
        value = str(dropped_path(text)) if client.file else text.strip()
        client.check(value)
        return value

    value = _ask(console, client.question, read, answer=answer, flag="--" + client.key.replace("_", "-"))
    draft.settings[client.key] = value
    if client.file:
        draft.client_file = Path(value)


def dropped_path(text: str) -> Path:
    """Read a path as terminals paste it when a file is dropped on them: quotes, escaped blanks, ``file://``, blanks
    around it.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    elif not Path(text).exists():
        text = text.replace("\\ ", " ")
    if text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
        if len(text) > 2 and text[0] == "/" and text[2] == ":":  # file:///C:/…
            text = text[1:]
    return Path(text).expanduser()


def _ask_required(console: Console, draft: Draft) -> None:
    """Ask for the settings without which there is no account: the provider's own checks say which."""
    while True:
        try:
            draft.account("new")
        except SettingsError as problem:
            missing = draft.fields.get(problem.field or "")
            if missing is None or draft.settings.get(missing.name) is not None:
                raise
            _ask_field(console, draft, missing)
        else:
            return


def _ask_field(console: Console, draft: Draft, wanted: Field, default: str | None = None) -> None:
    draft.settings[wanted.name] = _ask(console, wanted.help.rstrip("."), wanted.read, default=default, flag=wanted.flag)


# --- its server -------------------------------------------------------------------------------------------------------


def change_server(console: Console, draft: Draft) -> None:
    """Ask once more for the server and what belongs to it; what was said before is filled in."""
    before = {key: draft.settings.pop(key, None) for key in ("host", "security", "port", "username")}
    _ask_field(console, draft, draft.fields["host"], before["host"])
    _ask_server(console, draft, before)


def _ask_server(console: Console, draft: Draft, before: Mapping[str, Any] | None = None) -> None:
    """Ask for what is not known of a server: security, port and login name. ``before`` is what was said of it the last
    time.
    """
    settings = draft.settings
    known = dict(before or {})
    found = recommend(settings["host"], offline=True)
    if found.provider == draft.provider.name:
        known = dict(found.settings)
    _ask_transport(console, draft, "security", known)
    if before and settings["security"] != before["security"]:
        known["port"] = None  # the port goes with the security
    _ask_transport(console, draft, "port", known)
    if "username" in settings:
        return
    login = known.get("username")
    if login or console.confirm("Does the server want a login?", default=True, flag="--username or --no-auth"):
        settings["username"] = _ask(
            console,
            "Login name",
            draft.fields["username"].read,
            default=login or draft.sender.address,
            flag="--username",
        )


def _ask_transport(console: Console, draft: Draft, key: str, known: Mapping[str, Any]) -> None:
    """Ask for the security or the port, unless it is known."""
    if key in draft.settings:
        return
    wanted = draft.fields[key]
    question = key.capitalize()
    if wanted.choices:
        question += f" ({', '.join(wanted.choices)})"
    default = str(known.get(key) or draft.account("new").settings[key])
    draft.settings[key] = _ask(console, question, wanted.read, default=default, flag=wanted.flag)


# --- the rest ---------------------------------------------------------------------------------------------------------


def ask_name(console: Console, draft: Draft, answer: str | None, *, replace: bool) -> str:
    """Ask what to call the account."""
    taken = load().names

    def read(text: str) -> str:
        if text in taken and not replace:
            raise SettingsError(
                f"There is an account {text!r} already; choose another name, or replace it with --replace.",
                field="name",
            )
        return draft.account(text).name

    return _ask(console, "Name of the account", read, answer=answer, default=_free_name(draft, taken), flag="--name")


def _free_name(draft: Draft, taken: Container[str]) -> str:
    """Make a name of the address: of its domain, or in a domain that many share of what stands before the @."""
    stem, _, domain = draft.sender.address.rpartition("@")
    if domain.lower() not in draft.provider.facts.mail_domains:
        stem = domain.partition(".")[0]
    stem = "".join(char for char in stem if char.isalnum() or char in "-_.") or "mail"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def ask_recipient(console: Console, answer: str | None, account: Account) -> str:
    """Ask where the test message goes."""
    question, default = "Send the test message to", account.sender.address
    return _ask(console, question, Address.parse, answer=answer, default=default, flag="--to").address


def ask_what_next(console: Console, draft: Draft) -> str:
    """Ask what to do after a test that failed; without a terminal nothing is saved."""
    if not console.interactive:
        return "quit"
    answers, ways = ["again", "save", "quit"], "Sign in and try again"
    if draft.has_server:
        answers, ways = ["again", "change", "save", "quit"], "Try again with another password, change the settings"

    def read(text: str) -> str:
        for answer in answers:
            if text and answer.startswith(text.lower()):
                return answer
        raise SettingsError(f"Please answer {', '.join(answers[:-1])} or {answers[-1]}.")

    console.say(f"\n{ways}, save it anyway, or quit?")
    return _ask(console, f"What now ({'/'.join(answers)})", read, default="quit", flag="--save-anyway")
