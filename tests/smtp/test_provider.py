"""The provider ``smtp``: what it needs of the settings, and that it logs in only where there is a name."""

from __future__ import annotations

import pytest

import franking
from franking.errors import SettingsError
from franking.provider import silent
from franking.smtp.hints import hints
from franking.smtp.provider import SmtpProvider
from franking.smtp.rules import RULES
from smtp.sessions import BODY, ENVELOPE, Start, account


class Unread:
    """A secret that nobody may ask for."""

    def get(self, *, renew_after: str | None = None) -> str:
        raise AssertionError("nobody logs in")


def test_without_a_server_there_is_no_account() -> None:
    with pytest.raises(SettingsError, match="needs a server") as caught:
        franking.Account(name="x", provider="smtp", sender="a@x.test", host="")
    assert caught.value.field == "host"


def test_without_a_name_nobody_logs_in(smtp_server: Start) -> None:
    server = smtp_server(users={"jana": "pw"})
    session = SmtpProvider().open(account(server), Unread(), silent)
    assert session.send(ENVELOPE, BODY).route == "smtp"
    session.close()
    assert not any(line.startswith("AUTH") for line in server.wait().lines)


def test_its_part_of_the_diagnosis_and_its_hints() -> None:
    provider, settings = SmtpProvider(), account(110, username="jana")
    assert provider.rules == RULES
    assert provider.route(settings) == "smtp"
    assert provider.hints(settings, " pw") == hints(settings, " pw") != ()
