"""An Outlook account's smtp route at a real submission service: Dovecot 2.3, which refuses a token of real size in one
line with AUTH.
"""

from __future__ import annotations

import uuid

import pytest

import franking
from servers.daemon import Certificates
from servers.dovecot import Dovecot, token
from servers.postfix import Postfix


class Renewing:
    """A secret that gives out these tokens in turn, the next when one was refused; ``who`` signed in."""

    who = "info@example.cz"

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after == self.tokens[0]:
            del self.tokens[0]
        return self.tokens[0]


@pytest.fixture
def account(dovecot: Dovecot, certificates: Certificates) -> franking.Account:
    return franking.Account(
        name="office",
        provider="outlook",
        route="smtp",
        sender="Info <info@example.cz>",
        host="localhost",
        port=dovecot.port,
        ca_file=str(certificates.ca),
        timeout=20.0,
    )


def test_a_token_of_real_size_logs_in_and_the_message_arrives(account: franking.Account, postfix: Postfix) -> None:
    access = token("info@example.cz", length=2_000)
    message = franking.Message(
        to=["jana@example.com"], bcc=["boss@example.com"], subject="účet", text="x\n", message_id=_new_id()
    )
    receipt = franking.send(account, message, secret=Renewing(access))
    assert receipt.route == "outlook-smtp"
    assert b"boss@example.com" not in postfix.inbox.find(receipt.message_id)


def test_an_expired_token_is_renewed_once(account: franking.Account, postfix: Postfix) -> None:
    secret = Renewing(token("info@example.cz", expires_in=-60), token("info@example.cz"))
    message = franking.Message(to=["jana@example.com"], subject="renewed", text="x\n", message_id=_new_id())
    receipt = franking.send(account, message, secret=secret)
    assert len(secret.tokens) == 1
    postfix.inbox.find(receipt.message_id)


def _new_id() -> str:
    return f"<{uuid.uuid4()}@example.cz>"
