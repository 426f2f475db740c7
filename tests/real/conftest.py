"""Real mail servers for the tests of this directory: each started once per run, on loopback, and stopped at the end.

A server that cannot run on this machine skips its tests with the reason; with FRANKING_REQUIRE_SERVERS=1 (.ci/run) it fails them.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from servers.daemon import Certificates, Unavailable, directory, free_ports
from servers.dovecot import Dovecot
from servers.exim import Exim
from servers.opensmtpd import OpenSMTPD
from servers.postfix import Postfix

REQUIRED = os.environ.get("FRANKING_REQUIRE_SERVERS") == "1"  # read before the tests' environment is cleaned
Server = TypeVar("Server")


def start(make: Callable[[], Server]) -> Server:
    """Start a server, or skip (or fail, where servers are required) with the reason."""
    try:
        return make()
    except Unavailable as why:
        if REQUIRED:
            pytest.fail(f"a required server is not available: {why}")
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates.make(directory("certificates"))


@pytest.fixture(scope="session")
def trust(certificates: Certificates) -> ssl.SSLContext:
    """A client context that trusts the test CA, for the standard library."""
    return ssl.create_default_context(cafile=str(certificates.ca))


@dataclass(frozen=True, slots=True)
class Pair:
    """Postfix asks Dovecot who may log in, and Dovecot's submission service relays to Postfix."""

    postfix: Postfix
    dovecot: Dovecot


@pytest.fixture(scope="session")
def pair(certificates: Certificates) -> Iterator[Pair]:
    plain, starttls, tls, submission, submissions = free_ports(5)
    dovecot = start(lambda: Dovecot(certificates, submission=submission, submissions=submissions, relay_port=plain))
    try:
        postfix = start(lambda: Postfix(certificates, plain=plain, starttls=starttls, tls=tls, auth_socket=dovecot.auth_socket))
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
    plain, tls = free_ports(2)
    server = start(lambda: Exim(certificates, plain=plain, tls=tls))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def opensmtpd() -> Iterator[OpenSMTPD]:
    (port,) = free_ports(1)
    server = start(lambda: OpenSMTPD(port=port))
    yield server
    server.stop()
