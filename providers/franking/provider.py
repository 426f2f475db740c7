"""THE CONTRACT between a mailbox provider and everything else.

A provider is a value with facts, fields, rules and one verb, ``open``; a session is one open, authenticated connection
that sends and reports. A session never reconnects, renews or retries: only the mailer recovers. Optional abilities are
small protocols of their own: they stand in ``abilities.py``, and can be had here too. No code of any provider is here.

A provider, smallest first: ``file.py`` (a directory), ``smtp/`` (the protocol), ``gmail/`` and ``outlook/`` (OAuth and
an API).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from franking.errors import FrankingError

if TYPE_CHECKING:
    from franking.abilities import (
        AppPasswordFacts,
        AsksAgain,
        ClientFacts,
        Destination,
        Errand,
        KnowsScopes,
        KnowsWho,
        LoginUI,
        Looked,
        ShowsCodes,
        SupportsBinding,
        SupportsCertificate,
        SupportsClosed,
        SupportsDestination,
        SupportsFork,
        SupportsHints,
        SupportsKeys,
        SupportsLogin,
        SupportsLookup,
        SupportsMany,
        SupportsPlan,
        SupportsPreparedRefresh,
        SupportsRegistration,
        Tag,
        destination_of,
        who_signed_in,
    )
    from franking.account.account import Account
    from franking.account.fields import Field
    from franking.auth.secret import Secret
    from franking.auth.store import SecretStore
    from franking.diagnosis.rules import Rule
    from franking.message.address import Address, Envelope
    from franking.message.content import Content
    from franking.message.parser import Parts

__all__ = [
    "STEPS",
    "Account",
    "AppPasswordFacts",
    "AsksAgain",
    "ClientFacts",
    "Content",
    "Destination",
    "Envelope",
    "Errand",
    "Facts",
    "Field",
    "KnowsScopes",
    "KnowsWho",
    "LoginUI",
    "Looked",
    "Observer",
    "Parts",
    "Provider",
    "Receipt",
    "RouteFacts",
    "Secret",
    "SecretStore",
    "SenderFacts",
    "Session",
    "ShowsCodes",
    "Step",
    "Steps",
    "SupportsBinding",
    "SupportsCertificate",
    "SupportsClosed",
    "SupportsDestination",
    "SupportsFork",
    "SupportsHints",
    "SupportsKeys",
    "SupportsLogin",
    "SupportsLookup",
    "SupportsMany",
    "SupportsPlan",
    "SupportsPreparedRefresh",
    "SupportsRegistration",
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
    "Parts": "message.parser",
    "Secret": "auth.secret",
    "SecretStore": "auth.store",
}


def __getattr__(name: str) -> Any:
    """Return a name of another module that the contract speaks of, for who writes a provider; to send, most of them
    need not be there.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"franking.{_HOMES.get(name, 'abilities')}"), name)


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
    def __call__(self, name: str, *, again: bool = False) -> Iterator[None]:
        """Begin a step and end it. ``again``: it was told already, and only its failure is."""
        started = self._clock()
        if not again:
            self.detail = ""
            self._observer(Step(name, "running"))
        try:
            yield
        except FrankingError as problem:
            self._observer(Step(name, "failed", (self._clock() - started) * 1000, problem.message))
            raise
        if not again:
            self._observer(Step(name, "ok", (self._clock() - started) * 1000, self.detail))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Prove acceptance: who accepted what, and in which words.

    ``message_id`` is the one that we wrote (an API may replace it); ``reply`` the server's last words, ``provider_id``
    the API's id. ``refused`` is ``{address: {"reply": str, "temporary": bool}}``. ``bytes`` is the size handed over,
    ``ms`` the time from MAIL (or the request) on. ``warnings`` name what the route could not carry, never in silence.
    ``account`` is the name of the account that sent it: a fallback's, where one stood in.
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
    account: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the ``receipt`` object of the JSON reports."""
        return {
            "message_id": self.message_id,
            "account": self.account,
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

    ``size`` in octets, ``recipients`` per message, ``connections`` at once, ``per_minute`` and ``per_day`` messages,
    ``recipients_per_day``; None where unknown. ``per_day_personal`` is the smaller number of a mailbox in one of the
    provider's own consumer domains. ``scopes`` are the OAuth scopes that this route needs. ``window`` tells whether
    many messages may be in flight on one connection. ``api`` marks a route on which recipients come from the headers
    (so that Bcc must stay in them).
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    size: int | None = None
    recipients: int | None = None
    connections: int | None = None
    per_minute: float | None = None
    per_day: int | None = None
    per_day_personal: int | None = None
    recipients_per_day: int | None = None
    window: bool = False
    api: bool = False
    why: str = ""

    @property
    def limited(self) -> bool:
        """Return whether there is a limit that a program must keep to."""
        return bool(self.per_minute or self.per_day or self.recipients_per_day or self.connections)


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """How receivers tell that a mail service may send for somebody's domain: what its own pages say to publish.

    ``spf`` is the record for a domain that has none yet; ``includes`` are further names that permit the same servers.
    ``selectors`` are the names of the DKIM keys that it signs with for a customer's domain; ``certain``: there are no
    others. ``signs``: False where it signs with a domain of its own, which says nothing for the customer's. ``switch``
    is a sentence that says where signing is switched on. ``name`` is what ``--via`` calls it, where not by a host.
    """

    title: str
    spf: str
    name: str = ""
    includes: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    certain: bool = False
    signs: bool = True
    switch: str = ""

    @property
    def include(self) -> str:
        """Return the name of the SPF record that permits its servers."""
        return next(word.removeprefix("include:") for word in self.spf.split() if word.startswith("include:"))

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all SPF records that permit its servers."""
        return frozenset((self.include, *self.includes))


@dataclass(frozen=True, slots=True)
class Facts:
    """How to recognise a provider, and what its routes are. Matching is by whole labels, never by substring.

    ``routes``: the first is the default. ``hosts`` are submission servers. ``mail_domains`` are consumer domains (an
    entry that begins with a dot matches any domain below it); ``mx_suffixes`` likewise for MX names. ``wrong_hosts``
    maps what people type by mistake (MX servers, API hosts, old names) to the right host, or to ``""`` where there is
    none, with ``wrong_reasons`` naming a text. ``foreign`` are hosts of the same company that are no mailbox
    submission: recognised by name, nothing is recommended. ``variants`` holds the settings that differ for some of
    these names, by the entry that recognises them (a consumer domain with a server of its own, a national cloud).
    ``speaks`` is a regular expression for what only this provider writes: by it a reply is known as its own at whatever
    host, behind a relay or a proxy. ``sent_folder``: the key that keeps what was sent in
    the mailbox, or ``always``.
    ``login_key`` is the key of the account that names who logs in with a password.
    ``url_form`` is what stands before the query of its account URLs: ``server`` (the keys username, host and port),
    ``path`` (the key path) or ``mailbox`` (the From); ``schemes`` are schemes of such URLs besides the provider's name,
    and the settings that they stand for. ``device``: one may sign in with a code on another device. ``client`` and
    ``app_password`` are the roads into a mailbox, ``grant_unused_days`` how long a sign-in lives that nobody uses.
    ``sending`` is what tells receivers that it may send for a domain; ``local``: messages stay on this computer.
    ``numbers`` are what the answers of its sign-in are told by: regular expressions, by the name of the evidence's
    detail.
    """

    routes: tuple[RouteFacts, ...]
    hosts: tuple[str, ...] = ()
    mail_domains: tuple[str, ...] = ()
    mx_suffixes: tuple[str, ...] = ()
    wrong_hosts: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    speaks: str = ""
    sent_folder: str = ""
    oauth: bool = False
    device: bool = False
    client: ClientFacts | None = None
    app_password: AppPasswordFacts | None = None
    grant_unused_days: int | None = None
    sending: SenderFacts | None = None
    local: bool = False
    login_key: str = "username"
    url_form: str = "mailbox"
    schemes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)

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
