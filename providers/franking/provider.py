"""THE CONTRACT between a mailbox provider and everything else.

A provider is a value with facts, fields, rules and one verb, ``open``; a session is one open, authenticated connection
that sends and reports. A session never reconnects, renews or retries: only the mailer recovers. Optional abilities are
small protocols of their own, so that nobody writes a method whose body is "not supported". No code of any provider is
here.

A provider, smallest first: ``file.py`` (a directory), ``smtp/`` (the protocol), ``gmail/`` and ``outlook/`` (OAuth and
an API).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from franking.errors import FrankingError

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.account.fields import Field
    from franking.auth.secret import Grant, Secret
    from franking.auth.store import SecretStore
    from franking.diagnosis.diagnosis import Hint
    from franking.diagnosis.rules import Rule
    from franking.message.address import Address, Envelope
    from franking.message.content import Content, Parts

__all__ = [
    "STEPS",
    "Account",
    "ClientFacts",
    "Content",
    "Destination",
    "Envelope",
    "Facts",
    "Field",
    "KnowsScopes",
    "KnowsWho",
    "LoginUI",
    "Observer",
    "Parts",
    "Provider",
    "Receipt",
    "RouteFacts",
    "Secret",
    "SecretStore",
    "Session",
    "Step",
    "Steps",
    "SupportsClosed",
    "SupportsDestination",
    "SupportsFork",
    "SupportsHints",
    "SupportsKeys",
    "SupportsLogin",
    "SupportsMany",
    "SupportsPlan",
    "SupportsPreparedRefresh",
    "Tag",
    "destination_of",
    "needs_secret",
    "silent",
    "who_signed_in",
]

_HOMES = {
    "Account": "account.account",
    "Content": "message.content",
    "Envelope": "message.address",
    "Field": "account.fields",
    "Parts": "message.content",
    "Secret": "auth.secret",
    "SecretStore": "auth.store",
}


def __getattr__(name: str) -> Any:
    """Return a name of another module that the contract speaks of, for who writes a provider; to send, most of them
    need not be there.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"franking.{_HOMES[name]}"), name)


STEPS = ("settings", "secret", "resolve", "connect", "tls", "greet", "login", "message", "accepted")
"""The steps of a send in the order in which they happen; with STARTTLS ``greet`` precedes ``tls``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a send: at its start (``running``) and at its end (``ok``, ``failed``, ``warning``, ``skipped``).

    ``ms`` is how long it took, ``detail`` one short line for a person, free of secrets. Large uploads tell ``done`` and
    ``total`` in bytes.
    """

    name: str
    status: str
    ms: float = 0.0
    detail: str = ""
    done: int | None = None
    total: int | None = None


Observer = Callable[[Step], None]


def silent(step: Step) -> None:
    """Observe nothing."""


class Steps:
    """Report to an observer steps that begin and end: ``with steps("connect"): …``.

    What is put into ``detail`` meanwhile is told at the end; a ``FrankingError`` makes the step ``failed`` and goes on.
    """

    def __init__(self, observer: Observer, clock: Callable[[], float] = time.perf_counter) -> None:
        self._observer = observer
        self._clock = clock
        self.detail = ""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = self._clock()
        self.detail = ""
        self._observer(Step(name, "running"))
        try:
            yield
        except FrankingError as problem:
            self._observer(Step(name, "failed", (self._clock() - started) * 1000, problem.message))
            raise
        self._observer(Step(name, "ok", (self._clock() - started) * 1000, self.detail))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Prove acceptance: who accepted what, and in which words.

    ``message_id`` is the one that we wrote (an API may replace it); ``reply`` the server's last words, ``provider_id``
    the API's id. ``refused`` is ``{address: {"reply": str, "temporary": bool}}``. ``bytes`` is the size handed over,
    ``ms`` the time from MAIL (or the request) on. ``warnings`` name what the route could not carry, never in silence.
    """

    message_id: str
    route: str
    reply: str = ""
    provider_id: str | None = None
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bytes: int = 0
    ms: float = 0.0
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the ``receipt`` object of the JSON reports."""
        return {
            "message_id": self.message_id,
            "route": self.route,
            "reply": self.reply,
            "provider_id": self.provider_id,
            "accepted": list(self.accepted),
            "refused": {address: dict(refusal) for address, refusal in self.refused.items()},
            "bytes": self.bytes,
            "ms": round(self.ms, 1),
        }


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One route to a provider: default settings, limits, scopes, and why one would choose it.

    ``size`` in octets, ``recipients`` per message, ``connections`` at once, ``per_minute`` and ``per_day`` messages;
    None where unknown. ``per_day_personal`` is the smaller number of a mailbox in one of the provider's own consumer
    domains. ``scopes`` are the OAuth scopes that this route needs. ``window`` tells whether many messages may be in
    flight on one connection. ``api`` marks a route on which recipients come from the headers (so that Bcc must stay in
    them).
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    size: int | None = None
    recipients: int | None = None
    connections: int | None = None
    per_minute: int | None = None
    per_day: int | None = None
    per_day_personal: int | None = None
    window: bool = False
    api: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """How an application makes itself known to a provider, which must come before any sign-in.

    ``key`` is the key of the account that holds it; ``steps`` say in a few lines how to get it, ``page`` names the docs
    page that says it at length. ``file``: the value is the path of a downloaded file. ``check`` raises
    ``SettingsError`` for a value that cannot be right. With a setting of ``instead`` it is not needed.
    """

    key: str
    question: str
    steps: tuple[str, ...]
    page: str
    check: Callable[[str], object]
    file: bool = False
    instead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """How to recognise a provider, and what its routes are. Matching is by whole labels, never by substring.

    ``routes``: the first is the default. ``hosts`` are submission servers. ``mail_domains`` are consumer domains (an
    entry that begins with a dot matches any domain below it); ``mx_suffixes`` likewise for MX names. ``wrong_hosts``
    maps what people type by mistake (MX servers, API hosts, old names) to the right host, or to ``""`` where there is
    none, with ``wrong_reasons`` naming a text. ``foreign`` are hosts of the same company that are no mailbox
    submission: recognised by name, nothing is recommended. ``variants`` holds the settings that differ for some of
    these names, by the entry that recognises them (a consumer domain with a server of its own, a national cloud).
    ``login_key`` is the key of the account that names who logs in with a password.
    ``url_form`` is what stands before the query of its account URLs: ``server`` (the keys username, host and port),
    ``path`` (the key path) or ``mailbox`` (the From); ``schemes`` are schemes of such URLs besides the provider's name,
    and the settings that they stand for.
    """

    routes: tuple[RouteFacts, ...]
    hosts: tuple[str, ...] = ()
    mail_domains: tuple[str, ...] = ()
    mx_suffixes: tuple[str, ...] = ()
    wrong_hosts: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    oauth: bool = False
    client: ClientFacts | None = None
    login_key: str = "username"
    url_form: str = "mailbox"
    schemes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def route(self, name: str) -> RouteFacts:
        """Return the facts of a route by its full name."""
        return next(route for route in self.routes if route.name == name)


class Session(Protocol):
    """One open, authenticated connection. Belongs to one thread; never recovers by itself."""

    def send(self, envelope: Envelope, content: Content) -> Receipt: ...
    def close(self) -> None: ...
    def abort(self) -> None:
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have
        been accepted.
        """


class Provider(Protocol):
    """What a kind of mailbox is: facts, fields, rules, and how a session is opened."""

    name: str
    title: str
    facts: Facts

    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def rules(self) -> tuple[Rule, ...]: ...
    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        """Fill in defaults that depend on other keys; refuse what cannot go together (``SettingsError``)."""

    def route(self, account: Account) -> str:
        """Return the full name of the route that this account takes."""

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session: ...


def needs_secret(account: Account, provider: Provider) -> bool:
    """Return whether an account needs a secret to send: where somebody signs in, or a user name is set."""
    return provider.facts.oauth or bool(account.get(provider.facts.login_key))


# -- optional abilities of a session ---------------------------------------------------------------------------------


Tag = TypeVar("Tag")


@runtime_checkable
class SupportsMany(Protocol):
    """A session that keeps several messages in flight on its one connection."""

    def send_many(
        self, jobs: Iterable[tuple[Tag, Envelope, Content]], *, window: int
    ) -> Iterator[tuple[Tag, Receipt | FrankingError]]:
        """Send messages in order with at most ``window`` unanswered; yield each job's tag with its receipt or its
        error.

        Jobs are drawn only when there is room for them. When the connection is lost, every job drawn so far has been
        yielded (accepted, surely not accepted, or ``OutcomeUnknown``) before the iterator ends; the session is then
        closed and draws no more.
        """


@runtime_checkable
class SupportsClosed(Protocol):
    """A session that knows when it can send no more, because the server or an error ended it."""

    @property
    def closed(self) -> bool: ...


@runtime_checkable
class SupportsFork(Protocol):
    """A session whose copy in a forked child may be closed there: it says nothing to the server then.

    A session without this is left alone, as it might say good-bye for the parent.
    """

    quiet_after_fork: bool


# -- optional abilities of a secret ----------------------------------------------------------------------------------


@runtime_checkable
class KnowsWho(Protocol):
    """A secret that knows who signed in."""

    @property
    def who(self) -> str | None: ...


@runtime_checkable
class KnowsScopes(Protocol):
    """A secret that knows what the sign-in allows."""

    @property
    def scopes(self) -> tuple[str, ...]: ...


def who_signed_in(secret: object) -> str | None:
    """Return who signed in, where the secret knows."""
    return secret.who if isinstance(secret, KnowsWho) else None


# -- optional abilities of a provider --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages go: a server (then ``host`` and ``security`` are set) with its port, a directory, or an API."""

    place: str
    host: str = ""
    security: str = ""

    def __str__(self) -> str:
        return f"{self.place} ({self.security})" if self.security else self.place


@runtime_checkable
class SupportsDestination(Protocol):
    """A provider whose messages go to a place that the account names."""

    def destination(self, account: Account) -> Destination | None:
        """Return where this account's messages go; None on a route whose place is the provider's own."""


def destination_of(account: Account, provider: Provider) -> Destination:
    """Return where an account's messages go: to a place that the account names, or by the route of that name."""
    named = provider.destination(account) if isinstance(provider, SupportsDestination) else None
    return named or Destination(provider.route(account))


@runtime_checkable
class SupportsPlan(Protocol):
    """A provider that goes several ways on one route, depending on the message."""

    def plan(self, account: Account, content: Content) -> object:
        """Return as text (``str()``) how a message would go and what that changes in it.

        Raises ``MessageError`` where it could not go.
        """


@runtime_checkable
class SupportsHints(Protocol):
    """A provider that can point at suspicious settings or secrets, without changing them."""

    def hints(self, account: Account, secret: str | None) -> tuple[Hint, ...]:
        """Look at settings and (where there is one) the password; a hint never contains the secret."""


class LoginUI(Protocol):
    """What a login needs of its surroundings: the library itself never prints, prompts or opens a browser."""

    interactive: bool
    no_browser: bool
    device: bool

    def show(self, text: str) -> None:
        """Show a line or a few (a URL to open, a device code) to the person."""

    def open_url(self, url: str) -> bool:
        """Open the system's browser; False where there is none."""

    def ask(self, question: str, *, hidden: bool = False) -> str:
        """Ask for one line; raises ``LoginRequired`` where nobody can be asked."""

    def confirm(self, question: str) -> bool:
        """Ask yes or no."""


@runtime_checkable
class SupportsLogin(Protocol):
    """A provider whose mailbox is opened by a grant instead of a password."""

    def needs_login(self, account: Account) -> bool:
        """Return whether a person must sign in; False for service accounts and app-only access."""

    def login(self, account: Account, ui: LoginUI) -> Grant:
        """Lead a person through the sign-in and return the grant; the caller saves it.

        Where somebody else signed in than the account sends as, the person is told and decides. Raises
        ``LoginRequired`` with evidence when it did not come about.
        """

    def refresh(self, account: Account, grant: Grant | None, secret: str | None) -> Grant:
        """Make a fresh access token: a new grant value, nothing saved. ``secret`` is a client secret (app-only).

        Raises ``LoginRequired`` where a person must sign in again, ``SendError`` (temporary) where the issuer cannot be
        reached.
        """

    def revoke(self, account: Account, grant: Grant) -> str:
        """Revoke the grant at the provider; return a sentence on what that did."""

    def who(self, grant: Grant) -> str | None:
        """Return who signed in, or None where the provider did not say."""


@runtime_checkable
class SupportsKeys(Protocol):
    """A provider whose accounts may sign in with a key in a file, without a person."""

    def key_details(self, account: Account) -> Mapping[str, Any]:
        """Look at the file without using it; ``credential_expires_at`` (seconds since the epoch) where it says so.

        Raises ``SettingsError`` where it cannot be used.
        """


@runtime_checkable
class SupportsPreparedRefresh(Protocol):
    """A provider whose refresh needs something of the network first: that is done before the account's lock is
    taken.
    """

    def prepared(self, account: Account, secret: str | None) -> AbstractContextManager[Callable[[Grant | None], Grant]]:
        """Prepare a refresh and return it; errors as in ``SupportsLogin.refresh``."""
