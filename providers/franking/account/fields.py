"""One key of an account: its name, type, default, choices and help. Files, URLs and flags are generated from these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

from franking.errors import Evidence, SettingsError
from franking.text import suggestion

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["CLIENT_SECRET_EXPIRES", "COMMON_FIELDS", "WRONG_VALUE", "Field", "https_address", "unknown_key"]

WRONG_VALUE = Evidence("settings", reason="value")
"""What was seen where no setting, but an argument or an option of a command, has a value that does not fit."""


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one key of an account: the only place where that key stands.

    ``name`` is the key in accounts.toml and in account URLs; with dashes it is the command-line flag. ``type`` is
    ``str``, ``int``, ``float``, ``seconds``, ``bool``, ``date``, ``list`` (of words), ``names`` or ``path``.
    ``aliases`` maps other spellings of a choice to the right one. ``default`` is what holds when the key is absent; a
    default that depends on other keys is filled in by the provider's ``settle``. ``secret`` marks a key that must not
    be written in a settings file: it is refused, with ``help`` as the reason. ``private`` marks a path whose file
    holds a secret: one that others may read is pointed at. ``credential`` marks a key that names where the account's
    secret is: a ``command`` that prints it, a command that prints an access ``token``, a ``file`` that begins with it,
    or the ``key`` that signs in by itself.
    ``loosens`` are the values with which less protects the secret on its way; ``...`` is any.
    """

    name: str
    type: str = "str"
    default: Any = None
    choices: tuple[str, ...] = ()
    help: str = ""
    aliases: Mapping[str, str] = dataclass_field(default_factory=dict)
    secret: bool = False
    private: bool = False
    credential: str = ""
    minimum: float | None = None
    maximum: float | None = None
    loosens: tuple[Any, ...] = ()

    @property
    def flag(self) -> str:
        """Return the command-line flag: ``--ca-file`` for ``ca_file``."""
        return "--" + self.name.replace("_", "-")

    @property
    def runs(self) -> bool:
        """Return whether its value is a command that is run."""
        return self.credential in ("command", "token")

    @property
    def fetches(self) -> bool:
        """Return whether it says where the secret itself is fetched: from a command, or from a file."""
        return self.runs or self.credential == "file"

    def is_loose(self, value: Any) -> bool:
        """Return whether less protects the secret on its way with this value."""
        return value in self.loosens or (value is not None and ... in self.loosens)

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
    if any(char in value for char in "\r\n\0"):
        raise field._wrong(value, "contains a line break or a NUL, which no setting may")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value) and not _names_a_file(field, value):
        raise field._wrong(value, "contains half a character (a lone surrogate), which no setting may")
    return value


def _names_a_file(field: Field, value: str) -> bool:
    """Return whether it is a path with octets that are no UTF-8, which Python spells with surrogates (PEP 383)."""
    try:
        return field.type == "path" and bool(os.fsencode(value))
    except UnicodeEncodeError:
        return False


def _path(field: Field, value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return os.path.expanduser(_text(field, value))


def _integer(field: Field, value: Any) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError):
            return int(value)
    raise field._wrong(value, "is not a whole number")


def _number(field: Field, value: Any) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
            if abs(number) < float("inf"):  # which NaN is not either
                return number
    raise field._wrong(value, "is not a number")


def _yes_or_no(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _YES_NO[value.lower()]
    except (AttributeError, KeyError):
        raise field._wrong(value, "is neither true nor false") from None


def _date(field: Field, value: Any) -> str:
    """Return a day as text (``2027-03-01``): TOML has dates of its own, a URL and a flag have text."""
    from datetime import date  # rare, and plain SMTP has none

    if isinstance(value, date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    with suppress(ValueError, TypeError):
        return date.fromisoformat(value).isoformat()
    raise field._wrong(value, "is no date; write it as 2027-03-01")


def _words(field: Field, value: Any) -> tuple[str, ...]:
    return tuple(word.lower() for word in _names(field, value))


def _names(field: Field, value: Any) -> tuple[str, ...]:
    parts: Any = value
    if isinstance(value, str):
        parts = value.split(",")
    if not isinstance(parts, list | tuple):
        raise field._wrong(value, "is not a list")
    names = tuple(_text(field, part).strip() for part in parts if part)
    if not all(map(str.isprintable, names)):
        raise field._wrong(value, "has a character in it that does not show")
    return names


_YES_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "str": _text,
    "path": _path,
    "int": _integer,
    "float": _number,
    "seconds": _number,
    "bool": _yes_or_no,
    "date": _date,
    "list": _words,
    "names": _names,
}

CLIENT_SECRET_EXPIRES = Field(
    "client_secret_expires", "date", help="The day on which the application's secret ends, for franking health."
)
"""A key of accounts that sign in: no provider tells it."""

COMMON_FIELDS = (
    Field("enabled", "bool", True, help="Whether this account may send."),
    Field(
        "rewrite_from",
        "bool",
        False,
        help="Put the account's address into the header From; the original goes to Reply-To.",
    ),
    Field("fallback", "names", (), help="Accounts that send, in this order, when this one cannot."),
    Field("queue", "bool", False, help="Put mail into the outbox instead of sending it at once."),
    Field("per_minute", "float", minimum=0, help="The most messages in a minute, of all programs; 0: no limit."),
    Field("per_day", "int", minimum=0, help="The most messages in 24 hours; 0: no limit."),
    Field("recipients_per_day", "int", minimum=0, help="The most recipients in 24 hours; 0: no limit."),
    Field("max_connections", "int", minimum=0, help="The most connections at once, of all programs; 0: no limit."),
    Field(
        "ca_file", "path", loosens=(...,), help="Extra CA certificates (PEM) for every TLS connection of this account."
    ),
    Field("timeout", "seconds", 30.0, minimum=0.01, help="Seconds without progress in any step."),
    Field(
        "final_timeout", "seconds", 600.0, minimum=0.01, help="Seconds to wait for the reply that accepts the message."
    ),
)


def https_address(text: str) -> SplitResult | None:
    """Take a web address apart: ``https``, a host, perhaps a port and a path; None for anything else."""
    from urllib.parse import urlsplit  # with ipaddress 3 ms, and plain SMTP has no web address

    try:
        parts = urlsplit(text.strip().rstrip("/"))
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        return None
    return parts


def unknown_key(key: str, where: str, known: Iterable[str]) -> str:
    """Return the words for a key that is not known there, with the known one that is nearest."""
    known = list(known)
    hint = suggestion(key, known, f"known keys: {', '.join(known)}.")
    return f"{key} is not a setting of {where}; {hint}"
