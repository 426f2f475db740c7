"""An account: who sends, by which provider, with which settings. A frozen value that never holds a secret.

``Field`` describes one key of an account; every provider declares its own (``Provider.fields``), and the keys that all
providers share stand here (``COMMON_FIELDS``). Files, account URLs and command-line flags are generated from these
fields. No I/O happens here, and no provider is known here by name: the registry hands in the look-up (``described_by``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Any, Protocol

from franking.address import Address
from franking.errors import SettingsError

__all__ = [
    "COMMON_FIELDS",
    "SECRET_VARIABLES",
    "Account",
    "Describes",
    "Field",
    "described_by",
    "login_command",
    "nearest",
    "repair_command",
    "secret_variable",
    "unknown_key",
    "written_by",
]


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one key of an account: the only place where that key stands.

    ``name`` is the key in accounts.toml and in account URLs; with dashes it is the command-line flag. ``type`` is ``str``, ``int``,
    ``float``, ``bool``, ``list`` (of strings) or ``path``. ``aliases`` maps other spellings of a choice to the right one.
    ``default`` is what holds when the key is absent; a default that depends on other keys is filled in by the provider's ``settle``.
    ``secret`` marks a key that must not be written in a settings file: it is refused, with ``help`` as the reason. ``private`` marks a path
    whose file holds a secret: one that others may read is pointed at.
    """

    name: str
    type: str = "str"
    default: Any = None
    choices: tuple[str, ...] = ()
    help: str = ""
    aliases: Mapping[str, str] = dataclass_field(default_factory=dict)
    secret: bool = False
    private: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def flag(self) -> str:
        """Give the command-line flag: ``--ca-file`` for ``ca_file``."""
        return "--" + self.name.replace("_", "-")

    def read(self, value: Any) -> Any:
        """Turn what a file, a URL or a flag holds into the field's type.

        Raises ``SettingsError`` that names the field, the reason and what to do.
        """
        if self.secret:
            raise SettingsError(f"{self.name}: {self.help}", field=self.name)
        read = _READERS[self.type](self, value)
        if self.choices:
            read = self.aliases.get(str(read).lower(), str(read).lower())
            if read not in self.choices:
                raise self._wrong(value, f"is not one of {', '.join(self.choices)}")
        if self.minimum is not None and read < self.minimum:
            raise self._wrong(value, f"is below {self.minimum:g}")
        if self.maximum is not None and read > self.maximum:
            raise self._wrong(value, f"is above {self.maximum:g}")
        return read

    def _wrong(self, value: Any, why: str) -> SettingsError:
        return SettingsError(f"{self.name}: {value!r} {why}.", field=self.name)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise field._wrong(value, "is not text; put it in quotes")
    for sign in value:
        if sign in "\r\n\0":
            raise field._wrong(value, "contains a line break or a NUL, which no setting may")
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value) and not _names_a_file(field, value):
        raise field._wrong(value, "contains half a character (a lone surrogate), which no setting may")
    return value


def _names_a_file(field: Field, value: str) -> bool:
    """Tell whether it is a path with octets that are no UTF-8, which Python spells with surrogates (PEP 383)."""
    try:
        return field.type == "path" and bool(os.fsencode(value))
    except UnicodeEncodeError:
        return False


def _path(field: Field, value: Any) -> str:
    return os.path.expanduser(_text(field, os.fspath(value) if isinstance(value, os.PathLike) else value))  # noqa: PTH111  (stays text)


def _integer(field: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise field._wrong(value, "is not a whole number")
    try:
        return int(value)
    except ValueError:
        raise field._wrong(value, "is not a whole number") from None


def _number(field: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise field._wrong(value, "is not a number")
    try:
        number = float(value)
    except ValueError:
        raise field._wrong(value, "is not a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise field._wrong(value, "is not a number of seconds")
    return number


def _yes_or_no(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _YES_NO:
        return _YES_NO[value.lower()]
    raise field._wrong(value, "is neither true nor false")


def _list(field: Field, value: Any) -> tuple[str, ...]:
    parts: Iterable[Any] = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise field._wrong(value, "is not a list")
    return tuple(_text(field, part).strip().lower() for part in parts if part)


_YES_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "str": _text,
    "path": _path,
    "int": _integer,
    "float": _number,
    "bool": _yes_or_no,
    "list": _list,
}

COMMON_FIELDS = (
    Field("enabled", "bool", True, help="Whether this account may send."),
    Field("rewrite_from", "bool", False, help="Put the account's address into the header From; the original goes to Reply-To."),
    Field("ca_file", "path", help="Extra CA certificates (PEM) for every TLS connection of this account."),
    Field("timeout", "float", 30.0, minimum=0.01, help="Seconds without progress in any step."),
    Field("final_timeout", "float", 600.0, minimum=0.01, help="Seconds to wait for the reply that accepts the message."),
)


class Describes(Protocol):
    """What an account needs to know of its provider."""

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> tuple[Field, ...]: ...
    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        """Fill in defaults that depend on other keys, and refuse what cannot go together (``SettingsError``).

        ``settings`` holds a value for every field, defaults included; keys that nobody set have their field's default.
        """
        ...


_lookup: Callable[[str], Describes] | None = None
_write_url: Callable[[Account], str] | None = None


def described_by(lookup: Callable[[str], Describes]) -> None:
    """Set the look-up from a provider's name to its description; the registry does it."""
    global _lookup
    _lookup = lookup


def written_by(write_url: Callable[[Account], str]) -> None:
    """Set what writes an account as a URL, for commands that mean one made in code; the settings file's reader does it."""
    global _write_url
    _write_url = write_url


class Account:
    """Hold one way to send mail, frozen and validated; settings read as attributes (``account.host``).

    ``name`` is free text without slashes or control characters. ``sender`` is the From: ``info@novak.cz`` or
    ``Jan Novák <info@novak.cz>``. All other keys are the provider's fields (docs: accounts). Raises ``SettingsError`` that names the key,
    and the nearest known key for an unknown one. Two accounts are equal when their name, provider, From and settings are.
    """

    __slots__ = ("_given", "_reference", "_settings", "_words", "name", "provider", "sender")
    name: str
    provider: str
    sender: Address
    _given: Mapping[str, Any]
    _reference: str | None
    _settings: Mapping[str, Any]
    _words: tuple[str, ...]

    def __init__(self, *, name: str, provider: str, sender: str | Address, **settings: Any) -> None:
        if _lookup is None:
            raise RuntimeError("import Account from franking, not from franking.account")
        if not name or name != name.strip() or name.startswith("-") or any(_unfit(sign) for sign in name):
            raise SettingsError(f"name: {name!r} cannot name an account; use letters, digits, dots and dashes.", field="name")
        described = _lookup(provider)
        try:
            address = sender if isinstance(sender, Address) else Address.parse(sender)
        except ValueError as problem:
            raise SettingsError(f"from: {problem}", field="from") from None
        fields = {field.name: field for field in (*COMMON_FIELDS, *described.fields)}
        for key in settings:
            if key not in fields:
                raise SettingsError(unknown_key(key, f"{described.name} accounts", fields), field=key)
        given = {key: fields[key].read(value) for key, value in settings.items() if value is not None}
        filled = {key: given.get(key, field.default) for key, field in fields.items() if not field.secret}
        settled = dict(described.settle(MappingProxyType(filled), address))
        for key, value in (
            ("name", name),
            ("provider", described.name),
            ("sender", address),
            ("_given", MappingProxyType(given)),
            ("_settings", MappingProxyType(settled)),
            ("_reference", None),
            ("_words", ()),
        ):
            object.__setattr__(self, key, value)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Give every setting, defaults included."""
        return self._settings

    @property
    def given(self) -> Mapping[str, Any]:
        """Give only the settings that somebody wrote down: what goes back into a file or a URL."""
        return self._given

    @property
    def reference(self) -> str:
        """Give what a person types to mean this account: its name if it is saved, else the account URL that it was, or could be, made of."""
        if self._reference is None:  # made in code
            return self.name if _write_url is None else _write_url(self)
        return self._reference

    @property
    def words(self) -> tuple[str, ...]:
        """Give what stands for this account behind ``franking send-test``: its name or URL, and flags; empty for one that was made in code."""
        return self._words

    def referred_to_as(self, reference: str | None, words: tuple[str, ...] | None = None) -> Account:
        """Make the same account with another ``reference`` (empty: nothing but these ``words`` means it) and ``words``."""
        made = self.replace()
        object.__setattr__(made, "_reference", reference)
        object.__setattr__(made, "_words", words if words is not None else () if reference is None else (reference,))
        return made

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self._settings[key]
        except KeyError:
            raise AttributeError(f"{self.provider} accounts have no setting {key!r}") from None

    def get(self, key: str, default: Any = None) -> Any:
        """Give a setting, or ``default`` where this provider has no such key."""
        return self._settings.get(key, default)

    def replace(self, **changes: Any) -> Account:
        """Make a like account with some keys changed (``name``, ``sender`` and settings; ``None`` takes a setting away)."""
        base: dict[str, Any] = {"name": self.name, "provider": self.provider, "sender": self.sender, **self._given}
        return Account(**{**base, **changes})

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"an account is frozen; use replace({key}=…)")

    def __delattr__(self, key: str) -> None:
        raise AttributeError("an account is frozen")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, self.provider, str(self.sender)))

    def _key(self) -> tuple[Any, ...]:
        return (self.name, self.provider, self.sender, dict(self._settings))

    def __repr__(self) -> str:
        # somebody may have written a secret into a command's arguments: a repr ends up in logs, so it shows the program only
        given = {key: f"{value.split(' ')[0]} …" if key.endswith("_command") else value for key, value in self._given.items()}
        shown = "".join(f", {key}={value!r}" for key, value in sorted(given.items()))
        return f"Account(name={self.name!r}, provider={self.provider!r}, sender={str(self.sender)!r}{shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, self.provider, self.sender, dict(self._given), self._reference, self._words)


def _rebuild(name: str, provider: str, sender: Address, given: dict[str, Any], reference: str | None, words: tuple[str, ...]) -> Account:
    import franking  # the public name installs the look-up first, in a fresh process too

    return franking.Account(name=name, provider=provider, sender=sender, **given).referred_to_as(reference, words)


def _unfit(sign: str) -> bool:
    return sign in "/\\" or not sign.isprintable()  # controls, half characters, direction marks


def unknown_key(key: str, where: str, known: Iterable[str]) -> str:
    """Say that a key is not known there, and which known one is nearest."""
    known = list(known)
    close = nearest(key, known)
    hint = f"did you mean {close}?" if close else f"known keys: {', '.join(known)}."
    return f"{key} is not a setting of {where}; {hint}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that ``word`` was probably meant to be, or None."""
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(word.replace("-", "_").lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


SECRET_VARIABLES = ("FRANKING_SECRET_", "FRANKING_STORE_KEY")
"""Beginnings of the environment variables that hold secrets: no business of any program that is started."""


def secret_variable(name: str) -> str:
    """Give the environment variable that may hold an account's secret: ``FRANKING_SECRET_MY_SHOP`` for ``my-shop``."""
    return "FRANKING_SECRET_" + re.sub("[^A-Z0-9]", "_", name.upper())


def repair_command(*words: str) -> str:
    """Write a ``franking`` command as it can be pasted into a shell."""
    import shlex

    return shlex.join(("franking", *words))


def login_command(account: Account) -> str:
    """Give the command that signs in for an account, or stores its password."""
    return repair_command("login", account.reference)
