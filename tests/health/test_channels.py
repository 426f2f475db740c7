"""The roads of an alert: no mail goes by the account that is sick, whoever it is about."""

from __future__ import annotations

from franking.health.change import Change
from franking.health.channels import channel
from franking.health.settings import AlertSettings
from outbox.test_outbox import save
from servers.smtp import SmtpServer


def test_a_sick_account_is_not_asked_to_tell_of_another() -> None:
    change = Change("office", "signin.dead", "critical", "ok", "office cannot sign in", (), 0.0)
    with SmtpServer() as sick, SmtpServer() as well:
        for name, server in (("shop", sick), ("office", sick), ("spare", well)):
            save(server.port, name)
        channel("mail", AlertSettings(account="shop", to="admin@example.cz"), {"shop", "office"}, "en")([change])
        assert (sick.sessions, len(well.messages)) == ([], 1)
