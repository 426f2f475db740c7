"""The providers that there are, one line each. Everything else asks for a provider by name here, or goes through all of them."""

from __future__ import annotations

from collections.abc import Iterator

from franking.account import Account, described_by, nearest
from franking.errors import SettingsError
from franking.files import FileProvider
from franking.gmail import GmailProvider
from franking.outlook import OutlookProvider
from franking.provider import Provider
from franking.smtp import SmtpProvider

__all__ = ["Account", "provider", "providers", "register"]

_PROVIDERS: dict[str, Provider] = {}


def register(provider: Provider) -> None:
    """Add a provider; one with the same name takes the place of the earlier."""
    _PROVIDERS[provider.name] = provider


def provider(name: str) -> Provider:
    """Find a provider by name; raises ``SettingsError`` that names the nearest."""
    try:
        return _PROVIDERS[name.strip().lower()]
    except KeyError:
        known = nearest(name, _PROVIDERS)
        hint = f"did you mean {known}?" if known else f"choose one of {', '.join(_PROVIDERS)}."
        raise SettingsError(f"provider: {name!r} is not known; {hint}", field="provider") from None


def providers() -> Iterator[Provider]:
    """Go through all providers in the order in which they were registered."""
    yield from tuple(_PROVIDERS.values())


register(SmtpProvider())
register(GmailProvider())
register(OutlookProvider())
register(FileProvider())

described_by(provider)
