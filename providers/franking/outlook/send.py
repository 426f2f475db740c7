"""Send by Microsoft Graph. How to recover is the mailer's business."""

from __future__ import annotations

from franking.account import Account
from franking.provider import Observer, Session
from franking.tokens import Secret

__all__ = ["open_session"]


def open_session(account: Account, secret: Secret, observer: Observer) -> Session:
    raise NotImplementedError
