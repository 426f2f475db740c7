"""What opens a mailbox: a password, or the grant of a sign-in. Values only; ``token.py`` renews, ``store.py`` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from franking.errors import Evidence, SettingsError
from franking.text import json_value

__all__ = ["Grant", "Password", "Secret", "loads"]


VERSION = 1

MARGIN = 300.0
"""Seconds before its end at which an access token counts as over: clocks differ, and a large message takes its time.
MSAL's number too.
"""


class Secret(Protocol):
    """What a session is handed: it returns the password or the token of the moment."""

    def get(self, *, renew_after: str | None = None) -> str:
        """Return the password or a fresh access token; with ``renew_after`` a newer one than this refused one.

        Raises ``SettingsError`` (no password), ``LoginRequired`` (no grant, or it is dead), ``SendError`` (the issuer
        cannot be reached).
        """
        ...


@dataclass(frozen=True, slots=True)
class Password:
    """Hold a password, or the client secret of an application, that does not change; it is never printed.

    ``source`` is ``argument``, ``environment``, ``store``, or the setting that names a command or file. ``saved_at`` is
    when it was put into the store, in seconds since the epoch, else 0. ``bound`` is what it was stored for, see
    ``account/binding.py``.
    """

    value: str = field(repr=False)
    source: str = "argument"
    saved_at: float = 0.0
    bound: Mapping[str, str] = field(default_factory=dict)

    def get(self, *, renew_after: str | None = None) -> str:
        return self.value

    def dumps(self) -> str:
        """Serialise it for a store: one line of JSON with a ``version``."""
        import json

        record = {"version": VERSION, "kind": "password", "password": self.value, "saved_at": self.saved_at}
        return json.dumps({**record, "bound": dict(self.bound)})

    @classmethod
    def loads(cls, text: str) -> Password:
        """Read what ``dumps`` wrote.

        Raises ``SettingsError`` for anything else, a grant above all: that must never be sent as a password.
        """
        record = _read(text, "password", "a stored password")
        saved_at = float(record.get("saved_at") or 0.0)
        return cls(str(record.get("password", "")), "store", saved_at, _bound(record))


@dataclass(frozen=True, slots=True)
class Grant:
    """Hold what an OAuth login yielded. Times are seconds since the epoch. ``data`` is the provider's own (refresh
    token, MSAL's cache).

    ``access_token`` may be empty (not fetched yet). ``expires_at`` is the access token's end. ``details`` are facts for
    ``status`` (tenant, consent screen in testing, refresh-token expiry …): no secrets in it. ``created_at`` is the
    moment of the login and stays through all refreshes. ``application`` is the stored secret of an application that
    signs in by itself: there is one file for each account, and its token must not push the secret out. ``bound`` is
    what the sign-in was made for, see ``account/binding.py``.
    """

    provider: str
    route: str
    who: str | None
    scopes: tuple[str, ...]
    created_at: float
    refreshed_at: float
    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict)
    application: Password | None = field(default=None, repr=False)
    bound: Mapping[str, str] = field(default_factory=dict)

    def fresh(self, now: float) -> bool:
        """Return whether the access token may be used: not within five minutes (or a quarter of its life) of its end.

        A token from the future is not trusted: the clock was wrong when it was dated, or is wrong now.
        """
        if not self.access_token or self.refreshed_at > now + MARGIN:
            return False
        return self.expires_at - now > min(MARGIN, max(0.0, self.expires_at - self.refreshed_at) / 4)

    def dated(self, ahead: float) -> Grant:
        """Return it with its dates by a clock that is so many seconds ahead of the one that they are of."""
        if not ahead:
            return self
        return replace(
            self,
            created_at=self.created_at + ahead,
            refreshed_at=self.refreshed_at + ahead,
            expires_at=self.expires_at + ahead if self.expires_at else 0.0,
        )

    def dumps(self) -> str:
        """Serialise it for a store or for ``login --export``: one line of JSON with a ``version``."""
        import json

        record = {"version": VERSION, "kind": "grant", **{part.name: getattr(self, part.name) for part in fields(self)}}
        record |= {"data": dict(self.data), "details": dict(self.details), "bound": dict(self.bound)}
        if kept := record.pop("application"):
            record["data"] |= {_KEPT: kept.value, _KEPT_SINCE: kept.saved_at}
        return json.dumps(record)

    @classmethod
    def loads(cls, text: str) -> Grant:
        """Read what ``dumps`` wrote. Raises ``SettingsError`` that says what is wrong with it."""
        record = _read(text, "grant", "a sign-in as `franking login NAME --export` prints it")
        try:
            who, data = record["who"], dict(record["data"])
            kept, since = data.pop(_KEPT, None), data.pop(_KEPT_SINCE, 0.0)
            return cls(
                provider=str(record["provider"]),
                route=str(record["route"]),
                who=who and str(who),
                scopes=tuple(str(scope) for scope in record["scopes"]),
                created_at=float(record["created_at"]),
                refreshed_at=float(record["refreshed_at"]),
                access_token=str(record["access_token"]),
                expires_at=float(record["expires_at"]),
                data=data,
                details=dict(record["details"]),
                application=Password(str(kept), "store", float(since)) if kept else None,
                bound=_bound(record),
            )
        except KeyError as problem:
            what = f"{problem.args[0]} is missing"
        except (TypeError, ValueError):
            what = "a value has the wrong type"
        raise _unreadable(f"The sign-in cannot be used: {what}. Copy the whole line.")


_KEPT, _KEPT_SINCE = "client_secret_kept", "client_secret_saved_at"


def loads(text: str) -> Password | Grant:
    """Read a stored secret of either kind. Raises ``SettingsError`` for what is neither."""
    try:
        return Password.loads(text)
    except SettingsError:
        return Grant.loads(text)


def _read(text: str, kind: str, what: str) -> Mapping[str, Any]:
    record = json_value(text)
    if record is None:
        raise _unreadable(f"This is not {what}: it is no JSON, or not all of it.")
    if not isinstance(record, dict) or record.get("kind") != kind or not isinstance(record.get("version"), int):
        raise _unreadable(f"This is not {what}.")
    if record["version"] > VERSION:
        raise _unreadable("This was written by a newer Franking; upgrade this one.")
    return record


def _bound(record: Mapping[str, Any]) -> Mapping[str, str]:
    """Read what a secret was stored for; nothing where Franking 0.1 stored it."""
    bound = record.get("bound") or {}
    if not isinstance(bound, dict) or not all(isinstance(place, str) for place in bound.values()):
        raise _unreadable("What this secret was stored for cannot be read; store it anew.")
    return bound


def _unreadable(what: str) -> SettingsError:
    return SettingsError(what, step="secret", evidence=Evidence("store", reason="not-a-grant"))
