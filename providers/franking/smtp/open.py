"""Open a session: connect, TLS, greet, log in. What it then does is in ``session.py``; recovery is the mailer's.

``open_session`` is what the provider and the OAuth providers' smtp routes call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from franking.errors import SettingsError
from franking.net import tcp
from franking.net.tcp import Place, Resolver
from franking.provider import Observer, Steps
from franking.redaction import Redactor
from franking.smtp import handshake
from franking.smtp.connection import Connection, Dialogue
from franking.smtp.protocol import Capabilities
from franking.smtp.session import SmtpSession

if TYPE_CHECKING:
    import ssl

    from franking.account.account import Account
    from franking.auth.secret import Secret

__all__ = ["greet", "open_session"]

Clock = Callable[[], float]


def greet(
    connection: Connection,
    steps: Steps,
    *,
    ca_file: str | None,
    ehlo_name: str | None = None,
    resolver: Resolver | None = None,
) -> Capabilities:
    """Connect, agree on TLS and say EHLO; whoever owns the connection closes it, whatever happens."""
    place = connection.place
    context = None
    if place.security != "none":
        from franking.net import tls  # and ssl

        context = tls.context(ca_file)
    with steps("resolve"):
        found = tcp.resolve(place, timeout=connection.timeout, resolver=resolver)
        steps.detail = ", ".join(str(each[4][0]) for each in found[:8])
    with steps("connect"):
        connection.connect(found)
        steps.detail = f"{connection.peer} port {place.port}"
    name = handshake.ehlo_name(ehlo_name, connection.local)
    if context is not None and place.security == "tls":
        _start_tls(connection, context, steps)
    with steps("greet"):
        connection.step = "greet"
        handshake.check_greeting(connection.hear_greeting(), place)
        capabilities = connection.converse(handshake.hello(name, place))
        steps.detail = connection.greeting
    if context is not None and place.security == "starttls":
        _start_tls(connection, context, steps, handshake.starttls(capabilities, place))
        with steps("greet", again=True):
            connection.step = "greet"
            capabilities = connection.converse(handshake.hello(name, place))
    return capabilities


def _start_tls(
    connection: Connection, context: ssl.SSLContext, steps: Steps, ask: Dialogue[None] | None = None
) -> None:
    from franking.smtp import tls

    with steps("tls"):
        connection.step = "tls"
        if ask is not None:
            connection.converse(ask)
        connection.start_tls(context)
        steps.detail = tls.summary(connection.tls, connection.certificate)


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
    # the owner is there before its socket: a signal may strike between any two lines
    connection = Connection(place, timeout=account.timeout, patience=account.final_timeout, clock=clock)
    try:
        capabilities = greet(connection, steps, ehlo_name=account.ehlo_name, ca_file=account.ca_file, resolver=resolver)
        if secret is not None:
            who = username or account.username
            with steps("login"):
                connection.step = "login"
                mechanism = _log_in(connection, capabilities, account, secret, who, mechanisms)
                steps.detail = f"{mechanism} as {who}"
        return SmtpSession(
            connection,
            capabilities.without(account.without),
            route=route,
            account=account.name,
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
        words = "username: a password or token is there, but no name to log in with."
        raise SettingsError(words, field="username", step="login")
    from franking.smtp import sasl  # and base64: a server inside a company network often wants no login

    tls = connection.tls is not None
    token = bool(account.get("token_command")) or account.auth in sasl.TOKEN_MECHANISMS
    wanted = mechanisms or sasl.choose(account.auth, tls=tls, token=token)
    place = connection.place
    details = {**place.details, "starttls_here": not tls and "STARTTLS" in capabilities}
    handshake.check_plain_login(
        connection.peer,
        tls=tls,
        token=not set(sasl.TOKEN_MECHANISMS).isdisjoint(wanted),
        allowed=bool(account.get("allow_plain_login")),
        details=details,
    )
    credentials = sasl.Credentials(who, secret.get(), place.host, place.port)
    redactor = Redactor(public=(who, place.host))
    connection.reader.redact = sasl.hiding(redactor)
    return connection.converse(sasl.login(credentials, capabilities, wanted, redactor, **details))
