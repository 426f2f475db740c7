"""The one path of every message: account → provider → secret → session → receipt. The only home of recovery.

    mailer.send → prepare (prepare.py) → a session, borrowed or opened (provider.open) → session.send → receipt

Recovery happens here, once, for all providers: a refused access token is renewed and tried again, and a connection that
the server had closed before anything of the message left is replaced. Everything else is reported, with its diagnosis.
Who has which session is ``pool.py``'s business, many messages are ``bulk.py``'s: neither opens anything by itself.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    Refused,
    discreet,
    exhausted,
    forget_locals,
    mark,
    scarcity,
)
from franking.message.prepare import Prepared, prepare
from franking.provider import Steps, needs_secret, silent
from franking.redaction import veiled
from franking.registry import provider as find_provider
from franking.sending.pool import Pool, outlives
from franking.sending.record import Record, info
from franking.sending.watched_secret import WatchedSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from email.message import EmailMessage
    from types import TracebackType

    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.auth.store import SecretStore
    from franking.message.address import Envelope
    from franking.message.message import Message
    from franking.outbox.entry import OutboxEntry
    from franking.outbox.store import Store
    from franking.provider import Observer, Provider, Receipt, RouteFacts, Session
    from franking.sending.failover import Failover
    from franking.sending.limit_places import Slot, Where
    from franking.sending.queue import SendResult
    from franking.sending.retry import Policy
    from franking.sending.told_steps import ToldSteps
    from franking.sending.turns import Turns
    from franking.testing.capture import Outbox

__all__ = ["Mailer"]

capturing: Outbox | None = None
"""Set while an application's tests run: it stands in the place of accounts, sessions and time, and nothing leaves."""


class Mailer:
    """Hold what an application needs to send: opens sessions when needed, recovers, is shared by threads.

        with franking.connect("shop", connections=4) as mailer:
            for result in mailer.send_many(messages):
                print(result.outcome)

    Each thread borrows a session for each send; at most ``connections`` are open. May live as long as the program.
    After a fork, the child opens its own.
    """

    def __init__(
        self,
        account: Account,
        *,
        connections: int = 1,
        window: int = 1,
        rate: float | None = None,
        secret: str | Secret | None = None,
        observer: Observer | None = None,
        store: SecretStore | None = None,
        falls_over: bool = True,
        limits_at: Where | None = None,
    ) -> None:
        secret = veiled(secret)
        if (connections, window, rate) != (1, 1, None):
            from franking.sending.limits import check_numbers

            check_numbers(connections, window, rate)
        self.account, self._rewrite_from = account, account.rewrite_from
        self.provider: Provider = find_provider(account.provider)
        self.route = self.provider.route(account)
        self.window, self.rate, self.limits_at = window, rate, limits_at
        self.pool = Pool(connections, self._connection)
        self._told: ToldSteps | None = None
        if observer is not None:
            from franking.sending.told_steps import ToldSteps

            self._told = ToldSteps(observer)
        self.observer: Observer = self._told or silent
        self.falls_over = falls_over and bool(account.fallback)
        self.secret_given, self.store = secret is not None, store
        self._short_lines = False  # the server takes no line of more than 998 octets, as it has said
        self.outbox: Store | None = None  # once something was put into it
        self.record = Record(account, own=secret is None)
        self._watched = WatchedSecret(account, self.provider, secret, store)

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, message: Message | EmailMessage | bytes | Prepared, *, envelope: Envelope | None = None) -> Receipt:
        """Send one message: a ``Message``, an ``email.message.EmailMessage``, ready bytes, or what ``prepare`` made.

        ``envelope`` gives another sender and other recipients than the headers do. Raises ``SettingsError``,
        ``MessageError``, ``LoginRequired`` or a ``SendError`` (its ``possibly_sent`` and ``temporary`` say what may be
        done); refused recipients among accepted ones are in the receipt.
        """
        try:  # contexts made anew for each message would take a tenth of its time
            prepared = self.prepare(message, envelope=envelope)
            self.record.ask()
            try:
                receipt = self.failover.send(prepared, self._send) if self.falls_over else self._send(prepared)
            except FrankingError as error:
                self.explain(error)
                self.record.failed(error, prepared)
                raise
            self.record.accepted(receipt, prepared)
            return receipt
        except BaseException:
            with self.explained():
                raise

    def _send(self, prepared: Prepared) -> Receipt:
        """Send with this account, whatever comes of it."""
        pool, me, turns = self.pool, threading.get_ident(), self.turns
        outermost = pool.enter(me)
        try:
            receipt = turns.send(prepared, self._transact, pool.is_broken_off) if turns else self._transact(prepared)
            if receipt.refused:
                from franking.sending.retry import sent_on

                try:
                    receipt = sent_on(prepared, receipt, self._transact, self.made_up_for)
                except BaseException as broken:
                    mark(broken, True)  # some have it
                    raise
        finally:
            if outermost:
                pool.leave(me)
        info("%s was accepted by %s: %s", receipt.message_id, receipt.route, receipt.reply)
        return receipt

    def _transact(self, prepared: Prepared) -> Receipt:
        """Send in one transaction."""
        begun, pool, me = False, self.pool, threading.get_ident()
        tried: set[str] = set()
        try:
            while True:
                try:
                    session = pool.take(self.open, me, wait=me not in pool.readers, fresh="connection" in tried)
                    begun, keep = True, False
                    try:
                        receipt, keep = session.send(prepared.envelope, prepared.content), True
                        return receipt
                    except FrankingError as error:
                        begun, keep = False, outlives(session, error)
                        raise
                    finally:
                        pool.give_back(session, keep)
                except (LoginError, ConnectError) as error:
                    if not self.recovered(error, tried):
                        raise
                except Refused as error:
                    from franking.sending.retry import shorter

                    self.explain(error)
                    if (rewritten := shorter(prepared, error)) is None:
                        raise
                    self.made_up_for("Its long lines are encoded anew.")
                    prepared = rewritten
        except BaseException as broken:
            if not hasattr(broken, "possibly_sent"):  # the session was not asked yet, does not know, or had answered
                mark(broken, begun)
            raise

    def send_many(
        self,
        messages: Iterable[Message | EmailMessage | bytes | Prepared],
        *,
        connections: int | None = None,
        window: int | None = None,
        rate: float | None = None,
        per_day: float | None = None,
        policy: Policy | None = None,
        started: Callable[[int, str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[SendResult]:
        """Send any number of messages, drawn lazily; yield a ``SendResult`` for each as it is known, none lost.

        What ``prepare`` gave may be among them: a message with an envelope of its own. ``connections`` and ``window``
        override the mailer's. ``rate`` (messages per minute) and ``per_day`` are by default the provider's own limits,
        where they are known; ``math.inf`` means no limit. Beyond a day's limit a message fails for now (``Throttled``),
        and nothing of it leaves. ``policy`` says what is tried again (``retry.Policy``). ``started`` is called with
        index and Message-ID before anything of a message leaves. Setting ``stop`` ends the drawing; what is under way
        is finished. Raises only what the iterable or ``started`` itself raises, or an interruption, after the results
        under way.
        """
        with self.explained():
            from franking.sending.bulk import send_many

        return send_many(
            self,
            messages,
            connections=connections or self.pool.connections,
            window=window or self.window,
            rate=rate or self.rate,
            per_day=per_day,
            policy=policy,
            started=started,
            stop=stop or threading.Event(),
        )

    @cached_property
    def failover(self) -> Failover:
        """Return who stands in for this account. Raises ``SettingsError``."""
        from franking.sending.failover import Failover

        return Failover(self)

    @cached_property
    def turns(self) -> Turns | None:
        """Return what this mailer keeps to together with every other program that sends by its mailbox, or None where
        there are no limits: then nothing is counted.
        """
        account = self.account
        own = account.per_minute or account.per_day or account.recipients_per_day or account.max_connections
        if capturing is not None or not (own or self.provider.facts.route(self.route).limited):
            return None
        from franking.sending.turns import turns_of

        return turns_of(self)

    def _connection(self) -> Slot | None:
        """Wait for one of the connections that the mailbox may have; None where any number may be had."""
        return self.turns.connection() if self.turns is not None else None

    def time(self) -> dict[str, Any]:
        """Return the clock and the sleep that a run of many messages goes by, where they are not the machine's."""
        return {} if capturing is None else {"clock": capturing.clock, "wait": capturing.wait}

    def queue(
        self,
        message: Message | EmailMessage | bytes | Prepared,
        *,
        key: str | None = None,
        not_before: datetime | float | None = None,
        give_up: float | None = None,
        envelope: Envelope | None = None,
    ) -> OutboxEntry:
        """Put a message into the outbox; it is on disk when this returns, and a runner delivers it (docs: outbox).

        ``key`` names the message: the same key with the same content is the same entry. ``not_before`` is the earliest
        time, ``give_up`` for how many seconds it is tried. Raises as ``send`` does before it connects.
        """
        try:
            return self._put(self, message, key, not_before=not_before, give_up=give_up, envelope=envelope)
        except BaseException:
            with self.explained():
                raise

    @cached_property
    def _put(self) -> Callable[..., OutboxEntry]:
        from franking.sending.enqueue import put  # anew for each message it takes 8,000 instructions

        return put

    @property
    def limits(self) -> RouteFacts:
        """Return what is known of the provider's limits on this route, for this account."""
        from franking.sending.limits import limits_of

        return limits_of(self.account, self.provider, self.route)

    def check(self) -> None:
        """Open a session (up to the login) and put it back: proves that sending could start. Raises as ``send``."""
        tried: set[str] = set()
        with self.explained(), self.pool.under_way(threading.get_ident()):
            while True:
                try:
                    with self.pool.borrow(self.open):
                        return
                except (LoginError, ConnectError) as error:
                    if not self.recovered(error, tried):
                        raise

    def find(self, message_id: str) -> bool:
        """Ask the mailbox (``SupportsLookup``) for a message; False proves nothing. Raises as ``check``."""
        with self.explained():
            provider: Any = self.provider
            return bool(provider.find(self.account, self._secret_in_use(), message_id))

    def prepare(
        self, message: Message | EmailMessage | bytes | Prepared, *, envelope: Envelope | None = None
    ) -> Prepared:
        """Compose without sending: the envelope and the content that ``send`` would use."""
        if isinstance(message, Prepared):
            return message
        prepared = prepare(message, sender=self.account.sender, envelope=envelope, rewrite_from=self._rewrite_from)
        if self._short_lines:
            from franking.sending.retry import with_short_lines

            return with_short_lines(prepared) or prepared
        return prepared

    # -- sessions ----------------------------------------------------------------------------------------------------

    def recovered(self, error: LoginError | ConnectError, tried: set[str]) -> bool:
        """Make up for a refused token, or for a connection that had died before anything left, each once."""
        if isinstance(error, LoginError):
            if "token" in tried or not error.token_refused or error.possibly_sent:
                return False
            tried.add("token")
            info("The access token of %s was refused; renewing it.", self.account.name)
            self.made_up_for("The access token was refused; it is renewed, and the steps begin again.", "login")
            self.renew()
        else:
            if "connection" in tried or not error.stale:
                return False
            tried.add("connection")
            info("The connection of %s had been closed; opening a new one.", self.account.name)
            self.made_up_for("The connection had ended; another one is opened, and the steps begin again.")
            self.pool.drop_idle()
        return True

    def made_up_for(self, detail: str, name: str | None = None) -> None:
        """Tell the observer, if there is one, that the step which failed was made up for."""
        if self._told is not None:
            self._told.made_up_for(detail, name)

    def failed(self, error: BaseException) -> None:
        """Tell the observer, if there is one, of the step that an error ended."""
        if self._told is not None:
            self._told.stands(error)

    def open(self) -> Session:
        """Open a new session, logged in; the caller closes it. ``borrow`` is what one usually wants."""
        self.record.on = capturing is None
        if not self.account.enabled:
            from franking.account.repair import switched_off

            raise switched_off(self.account)
        if capturing is not None:
            return capturing.session(self)
        with discreet, scarcity("connect"):
            if needs_secret(self.account, self.provider):
                with Steps(self.observer)("secret"):
                    self._secret_in_use().get()
            return self.provider.open(self.account, self._secret_in_use(), self.observer)

    def renew(self) -> None:
        """Get a newer token than the last one, which a server has refused; sessions opened with it are closed."""
        self.pool.drop_idle()
        secret = self._secret_in_use()
        with discreet:
            secret.get(renew_after=secret.last)

    def password(self) -> str | None:
        """Return the password that was used, for hints about it; None before it was needed, and for tokens."""
        return None if self.provider.facts.oauth else self._watched.last

    def _secret_in_use(self) -> WatchedSecret:
        # without a login neither stores nor grants are imported, unless a provider asks for a secret after all
        if needs_secret(self.account, self.provider):
            with self.pool.lock:
                self._watched.found()
        return self._watched

    @contextmanager
    def borrow(self) -> Iterator[Session]:
        """Hand this thread a session: an idle one, or a new one, as ``Pool.borrow`` does."""
        with self.explained(), self.pool.borrow(self.open) as session:
            yield session

    # -- ending ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every session and the outbox; a session that is in use is closed when it comes back."""
        self.pool.close()
        if self.outbox is not None:
            self.outbox.close()

    def abort(self, *, thread: int | None = None, stop: threading.Event | None = None) -> bool:
        """Break off, from any thread, every send, or one thread's, or the ``send_many`` that was given ``stop``.

        Each ends with an error that says whether it may have been accepted; no further message is drawn. True: nobody
        needs to wait for that, for all of it was still waiting for its first session.
        """
        return self.pool.abort(stop if thread is None else thread)

    def __enter__(self) -> Mailer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mailer {self.account.name!r} by {self.route}{' (closed)' if self.pool.closed else ''}>"

    # -- explaining --------------------------------------------------------------------------------------------------

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Attach its diagnosis to every Franking error that passes through, and tell the observer of it; whatever
        passes leaves its variables behind.
        """
        try:
            yield
        except BaseException as broken:
            with discreet:
                error = exhausted(broken) or broken
                self.failed(error)
                if isinstance(error, FrankingError):
                    self.explain(error)
                if error is broken:
                    raise
                raise error from broken

    def explain(self, error: FrankingError) -> None:
        """Attach its diagnosis to an error, with what is known of the sign-in; a secret that the other side repeated
        does not come out.
        """
        signed_in = {}
        try:
            from franking.sending.explain import explain  # and all the texts: only a failure needs them

            if (watched := self._watched).secret is not None:
                signed_in = {"who": watched.who, "scopes": watched.scopes}
            with discreet:
                found = explain(error, self.account, self.provider, signed_in=signed_in, secrets=watched.given())
            self._short_lines = self._short_lines or found.code == "message.line-too-long"
        except (ImportError, MemoryError, OSError) as problem:  # no file can be opened now, not even that of the texts
            if exhausted(problem) is None:
                raise
            forget_locals(error)
            error.explained_by(self.explain)
