"""Commands that mend what is wrong with an account, as they can be pasted into a shell. Nothing is run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["login_command", "repair_command", "switched_off"]


def repair_command(*words: str) -> str:
    """Write a ``franking`` command as it can be pasted into a shell."""
    import shlex

    return shlex.join(("franking", *words))


def login_command(account: Account) -> str:
    """Return the command that signs in for an account, or stores its password."""
    return repair_command("login", account.reference)


def switched_off(account: Account) -> SettingsError:
    """Make the error of an account that may not send."""
    return SettingsError(
        f"The account {account.name!r} is switched off; nothing is sent with it. Switch it on with: "
        + repair_command("accounts", "enable", account.name),
        field="enabled",
    )
