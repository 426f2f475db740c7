"""What the tests of the task have: a mail server, and the account "shop" that reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from franking.sending.mailers import KEPT
from servers.shop import write_account
from servers.smtp import SmtpServer


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(users={"info@novak.cz": "right"}) as made:
        write_account(made.port)
        yield made
        KEPT.close()
