"""Fixtures that several test files use: certificates made once per run, and a scriptable SMTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servers.certificates import Certificates
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
