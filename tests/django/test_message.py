"""Addresses as Django's own SMTP backend and ours take them, side by side: real Django, a real socket, the same server.

What Django's refuses, ours refuses. What ours sends says in its header what its envelope says, to a reader of the
standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_string, policy
from typing import Any

import pytest
from django.core import mail
from django.test.utils import override_settings

import franking
from servers.django_mail import BACKEND, CLASSIC, at
from servers.smtp import SmtpServer
from tiers import one_of_each

pytestmark = CLASSIC

PLAIN = (
    "b@example.com",
    " b@example.com ",
    "<b@example.com>",
    "Jan <b@example.com>",
    "Jan Novák <b@example.com>",
    '"Novák, Jan" <b@example.com>',
    '"a@other.com" <b@example.com>',
    '"Shop: Praha; [1]" <b@example.com>',
    r'"Jan \"J\" Novák" <b@example.com>',
    'Jan "J" Novak <b@example.com>',
    "O'Brien/Petr <b@example.com>",
    "b@example.com (Jan)",
    "Jan (shop) <b@example.com>",
    "=?utf-8?q?Jan_Nov=C3=A1k?= <b@example.com>",
    "b@[127.0.0.1]",
    "b@localhost",
    "jana@háčky.cz",
)
"""Both send them."""

FURTHER = (
    "Novák s.r.o. <b@example.com>",
    "Jan J. Novak <b@example.com>",
    "J. <b@example.com>",
    '"jan..n"@example.com',
    "jána@example.com",
    "Jana Novák s.r.o. <jána@háčky.cz>",
)
"""Django's backend refuses some (6.1) or breaks them (5.2); they can be carried as they are meant, so ours does."""

WRONG = (
    "x, y <b@example.com>",
    "Novák, Jan <b@example.com>",
    "Novák; Jan <b@example.com>",
    "a@other.com <b@example.com>",
    "x@y <b@example.com>",
    "<a@other.com> <b@example.com>",
    "Jan <a@other.com> <b@example.com>",
    "a@other.com, b@example.com",
    "a@other.com; b@example.com",
    "<a@other.com>,<b@example.com>",
    "Jan <<b@example.com>>",
    "Jan <b@example.com> x",
    "Jan b@example.com>",
    "[shop] <b@example.com>",
    "Shop: Praha <b@example.com>",
    "Shop; Praha <b@example.com>",
    r"Jan \ Novak <b@example.com>",
    "Jan <>",
    "Jan <b@exam ple.com>",
    "b@example.com.",
    "jan@@example.com",
    "jan@example..com",
    "jan@",
    "@example.com",
    "@other.com:b@example.com",
    "b@example.com\nBcc: a@other.com",
)
"""Both refuse them."""


@pytest.fixture(scope="module")
def server() -> Iterator[SmtpServer]:
    with SmtpServer(extensions=("8BITMIME", "SMTPUTF8", "PIPELINING")) as made:
        yield made


def send(server: SmtpServer, backend: str, **fields: Any) -> int:
    with override_settings(EMAIL_BACKEND=backend, EMAIL_HOST=server.host, EMAIL_PORT=server.port):
        return mail.EmailMessage(
            "s", "text", **{"from_email": "info@novak.cz", "to": ["to@example.com"], **fields}
        ).send()


def with_django(server: SmtpServer, **fields: Any) -> int:
    return send(server, "django.core.mail.backends.smtp.EmailBackend", **fields)


def with_franking(server: SmtpServer, **fields: Any) -> int:
    with override_settings(FRANKING_ACCOUNT=at(server)):
        return send(server, BACKEND, **fields)


FIELDS = ("to", "cc", "bcc")


@pytest.mark.parametrize("typed", PLAIN)
@pytest.mark.parametrize("field", FIELDS)
def test_what_both_send(server: SmtpServer, field: str, typed: str) -> None:
    assert with_django(server, **{field: [typed]}) == 1
    of_django = server.messages[-1].recipients
    assert with_franking(server, **{field: [typed]}) == 1
    assert server.messages[-1].recipients == of_django


def said(server: SmtpServer, field: str) -> list[str]:
    """The addresses in the header of the last message, to a reader that was never told what was meant."""
    header = message_from_string(server.messages[-1].data.decode(), policy=policy.SMTPUTF8)[field]
    return [f"{each.username}@{each.domain}" for each in header.addresses]


@pytest.mark.parametrize("typed", [*PLAIN, *FURTHER])
@pytest.mark.parametrize("field", ["to", "cc", "from_email"])
def test_the_header_says_what_was_meant(server: SmtpServer, field: str, typed: str) -> None:
    meant = franking.Address.parse(typed)
    assert with_franking(server, **{field: typed if field == "from_email" else [typed]}) == 1
    local, _, domain = meant.address.replace('"', "").rpartition("@")
    assert said(server, field.removesuffix("_email")) in (
        [f"{local}@{domain}"],
        [f"{local}@{domain.encode('idna').decode()}"],
    )
    if field != "from_email":
        assert meant.wire in server.messages[-1].recipients


@pytest.mark.parametrize(
    ("field", "typed"),
    one_of_each([(f, typed) for f in (*FIELDS, "from_email") for typed in WRONG], lambda pair: pair[1]),
)
def test_what_django_refuses_is_refused(server: SmtpServer, field: str, typed: str) -> None:
    fields = {field: typed if field == "from_email" else [typed]}
    with pytest.raises((ValueError, TypeError, IndexError)):  # Django's own parser trips over some
        with_django(server, **fields)
    before = len(server.messages)
    with pytest.raises(ValueError) as caught:
        with_franking(server, **fields)
    assert isinstance(caught.value, franking.MessageError)
    assert len(server.messages) == before


def test_the_error_says_how_it_is_written(server: SmtpServer) -> None:
    with pytest.raises(franking.MessageError, match=r'in quotation marks: "Novák, Jan" <b@example\.com>'):
        with_franking(server, to=["Novák, Jan <b@example.com>"])


def test_a_wrong_from_stops_no_other_message(server: SmtpServer) -> None:
    letters = [
        mail.EmailMessage("s", "text", sender, [f"to{number}@example.com"])
        for number, sender in enumerate(["shop@novak.cz", "Novák, Jan <shop@novak.cz>", "webmaster"])
    ]
    before = len(server.messages)
    with (
        override_settings(EMAIL_BACKEND=BACKEND, FRANKING_ACCOUNT=at(server)),
        pytest.raises(franking.MessageError, match="Novák, Jan"),
    ):
        mail.get_connection().send_messages(letters)
    assert [message.recipients for message in server.messages[before:]] == [["to0@example.com"], ["to2@example.com"]]
