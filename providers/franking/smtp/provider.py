"""The provider ``smtp``: any mail server that takes a name and a password, or nothing. Facts and fields only; the work
is in ``open.py`` and ``session.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from franking.errors import SettingsError
from franking.provider import Facts, RouteFacts
from franking.smtp.fields import SMTP_FIELDS, destination, settle_transport

if TYPE_CHECKING:
    from franking.abilities import Destination
    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.diagnosis.diagnosis import Hint
    from franking.diagnosis.rules import Rule
    from franking.message.address import Address
    from franking.provider import Observer, Session

__all__ = ["SmtpProvider"]


class SmtpProvider:
    """Speak SMTP with any server."""

    name = "smtp"
    title = "SMTP server"
    fields = SMTP_FIELDS
    facts = Facts(
        routes=(RouteFacts("smtp", window=True, why="Works with every mail server that takes a name and a password."),),
        url_form="server",
        schemes={"smtps": {"security": "tls"}},
    )

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.smtp.rules import RULES

        return RULES

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        if not settings["host"]:
            raise SettingsError(
                'host: an smtp account needs a server, such as host = "smtp.example.com".', field="host"
            )
        return settle_transport(settings)

    def route(self, account: Account) -> str:
        return "smtp"

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        from franking.smtp.open import open_session

        return open_session(account, secret if account.username else None, observer, route=self.name)

    def destination(self, account: Account) -> Destination:
        return destination(account)

    def hints(self, account: Account, secret: str | None) -> tuple[Hint, ...]:
        from franking.smtp.hints import hints

        return hints(account, secret)
