"""Where an application begins: who is meant becomes a mailer, or one message is sent and the mailer closed.

What is wrong already here is told as every failure is: with its diagnosis, and what was handed over in the wrong order
with a sentence. The path of a message is ``mailer.py``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.account.config import resolve
from franking.errors import FrankingError, discreet, exhausted
from franking.redaction import veiled
from franking.sending import mailer as path
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from franking.auth.secret import Secret
    from franking.auth.store import SecretStore
    from franking.message.address import Envelope
    from franking.message.message import Message
    from franking.provider import Observer, Receipt
    from franking.sending.limit_places import SharedLimits

__all__ = ["account_for", "connect", "explained", "send"]


def connect(
    account: str | Account | None = None,
    *,
    connections: int = 1,
    window: int = 1,
    rate: float | None = None,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
    limits: str | Path | SharedLimits | None = None,
    limits_required: bool | None = None,
) -> Mailer:
    """Make a mailer for an account's name, an ``Account`` or an account URL; None is the default account.

        with franking.connect("shop") as mailer:
            receipt = mailer.send(message)

    Nothing is opened yet. ``connections`` is the most sessions at once, ``window`` how many messages may be unanswered
    on each (``send_many``), ``rate`` the most messages per minute (by default the provider's own limit; ``math.inf``
    for none). ``secret`` is a password or a ``Secret``; without it the usual sources are asked (docs: accounts).
    ``observer`` is told each step. ``limits`` is where the counts of what the mailbox sent are kept, if not in the
    shared store or the state directory: another store's address, a directory, or an object that keeps them; with
    ``limits_required=False`` sending goes on while that is away. Raises ``SettingsError`` for an unknown account or
    wrong settings.
    """
    secret, limits = veiled(secret), veiled(limits)
    with explained():
        where = None
        if (limits, limits_required) != (None, None):
            from franking.sending.limit_places import Where

            where = Where(limits, limits_required)
        return Mailer(
            account_for(account),
            connections=connections,
            window=window,
            rate=rate,
            secret=secret,
            observer=observer,
            store=store,
            limits_at=where,
        )


def send(
    account: str | Account | None,
    message: Message | EmailMessage | bytes,
    *,
    envelope: Envelope | None = None,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
) -> Receipt:
    """Send one message and close.

        franking.send("shop", franking.Message(to=["jana@example.cz"], subject="Faktura", text="Dobrý den …"))

    ``account`` is as in ``connect``; None takes the account that ``[routes]`` names for the message's From, else the
    default one. ``envelope`` is as in ``Mailer.send``, the other options as in ``connect``. Raises as ``Mailer.send``.
    """
    secret = veiled(secret)
    with explained():
        chosen = account_for(account, message)
    with connect(chosen, secret=secret, observer=observer, store=store) as mailer:
        return mailer.send(message, envelope=envelope)


def account_for(account: str | Account | None, message: Any = None) -> Account:
    """Find the account that is meant; where nobody names one, the one that ``[routes]`` names for the message's From,
    or the default one. Raises ``SettingsError``.
    """
    given: Any = account
    if not (given is None or isinstance(given, str | Account)):
        order = "" if message is None else "; it comes first, then the message"
        raise TypeError(f"An account is a name, an account URL or an Account, not {type(given).__name__}{order}.")
    if path.capturing is not None:
        return path.capturing.account(account)
    if account is None and message is not None:
        from franking.message.prepare import own_author

        return resolve(None, author=own_author(message))
    return resolve(account)


@contextmanager
def explained() -> Iterator[None]:
    """Attach its diagnosis to every error that passes before there is a mailer, which does so itself."""
    try:
        yield
    except BaseException as broken:
        with discreet:
            error = exhausted(broken, "settings") or broken
            if isinstance(error, FrankingError):
                error.explained_by(_explain)
            if error is broken:
                raise
            raise error from broken


def _explain(error: FrankingError) -> None:
    from franking.sending.explain import explain  # and all the texts: only a failure needs them

    explain(error)
