"""The provider ``gmail``: Gmail and Google Workspace. Facts and fields only, no SDK; ``login.py`` signs in, ``send.py`` sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.account import Account
from franking.address import Address
from franking.diagnosis import Rule
from franking.provider import Facts, Observer, RouteFacts, Session
from franking.smtp import TRANSPORT_FIELDS
from franking.tokens import Secret

__all__ = ["GmailProvider"]


class GmailProvider:
    """Send through Gmail and Google Workspace."""

    name = "gmail"
    title = "Gmail and Google Workspace"
    fields = TRANSPORT_FIELDS
    facts = Facts(routes=(RouteFacts("gmail-smtp"),), oauth=True)

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.gmail.rules import RULES

        return RULES

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        return settings

    def route(self, account: Account) -> str:
        raise NotImplementedError

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        raise NotImplementedError
