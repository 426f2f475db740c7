"""The form: which settings it has, what stands in it, what is wrong with that, and the account that it makes. No
request, no page, and nothing is saved here.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.account.fields import COMMON_FIELDS, Field
from franking.errors import SettingsError
from franking.message.address import Address
from franking.provider import SupportsLogin
from franking.registry import provider as provider_named
from franking.registry import providers
from franking.sending.testsend import hints_for

if TYPE_CHECKING:
    from franking.provider import Provider
    from franking.web.words import Words

__all__ = ["CHECKS", "TEXTS", "Draft", "free_name", "methods", "refused_keys", "version_of"]

TEXTS = (
    "from", "host", "port", "security", "username", "auth", "timeout", "route", "client_id", "tenant", "mailbox",
)  # fmt: skip
CHECKS = ("large_attachments", "save_to_sent", "rewrite_from")
_TRANSPORT = ("host", "port", "security", "username", "auth")
_FURTHER = ("auth", "timeout", "route", "mailbox")
_ORDER = ("name", *TEXTS[:5], "password", "client_file", *TEXTS[5:], "to")
_SECURITIES = ("tls", "starttls", "none")


def methods() -> list[Provider]:
    """Return the kinds of mailbox that can be chosen: those with a server that one names, or a sign-in."""
    return [one for one in providers() if one.facts.oauth or "host" in _names(one)]


def shown_by(provider: Provider) -> list[str]:
    """Return the fields of the form that a kind of mailbox has; the page hides the others."""
    facts = provider.facts
    own = {key.name for key in (*COMMON_FIELDS, *provider.fields)} - set(_TRANSPORT if facts.oauth else ())
    shown = [key for key in (*TEXTS, *CHECKS) if key in own]
    if facts.client is not None and facts.client.file:
        shown.append("client_file")
    if isinstance(provider, SupportsLogin):
        shown += ["signin", "device"] if facts.device else ["signin"]
    return shown


def refused_keys() -> set[str]:
    """Return the settings that no form may carry: commands, files, endpoints, and whatever else it does not show."""
    every = {key.name for one in providers() for key in (*COMMON_FIELDS, *one.fields)}
    return every - {*TEXTS, *CHECKS, "enabled", "password"}


def version_of(account: Account | None, taken: Container[str] = ()) -> str:
    """Return a word that changes whenever the saved account does; for a new one, whenever the names do."""
    state: list[Any] = sorted(taken)  # type: ignore[call-overload]
    if account is not None:
        state = [account.provider, str(account.sender), dict(account.given)]
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass
class Draft:
    """What stands in the form. ``texts`` and ``checks`` are by the field's name, ``errors`` and ``notes`` sentences by
    it. ``saved`` is the account as it was saved, ``defaults`` what holds where the account says nothing, and the
    variable that says so.
    """

    words: Words
    provider: Provider
    saved: Account | None = None
    name: str = ""
    enabled: bool = True
    authentication: bool = True
    texts: dict[str, str] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    defaults: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    password: str = field(default="", repr=False)
    changed: bool = False

    # -- from an account ---------------------------------------------------------------------------------------------

    def fill(self, account: Account) -> None:
        """Put an account into the form."""
        given = account.given
        settings = account.settings
        self.name, self.enabled = account.name, account.enabled
        self.texts = {"from": str(account.sender)}
        for key in TEXTS[1:]:
            value = settings.get(key) if key in ("host", "port", "security", "username") else given.get(key)
            self.texts[key] = _shown(value)
        if account.get("route"):
            facts = self.provider.facts.route(self.provider.route(account))
            self.texts["route"] = "api" if facts.api else "smtp"
        self.checks = {key: bool(account.get(key)) for key in CHECKS}
        self.authentication = bool(account.get("username"))

    def fill_new(self) -> None:
        """Begin a new account."""
        self.texts = {**dict.fromkeys(TEXTS, ""), "security": "starttls", "port": "587"}
        self.texts |= {key: _shown(value) for key, (value, _) in self.defaults.items() if key in TEXTS}
        self.checks = {"large_attachments": False, "save_to_sent": True, "rewrite_from": False}

    # -- from what was posted ----------------------------------------------------------------------------------------

    def read(self, fields: Mapping[str, str]) -> None:
        """Put what was posted into the form: blanks around it are taken off, and that is said."""
        for key in (*TEXTS, "name"):
            if key in fields:
                text = stripped(fields[key])
                if text != fields[key]:
                    self.note(key, self.words("note.trimmed"))
                if key == "name":
                    self.name = text if self.saved is None else self.name
                else:
                    self.texts[key] = text
        for key in CHECKS:
            if not self.source(key):
                self.checks[key] = fields.get(key) == "on"
        self.enabled = fields.get("enabled") == "on"
        self.authentication = fields.get("authentication") == "on"
        self.password = fields.get("password", "")
        self.changed = True

    def note(self, key: str, text: str) -> None:
        """Say something beside a field, once."""
        said = self.notes.setdefault(key, [])
        if text not in said:
            said.append(text)

    def wrong(self, key: str, text: str) -> None:
        """Say what is wrong with a field; the first sentence stays."""
        self.errors.setdefault(key, text)

    def source(self, key: str) -> str:
        """Return the environment variable that fixes a setting, or nothing."""
        value, variable = self.defaults.get(key, (None, ""))
        own = (
            self.saved.given.get(key) if self.saved is not None and self.saved.provider == self.provider.name else None
        )
        return variable if own in (None, value) else ""

    # -- to an account -----------------------------------------------------------------------------------------------

    def account(self, name: str, client_file: str | None = None) -> Account | None:
        """Make the account that the form describes; None where a field is wrong, which is then said at the field.

        ``client_file`` is the path of a file that was uploaded.
        """
        sender = self._sender()
        settings = self._settings()
        client = self.provider.facts.client
        if client is not None and client.file and client_file:
            settings[client.key] = client_file
        if self.errors or sender is None:
            return None
        try:
            return Account(name=name, provider=self.provider.name, sender=sender, **settings)
        except SettingsError as problem:
            self.wrong(problem.field or "from", self.words.told(problem))
            return None

    def _sender(self) -> Address | None:
        text = self.texts.get("from", "")
        if not text:
            self.wrong("from", self.words("wrong.from-empty"))
            return None
        try:
            return Address.parse(text)
        except ValueError as problem:
            self.wrong("from", self.words("wrong.from", problem=self.words.told(problem)))
            return None

    def _settings(self) -> dict[str, Any]:
        same = self.saved is not None and self.saved.provider == self.provider.name
        own = {key.name: key for key in (*COMMON_FIELDS, *self.provider.fields) if not key.secret}
        kept = {}
        if self.saved is not None:
            common = {key.name for key in COMMON_FIELDS}
            kept = {key: value for key, value in self.saved.given.items() if key in own and (same or key in common)}
        settings = {key: value for key, (value, _) in self.defaults.items()} | kept
        able = shown_by(self.provider)
        shown = [key for key in (*TEXTS[1:], *CHECKS) if key in able]
        for key in shown:
            if self.source(key):
                settings[key] = self.defaults[key][0]
            elif key in CHECKS:
                self._put_check(settings, own[key])
            else:
                settings.pop(key, None)
                if (value := self._value(key, own[key])) is not None:
                    settings[key] = value
        settings.pop("enabled", None)
        if not self.enabled:
            settings["enabled"] = False
        return settings

    def _put_check(self, settings: dict[str, Any], key: Field) -> None:
        usual, _ = self.defaults.get(key.name, (key.default, ""))
        settings.pop(key.name, None)
        if self.checks.get(key.name, False) != usual:
            settings[key.name] = self.checks.get(key.name, False)

    def _value(self, key: str, known: Field) -> Any:
        """Return the value of a text field, None where it is left open."""
        text = self.texts.get(key, "")
        match key:
            case "host" if not text:
                self.wrong(key, self.words("wrong.host-empty"))
            case "username" if not self.authentication:
                return None
            case "username" if not text:
                self.wrong(key, self.words("wrong.username-empty"))
            case "route":
                return self._route(text)
            case "security" if text not in _SECURITIES:
                self.wrong(key, self.words("wrong.choice"))
                return None
        if not text:
            return None
        try:
            return known.read(text)
        except SettingsError as problem:
            code = f"wrong.{key}"
            self.wrong(key, self.words(code) if self.words.known(code) else self.words.told(problem))
            return None

    def _route(self, text: str) -> str | None:
        """Return the full name of a route; the one that is usual is left open."""
        routes = self.provider.facts.routes
        found = [one for one in routes if text in (one.name, "api" if one.api else "smtp")]
        if text and not found and text not in {one.name for other in providers() for one in other.facts.routes}:
            self.wrong("route", self.words("wrong.choice"))
        return found[0].name if found and found[0] is not routes[0] else None

    # -- what the page shows of it -----------------------------------------------------------------------------------

    def point_out(self, account: Account, language: str) -> None:
        """Say at its field what looks wrong in an account, which nobody changes; by the words that the form has."""
        for hint in hints_for(account):
            key = hint.code.partition(".")[0]
            if key in ("host", "port", "username"):
                called = {
                    key: self.words(f"called.{value}")
                    for key, value in hint.values.items()
                    if key in ("security", "usual_security") and value in _SECURITIES
                }
                self.note(key, replace(hint, values={**hint.values, **called}).say(language))

    @property
    def first_wrong(self) -> str:
        """Return the field that a person has to look at first, or nothing."""
        return next((key for key in _ORDER if key in self.errors), "")

    @property
    def more_open(self) -> bool:
        """Return whether something among the further settings is not as usual, or wrong."""
        usual = {"save_to_sent": True}
        own = shown_by(self.provider)
        for key in _FURTHER:
            standard = {"", "api", _shown(self.defaults.get(key, (None, ""))[0])}
            if key in own and (key in self.errors or self.texts.get(key, "") not in standard):
                return True
        return any(self.checks.get(key, False) != usual.get(key, False) for key in CHECKS if key in own)

    @property
    def others(self) -> list[tuple[str, str]]:
        """Return the saved account's settings that the form does not show as fields, to be read only."""
        if self.saved is None or self.saved.provider != self.provider.name:
            return []
        client = self.provider.facts.client
        shown = {*TEXTS, *CHECKS, "enabled"}
        if client is not None and client.file:
            shown.add(client.key)
        if self.provider.facts.oauth:
            shown -= set(_TRANSPORT)
        hidden = {key.name for key in self.provider.fields if key.runs}
        # somebody may have written a secret into a command's arguments
        return [
            (key, f"{str(value).split(' ')[0]} …" if key in hidden else _shown(value))
            for key, value in sorted(self.saved.given.items())
            if key not in shown
        ]


def stripped(text: str) -> str:
    """Return a text without blanks at its ends, those included that nobody sees."""
    start, end = 0, len(text)
    while start < end and _blank(text[start]):
        start += 1
    while end > start and _blank(text[end - 1]):
        end -= 1
    return text[start:end]


def _blank(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cf", "Cc")


def free_name(sender: str, provider: Provider, taken: Container[str]) -> str:
    """Make a name of an address: of its domain, or in a domain that many share of what stands before the @."""
    try:
        address = Address.parse(sender).address
    except ValueError:
        address = ""
    stem, _, domain = address.rpartition("@")
    if domain.lower() not in {one for other in providers() for one in other.facts.mail_domains}:
        stem = domain.partition(".")[0]
    stem = "".join(char for char in stem if char.isalnum() or char in "-_.").strip("-.") or "mail"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def named(name: str) -> Provider | None:
    """Return a kind of mailbox that can be chosen by its name, or None."""
    found = next((one for one in methods() if one.name == name), None)
    return provider_named(found.name) if found is not None else None


def _names(provider: Provider) -> set[str]:
    return {key.name for key in provider.fields}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
