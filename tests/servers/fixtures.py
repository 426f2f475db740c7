"""Fixtures that several test files use: certificates and a service account's key made once per run, a scriptable SMTP
server, a scripted provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from franking import registry
from servers.certificates import Certificates
from servers.scripted import ScriptedProvider
from servers.smtp import SmtpServer


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Good and bad certificates for loopback."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def smtp_server() -> Iterator[Callable[..., SmtpServer]]:
    """Start scriptable SMTP servers: ``smtp_server(users={…}, faults=[…])``; they stop at the end of the test."""
    with ExitStack() as stack:

        def start(**options: Any) -> SmtpServer:
            return stack.enter_context(SmtpServer(**options))

        yield start


@pytest.fixture(params=[False, True], ids=["one-by-one", "window"])
def scripted(request: pytest.FixtureRequest) -> Iterator[ScriptedProvider]:
    """Register a provider whose sessions do what a test tells them, without and with a window of their own."""
    provider = ScriptedProvider(many=request.param)
    registry.register(provider)
    yield provider
    registry._PROVIDERS.pop("scripted")


@pytest.fixture(scope="session")
def service_key() -> Mapping[str, str]:
    """Make the key file of a service account, without the address of its token endpoint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "s@p.iam",
        "client_id": "108",
    }
