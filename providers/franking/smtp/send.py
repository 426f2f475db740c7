"""Send by SMTP: open a session (connect, TLS, greet, log in) and hand messages over. How to recover is the mailer's business."""

from __future__ import annotations

from franking.account import Account
from franking.provider import Observer, Session
from franking.tokens import Secret

__all__ = ["open_session"]


def open_session(
    account: Account,
    secret: Secret | None,
    observer: Observer,
    *,
    route: str,
    username: str | None = None,
    mechanisms: tuple[str, ...] | None = None,
) -> Session:
    """Open a session to the account's ``host``/``port``/``security``; ``secret`` None = no login.

    ``username`` overrides the account's; ``mechanisms`` (``("xoauth2", "oauthbearer")``) overrides ``auth``: the OAuth providers' smtp routes do both.
    """
    raise NotImplementedError
