"""The providers that there are, one line each: everything else asks for one by name here, or goes through all of them.

No facts of any provider are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from franking.errors import SettingsError, scarcity
from franking.text import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from franking.provider import Provider

__all__ = ["DEFAULT", "provider", "providers", "register"]

DEFAULT = "smtp"
"""The provider of settings that name none."""

# Our own are named, and imported when they are first asked for: who sends by SMTP waits for no other provider's facts.
_PROVIDERS: dict[str, Provider | str] = {
    "smtp": "franking.smtp.provider:SmtpProvider",
    "gmail": "franking.gmail.provider:GmailProvider",
    "outlook": "franking.outlook.provider:OutlookProvider",
    "file": "franking.file:FileProvider",
}


def register(provider: Provider) -> None:
    """Add a provider; one with the same name takes the place of the earlier."""
    _PROVIDERS[provider.name] = provider


def provider(name: str) -> Provider:
    """Find a provider by name; raises ``SettingsError`` that names the nearest."""
    try:
        return _loaded(name.strip().lower())
    except KeyError:
        hint = suggestion(name, _PROVIDERS, f"choose one of {', '.join(_PROVIDERS)}.")
        raise SettingsError(f"provider: {name!r} is not known; {hint}", field="provider") from None


def providers() -> Iterator[Provider]:
    """Go through all providers in the order in which they were registered."""
    for name in tuple(_PROVIDERS):
        yield _loaded(name)


def _loaded(name: str) -> Provider:
    found = _PROVIDERS[name]
    if not isinstance(found, str):
        return found
    from importlib import import_module

    module, _, kind = found.partition(":")
    with scarcity("settings"):
        made: Provider = getattr(import_module(module), kind)()
    if _PROVIDERS[name] is found:  # another thread may have been quicker, and a provider is one object
        _PROVIDERS[name] = made
    return _loaded(name)
