"""Real mail servers for the tests of this directory: each started once per run, on loopback, and stopped at the end.

A server that cannot run on this machine skips its tests with the reason; with FRANKING_REQUIRE_SERVERS=1 (.ci/run) it
fails them.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

import franking
from servers.daemon import Certificates, Unavailable, directory
from servers.dovecot import PASSWORDS, Dovecot
from servers.exim import Exim
from servers.maildir import Maildir
from servers.opensmtpd import OpenSMTPD
from servers.ports import reserved_ports
from servers.postfix import Postfix
from servers.rabbitmq import RabbitMQ

REQUIRED = os.environ.get("FRANKING_REQUIRE_SERVERS") == "1"  # read before the tests' environment is cleaned
Server = TypeVar("Server")
ONE_AT_A_TIME = (
    "test_callers",
    "test_delivery",
    "test_probe",
    "test_relay_smuggling",
    "test_servers",
    "test_session_limit",
)
"""The files whose tests ask OpenSMTPD, of which a machine can have only one."""


def start(make: Callable[[], Server]) -> Server:
    """Start a server, or skip (or fail, where servers are required) with the reason."""
    try:
        return make()
    except Unavailable as why:
        if REQUIRED:
            pytest.fail(f"a required server is not available: {why}")
        pytest.skip(str(why))


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of this directory ``real``, and keep each file on one worker: its servers start once. Those that ask
    OpenSMTPD are on the same one, so that none waits for another's.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)
            file = item.path.stem
            item.add_marker(pytest.mark.xdist_group("opensmtpd" if file in ONE_AT_A_TIME else file))


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates.make(directory("certificates"))


@pytest.fixture(scope="session")
def trust(certificates: Certificates) -> ssl.SSLContext:
    """A client context that trusts the test CA, for the standard library."""
    return ssl.create_default_context(cafile=str(certificates.ca))


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    broker = start(RabbitMQ)
    yield broker
    broker.stop()


@dataclass(frozen=True, slots=True)
class Pair:
    """Postfix asks Dovecot who may log in, and Dovecot's submission service relays to Postfix."""

    postfix: Postfix
    dovecot: Dovecot


@pytest.fixture(scope="session")
def pair(certificates: Certificates) -> Iterator[Pair]:
    plain, starttls, tls, submission, submissions = reserved_ports(5)
    dovecot = start(lambda: Dovecot(certificates, submission=submission, submissions=submissions, relay_port=plain))
    try:
        postfix = start(
            lambda: Postfix(certificates, plain=plain, starttls=starttls, tls=tls, auth_socket=dovecot.auth_socket)
        )
        yield Pair(postfix, dovecot)
        postfix.stop()
    finally:
        dovecot.stop()


@pytest.fixture(scope="session")
def postfix(pair: Pair) -> Postfix:
    return pair.postfix


@pytest.fixture(scope="session")
def dovecot(pair: Pair) -> Dovecot:
    return pair.dovecot


@pytest.fixture(scope="session")
def exim(certificates: Certificates) -> Iterator[Exim]:
    plain, tls = reserved_ports(2)
    server = start(lambda: Exim(certificates, plain=plain, tls=tls))
    yield server
    server.stop()


@pytest.fixture(scope="module")  # only one can run on a machine: others wait for it
def opensmtpd() -> Iterator[OpenSMTPD]:
    (port,) = reserved_ports(1)
    server = start(lambda: OpenSMTPD(port=port))
    yield server
    server.stop()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server with one kind of security: how Franking is told of it, and where what it sent can be read back."""

    server: str
    security: str
    port: int
    ca_file: str
    inbox: Maildir
    login: bool = True

    def account(self, username: str | None = "", **settings: Any) -> franking.Account:
        """Make an account; it logs in as ``info@example.cz`` where the server knows logins and ``username`` does not
        say otherwise.
        """
        if username == "":
            username = "info@example.cz" if self.login else None
        given: dict[str, Any] = {
            "host": "localhost",
            "port": self.port,
            "security": self.security,
            "username": username,
            "timeout": 20.0,
        }
        if self.security != "none":
            given["ca_file"] = self.ca_file
        return franking.Account(
            name="real", provider="smtp", sender="Jan Novák <info@example.cz>", **{**given, **settings}
        )

    def connect(
        self, username: str | None = "", *, secret: str | None = None, window: int = 1, **settings: Any
    ) -> franking.Mailer:
        """Make a mailer with the right password, unless another is given."""
        account = self.account(username, **settings)
        if secret is None and account.username:
            secret = PASSWORDS[account.username]
        return franking.connect(account, secret=secret, window=window)


def make_endpoint(request: pytest.FixtureRequest) -> Endpoint:
    server, _, security = request.param.partition("-")
    started = request.getfixturevalue(server)
    inbox = request.getfixturevalue("postfix").inbox if server == "dovecot" else started.inbox
    port = started.tls_port if security == "tls" else started.port
    if server == "postfix" and security == "none":
        port = started.plain_port
    certificates = request.getfixturevalue("certificates")
    return Endpoint(server, security, port, str(certificates.ca), inbox, login=server != "opensmtpd")


WITH_LOGIN = [
    f"{server}-{security}" for server in ("postfix", "dovecot", "exim") for security in ("none", "starttls", "tls")
]

login_endpoint = pytest.fixture(params=WITH_LOGIN)(make_endpoint)
"""Every server that knows logins, with every kind of security."""

endpoint = pytest.fixture(params=[*WITH_LOGIN, "opensmtpd-none"])(make_endpoint)
"""Every server, with every kind of security."""
