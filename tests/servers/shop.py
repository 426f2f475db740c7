"""The account "shop" of the tests of task queues, its password, and the letters that it sends."""

from __future__ import annotations

import os
from pathlib import Path

import franking
from franking.account.binding import binding_of
from franking.account.config import load
from franking.auth.secret import Password
from franking.auth.store import open_store

__all__ = ["letter", "save_password", "write_account"]


def write_account(port: int, more: str = "", *, path: str | None = None) -> None:
    """Write the settings file with the account "shop", which sends by a server on this port."""
    Path(path or os.environ["FRANKING_CONFIG"]).write_text(
        f'default = "shop"\n[accounts.shop]\nprovider = "smtp"\nfrom = "info@novak.cz"\nhost = "127.0.0.1"\n'
        f'port = {port}\nsecurity = "none"\n{more}',
        encoding="utf-8",
    )


def save_password(password: str) -> None:
    """Store a password for the account, as ``franking login`` does."""
    account = load().account("shop")
    open_store().save("shop", Password(password, bound=binding_of(account)).dumps())


def letter(*to: str, number: int = 1, text: str = "Thank you.") -> bytes:
    """Return ready bytes with a Message-ID of their own, the same each time."""
    message = franking.Message(
        to=list(to),
        subject=f"Order {number}",
        text=text,
        message_id=f"<{number}@novak.cz>",
        headers={"Date": "Mon, 02 Nov 2026 10:00:00 +0100"},
    )
    return message.as_bytes("info@novak.cz")
