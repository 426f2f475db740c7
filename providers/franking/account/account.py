"""An account: who sends, by which provider, with which settings. A frozen value that never holds a secret.

``Field`` describes one key of an account; every provider declares its own (``Provider.fields``), and the keys that all
providers share stand here (``COMMON_FIELDS``). Files, account URLs and command-line flags are generated from these
fields. No I/O happens here, and no provider is known here by name: the registry finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from franking.account.fields import COMMON_FIELDS, unknown_key
from franking.errors import SettingsError
from franking.message.address import Address
from franking.registry import provider as provider_named

__all__ = [
    "SECRET_VARIABLES",
    "Account",
    "login_command",
    "repair_command",
    "secret_variable",
]


class Account:
    """Hold one way to send mail, frozen and validated; settings read as attributes (``account.host``).

    ``name`` is free text without slashes or control characters. ``sender`` is the From: ``info@novak.cz`` or ``Jan
    Novák <info@novak.cz>``. All other keys are the provider's fields (docs: accounts). Raises ``SettingsError`` that
    names the key, and the nearest known key for an unknown one. Two accounts are equal when their name, provider, From
    and settings are.
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
        if not name or name != name.strip() or name.startswith("-") or any(_unfit(char) for char in name):
            raise SettingsError(
                f"name: {name!r} cannot name an account; use letters, digits, dots and dashes.", field="name"
            )
        described = provider_named(provider)
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
        """Return every setting, defaults included."""
        return self._settings

    @property
    def given(self) -> Mapping[str, Any]:
        """Return only the settings that somebody wrote down: what goes back into a file or a URL."""
        return self._given

    @property
    def reference(self) -> str:
        """Return what a person types to mean this account: its name if it is saved, else the account URL that it was, or
        could be, made of.
        """
        if self._reference is None:  # made in code
            from franking.account.url import write_url

            return write_url(self)
        return self._reference

    @property
    def words(self) -> tuple[str, ...]:
        """Return what stands for this account behind ``franking send-test``: its name or URL, and flags; empty for one
        that was made in code.
        """
        return self._words

    def referred_to_as(self, reference: str | None, words: tuple[str, ...] | None = None) -> Account:
        """Make the same account with another ``reference`` (empty: nothing but these ``words`` means it) and
        ``words``.
        """
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
        """Return a setting, or ``default`` where this provider has no such key."""
        return self._settings.get(key, default)

    def replace(self, **changes: Any) -> Account:
        """Make a like account with some keys changed (``name``, ``sender`` and settings; ``None`` takes a setting
        away).
        """
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
        # somebody may have written a secret into a command's arguments: a repr ends up in logs, so it shows the program
        # only
        given = {
            key: f"{value.split(' ')[0]} …" if key.endswith("_command") else value for key, value in self._given.items()
        }
        shown = "".join(f", {key}={value!r}" for key, value in sorted(given.items()))
        return f"Account(name={self.name!r}, provider={self.provider!r}, sender={str(self.sender)!r}{shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, self.provider, self.sender, dict(self._given), self._reference, self._words)


def _rebuild(
    name: str, provider: str, sender: Address, given: dict[str, Any], reference: str | None, words: tuple[str, ...]
) -> Account:
    return Account(name=name, provider=provider, sender=sender, **given).referred_to_as(reference, words)


def _unfit(char: str) -> bool:
    return char in "/\\" or not char.isprintable()  # controls, half characters, direction marks


SECRET_VARIABLES = ("FRANKING_SECRET_", "FRANKING_STORE_KEY")
"""Beginnings of the environment variables that hold secrets: no business of any program that is started."""


def secret_variable(name: str) -> str:
    """Return the environment variable that may hold an account's secret: ``FRANKING_SECRET_MY_SHOP`` for ``my-shop``."""
    return "FRANKING_SECRET_" + re.sub("[^A-Z0-9]", "_", name.upper())


def repair_command(*words: str) -> str:
    """Write a ``franking`` command as it can be pasted into a shell."""
    import shlex

    return shlex.join(("franking", *words))


def login_command(account: Account) -> str:
    """Return the command that signs in for an account, or stores its password."""
    return repair_command("login", account.reference)
