"""The provider ``outlook``: Outlook.com and Microsoft 365. Facts and fields only, no SDK; ``login.py`` signs in, ``send.py`` sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.account import Account
from franking.address import Address
from franking.diagnosis import Rule
from franking.provider import Facts, Observer, RouteFacts, Session
from franking.smtp import TRANSPORT_FIELDS
from franking.tokens import Secret

__all__ = ["OutlookProvider"]


class OutlookProvider:
    """Send through Outlook.com and Microsoft 365."""

    name = "outlook"
    title = "Outlook.com and Microsoft 365"
    fields = TRANSPORT_FIELDS
    facts = Facts(routes=(RouteFacts("outlook-smtp"),), oauth=True)

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.outlook.rules import RULES

        return RULES

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        return settings

    def route(self, account: Account) -> str:
        raise NotImplementedError

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        raise NotImplementedError
