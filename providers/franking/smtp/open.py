"""Send by SMTP: open a session (connect, TLS, greet, log in). What the session then does is in ``session.py``; recovery
is the mailer's.

``open_session`` is what the provider and the OAuth providers' smtp routes call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from franking.errors import SettingsError
from franking.net import tcp as dial
from franking.net.tcp import Place, Resolver
from franking.provider import Observer, Steps
from franking.smtp import handshake as opening
from franking.smtp.connection import Connection, Dialogue
from franking.smtp.protocol import Capabilities
from franking.smtp.session import SmtpSession

if TYPE_CHECKING:
    import ssl

    from franking.account.account import Account
    from franking.auth.secret import Secret

__all__ = ["Opening", "SmtpSession", "open_session"]

Clock = Callable[[], float]


class Opening:
    """What is needed to come as far as EHLO."""

    def __init__(
        self,
        place: Place,
        timeout: float,
        patience: float,
        ehlo_name: str | None,
        ca_file: str | None,
        resolver: Resolver | None,
        clock: Clock,
    ) -> None:
        self.place, self.timeout, self.patience, self.ehlo_name = place, timeout, patience, ehlo_name
        self.ca_file, self.resolver, self.clock = ca_file, resolver, clock

    def open(self, steps: Steps) -> tuple[Connection, Capabilities]:
        """Connect, agree on TLS, greet."""
        context = None
        if self.place.security != "none":
            from franking.net import tls  # and ssl

            context = tls.context(self.ca_file)
        with steps("resolve"):
            found = dial.resolve(self.place, timeout=self.timeout, resolver=self.resolver)
            steps.detail = ", ".join(str(each[4][0]) for each in found[:8])
        with steps("connect"):
            sock = dial.connect(self.place, found, timeout=self.timeout, clock=self.clock)
            try:
                connection = Connection(
                    sock, self.place, timeout=self.timeout, patience=self.patience, clock=self.clock
                )
            except BaseException:
                sock.close()
                raise
            steps.detail = f"{connection.peer} port {self.place.port}"
        try:
            return connection, self._begin(connection, context, steps)
        except BaseException:
            connection.close()
            raise

    def _begin(self, connection: Connection, context: ssl.SSLContext | None, steps: Steps) -> Capabilities:
        name = opening.ehlo_name(self.ehlo_name, connection.local)
        if context is not None and self.place.security == "tls":
            self._start_tls(connection, context, steps)
        with steps("greet"):
            connection.step = "greet"
            opening.check_greeting(connection.hear_greeting(), self.place)
            capabilities = connection.converse(opening.hello(name, self.place))
            steps.detail = connection.greeting
        if context is not None and self.place.security == "starttls":
            self._start_tls(connection, context, steps, opening.starttls(capabilities, self.place))
            connection.step = "greet"
            capabilities = connection.converse(opening.hello(name, self.place))
        return capabilities

    def _start_tls(
        self, connection: Connection, context: ssl.SSLContext, steps: Steps, ask: Dialogue[None] | None = None
    ) -> None:
        with steps("tls"):
            connection.step = "tls"
            if ask is not None:
                connection.converse(ask)
            connection.start_tls(context)
            steps.detail = connection.describe_tls()


def open_session(
    account: Account,
    secret: Secret | None,
    observer: Observer,
    *,
    route: str,
    username: str | None = None,
    mechanisms: tuple[str, ...] | None = None,
    resolver: Resolver | None = None,
    clock: Clock = time.monotonic,
) -> SmtpSession:
    """Open a session to the account's ``host``/``port``/``security``; ``secret`` None = no login.

    ``username`` overrides the account's; ``mechanisms`` (``("xoauth2", "oauthbearer")``) overrides ``auth``: the smtp
    routes of the OAuth providers do both. ``resolver`` stands in for ``socket.getaddrinfo``. Raises ``ConnectError``,
    ``TLSError``, ``LoginError``, ``Throttled``, ``SettingsError``.
    """
    place = Place(account.host, account.port, account.security)
    steps = Steps(observer, clock)
    begin = Opening(place, account.timeout, account.final_timeout, account.ehlo_name, account.ca_file, resolver, clock)
    connection, capabilities = begin.open(steps)
    try:
        if secret is not None:
            with steps("login"):
                who = username or account.username
                connection.step = "login"
                mechanism = _log_in(connection, capabilities, account, secret, who, mechanisms)
                steps.detail = f"{mechanism} as {who}"
        return SmtpSession(
            connection,
            capabilities.without(account.without),
            route=route,
            observer=observer,
            final_timeout=account.final_timeout,
            clock=clock,
        )
    except BaseException:
        connection.close()
        raise


def _log_in(
    connection: Connection,
    capabilities: Capabilities,
    account: Account,
    secret: Secret,
    who: str | None,
    mechanisms: tuple[str, ...] | None,
) -> str:
    if not who:
        raise SettingsError(
            "username: a password or token is there, but no name to log in with.", field="username", step="login"
        )
    from franking.smtp import sasl  # and base64: a server inside a company network often wants no login

    token = bool(account.get("token_command")) or account.auth in sasl.TOKEN_MECHANISMS
    wanted = mechanisms or sasl.choose(account.auth, tls=connection.tls is not None, token=token)
    place = connection.place
    opening.check_plain_login(
        connection.peer,
        tls=connection.tls is not None,
        token=any(name in sasl.TOKEN_MECHANISMS for name in wanted),
        allowed=bool(account.get("allow_plain_login")),
        details=place.details,
    )
    credentials = sasl.Credentials(who, secret.get(), place.host, place.port)
    connection.reader.redact = redactor = sasl.Redactor()
    return connection.converse(sasl.login(credentials, capabilities, wanted, redactor, **place.details))
