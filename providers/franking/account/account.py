"""An account: who sends, by which provider, with which settings. A frozen value that never holds a secret.

Which keys there are, ``Field`` describes: those of all providers in ``COMMON_FIELDS``, every provider's own in
``Provider.fields``. No I/O happens here, and no provider is known here by name: the registry finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

from franking.account.fields import COMMON_FIELDS, unknown_key
from franking.errors import SettingsError
from franking.message.address import Address
from franking.registry import provider as provider_named

__all__ = ["Account"]


class Account:
    """Hold one way to send mail, frozen and validated; settings read as attributes (``account.host``).

        account = franking.Account(
            name="shop", provider="smtp", sender="info@novak.cz", host="smtp.novak.cz", username="info@novak.cz"
        )

    ``name`` is free text without slashes or control characters. ``sender`` is the From: ``info@novak.cz`` or ``Jan
    Novák <info@novak.cz>``. All other keys are the provider's fields (docs: accounts). Raises ``SettingsError`` that
    names the key, and the nearest known key for an unknown one. Two accounts are equal when their name, provider, From
    and settings are.
    """

    __slots__ = ("name", "provider", "sender", "_given", "_settings", "_reference", "_words")  # noqa: RUF023
    name: str
    provider: str
    sender: Address
    _given: dict[str, Any]
    _settings: dict[str, Any]
    _reference: str | None
    _words: tuple[str, ...]

    def __init__(self, *, name: str, provider: str, sender: str | Address, **settings: Any) -> None:
        if not name or name != name.strip() or name.startswith("-") or any(_unfit(char) for char in name):
            raise SettingsError(
                f"name: {name!r} cannot name an account; use letters, digits, dots and dashes.", field="name"
            )
        described = provider_named(provider)
        if not isinstance(sender, Address):
            try:
                sender = Address.parse(sender)
            except ValueError as problem:
                raise SettingsError(f"from: {problem}", field="from") from None
        fields = {field.name: field for field in (*COMMON_FIELDS, *described.fields)}
        given = {}
        for key, value in settings.items():
            if key not in fields:
                raise SettingsError(unknown_key(key, f"{described.name} accounts", fields), field=key)
            if value is not None:
                given[key] = fields[key].read(value)
        filled = {key: given.get(key, field.default) for key, field in fields.items() if not field.secret}
        settled = described.settle(MappingProxyType(filled), sender)
        self.__setstate__((name, described.name, sender, given, dict(settled), None, ()))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return every setting, defaults included."""
        return MappingProxyType(self._settings)

    @property
    def given(self) -> Mapping[str, Any]:
        """Return only the settings that somebody wrote down: what goes back into a file or a URL."""
        return MappingProxyType(self._given)

    @property
    def reference(self) -> str:
        """Return what a person types to mean this account.

        That is its name if it is saved, else the account URL that it was, or could be, made of.
        """
        if self._reference is None:  # made in code
            from franking.account.url import write_url

            return write_url(self)
        return self._reference

    @property
    def words(self) -> tuple[str, ...]:
        """Return what stands for this account behind ``franking send-test``: its name or URL, and flags.

        There are none for one that was made in code.
        """
        return self._words

    @property
    def saved(self) -> bool:
        """Return whether this is an account as the settings file has it, unchanged by flags."""
        return self._words == (self.name,)

    @property
    def from_url(self) -> bool:
        """Return whether an account URL made it, or flags that nobody saved."""
        return self._reference is not None and "://" in self._reference

    def referred_to_as(self, reference: str, words: tuple[str, ...] | None = None) -> Account:
        """Make the same account with another ``reference`` and ``words``, by default the reference alone.

        An empty reference: nothing but these ``words`` means it.
        """
        made = copy(self)
        made.__setstate__((*self.__getstate__()[:-2], reference, (reference,) if words is None else words))
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
        """Make a like account with some keys changed: ``name``, ``sender`` and settings; ``None`` takes one away."""
        base = {"name": self.name, "provider": self.provider, "sender": self.sender, **self._given}
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
        return (self.name, self.provider, self.sender, self._settings)

    def __repr__(self) -> str:
        given = dict(self._given)
        for key in filter(self._runs, given):
            # somebody may have written a secret into a command's arguments, and a repr ends up in logs
            given[key] = f"{str(given[key]).split(' ')[0]} …"
        shown = "".join(f", {key}={value!r}" for key, value in sorted(given.items()))
        return f"Account(name={self.name!r}, provider={self.provider!r}, sender={str(self.sender)!r}{shown})"

    def _runs(self, key: str) -> bool:
        try:
            fields = provider_named(self.provider).fields
        except SettingsError:  # it was registered once, and a repr never fails
            return True
        return any(field.runs for field in fields if field.name == key)

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, slot) for slot in self.__slots__)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # copies and pickles neither read nor settle anything again
        for slot, value in zip(self.__slots__, state, strict=True):
            object.__setattr__(self, slot, value)


def _unfit(char: str) -> bool:
    return char in "/\\" or not char.isprintable()  # controls, half characters, direction marks
