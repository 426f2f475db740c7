"""The optional abilities of sessions, secrets and providers: small protocols of their own, so that nobody writes a
method whose body is "not supported". What every provider has stands in ``provider.py``, where these names can be had
too; they are read when first asked for, as a plain delivery asks for none. No code of any provider is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Grant, Secret
    from franking.diagnosis.diagnosis import Hint
    from franking.errors import FrankingError
    from franking.message.address import Envelope
    from franking.message.content import Content
    from franking.provider import Provider, Receipt

__all__ = [
    "AppPasswordFacts",
    "AsksAgain",
    "ClientFacts",
    "Destination",
    "Errand",
    "KnowsScopes",
    "KnowsWho",
    "LoginUI",
    "Looked",
    "ShowsCodes",
    "SupportsBinding",
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
    "who_signed_in",
]


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
class SupportsCertificate(Protocol):
    """A session that knows how long the certificate holds which its server showed."""

    def certificate_ends(self) -> float:
        """Return its last moment in seconds since 1970, 0 where there was none."""


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
class Errand:
    """One page to go to on the way into a mailbox: what to do there, its full address, and what to choose or type
    (``(label, value)``).
    """

    do: str
    link: str = ""
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """How an application makes itself known to a provider, which must come before any sign-in.

    ``key`` is the key of the account that holds it; ``steps`` are the pages on which one gets it, ``price`` says what
    this road costs and gives, ``page`` names the docs page that says it at length. ``file``: the value is the path of a
    downloaded file. ``check`` raises ``SettingsError`` for a value that cannot be right. With a setting of ``instead``
    it is not needed. ``beside`` are the keys that depend on how it was registered. ``letter`` is a text for who may
    only ask an administrator: nobody with a mailbox in one of the provider's own consumer domains.
    """

    key: str
    question: str
    steps: tuple[Errand, ...]
    page: str
    check: Callable[[str], object]
    file: bool = False
    instead: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    price: str = ""
    letter: str = ""


@dataclass(frozen=True, slots=True)
class AppPasswordFacts:
    """How a provider that signs people in lets programs in by a password of their own all the same, on its SMTP server:
    the ``price`` of that road, and the pages on which one gets such a password.
    """

    price: str
    steps: tuple[Errand, ...]


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
class SupportsBinding(Protocol):
    """A provider whose secrets go elsewhere than to the server of its messages: to who renews a sign-in, to an API."""

    def binding(self, account: Account) -> Mapping[str, str | None]:
        """Return, by the setting that names it, each place that a secret of this account goes to.

        A stored secret is used only where these are the same as when it was stored. What the account leaves open is
        None.
        """


@runtime_checkable
class SupportsLookup(Protocol):
    """A provider whose mailboxes can be asked whether they hold a message that was accepted."""

    def keeps_ids(self, account: Account) -> bool:
        """Return whether what this account sends keeps its Message-ID, and the account may look for it."""

    def find(self, account: Account, secret: Secret, message_id: str) -> bool:
        """Return whether a message of that Message-ID is in the mailbox, sent or received; False proves nothing."""


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
class AsksAgain(Protocol):
    """A login's user interface that goes on where an answer was of no use: the reason is shown, and it is asked for
    again; elsewhere the sign-in ends.
    """

    asks_again: bool


@runtime_checkable
class ShowsCodes(Protocol):
    """A login's user interface that shows a device code by itself; another one is shown the issuer's message."""

    def show_code(self, code: str, url: str) -> None:
        """Show what is typed in on another device, and the address where."""


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


@dataclass(frozen=True, slots=True)
class Looked:
    """One thing that was looked at of a registration: ``ok`` is None where it cannot be told without a sign-in; then
    ``detail`` says what does. ``error`` says what is wrong.
    """

    what: str
    ok: bool | None
    detail: str = ""
    error: FrankingError | None = None


@runtime_checkable
class SupportsRegistration(Protocol):
    """A provider at which one registers an application of one's own before anybody can sign in."""

    scripts: tuple[str, ...]
    """The kinds of scripts that an administrator can run instead."""

    def errands(self, account: Account) -> tuple[Errand, ...]:
        """Return the pages on which the application for such an account is registered, with the values to type."""

    def look(self, account: Account) -> Iterator[Looked]:
        """Look at the registration that the account names, as far as that can be done without a sign-in.

        Raises what a sign-in raises where the provider cannot be reached.
        """

    def script(self, account: Account, kind: str, *, name: str) -> str:
        """Return a script of one of the kinds in ``scripts``; it may be run again without harm."""


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
