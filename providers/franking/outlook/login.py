"""Sign in with Microsoft (MSAL): browser, device code, pasted address, app-only; and renew. It stores nothing: grants are values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.account import Account
from franking.provider import LoginUI
from franking.tokens import Grant

__all__ = ["login", "refresh", "revoke"]


def login(account: Account, ui: LoginUI, *, options: Mapping[str, Any]) -> Grant:
    raise NotImplementedError


def refresh(account: Account, grant: Grant | None, secret: str | None) -> Grant:
    raise NotImplementedError


def revoke(account: Account, grant: Grant) -> str:
    raise NotImplementedError
