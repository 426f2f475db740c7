"""Which account sends what nobody named an account for: ``[routes]`` in accounts.toml, by From. It opens nothing.

    [routes]
    "info@novak.cz" = "shop"
    "@novak.cz" = "office"
    "*" = "shop"

The most exact wins. Domains are compared regardless of case and as A-labels; ``@novak.cz`` is not ``sub.novak.cz``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from franking.errors import SettingsError
from franking.message.address import Address
from franking.message.idna import to_ascii

if TYPE_CHECKING:
    from franking.account.config import Config

__all__ = ["account_by_author"]


def account_by_author(config: Config, author: str) -> str | None:
    """Return the name of the account that sends mail From an address; None where no route fits and there is no default.

    Raises ``SettingsError`` for a route that is none, or that names an account that is not there.
    """
    table = config.sections.get("routes", {})
    if config.environ.get("FRANKING_ACCOUNT"):
        return config.chosen  # somebody named one
    routes = {_key(pattern): _account(config, pattern, name) for pattern, name in table.items()}
    local, _, domain = author.rpartition("@")
    domain = _domain(domain)
    for key in (f"{local}@{domain}", f"@{domain}", "*"):
        if key in routes:
            return routes[key]
    return config.chosen


def _key(pattern: str) -> str:
    if pattern == "*":
        return pattern
    local, at, domain = pattern.rpartition("@")
    try:
        if not at or not domain:
            raise ValueError
        Address.parse(f"{local or 'x'}@{domain}")
    except ValueError:
        raise SettingsError(
            f'routes: {pattern!r} is neither an address ("info@novak.cz"), nor a domain ("@novak.cz"), nor "*".',
            field="routes",
        ) from None
    return f"{local}@{_domain(domain)}"


def _domain(domain: str) -> str:
    try:
        return to_ascii(domain).lower()
    except ValueError:
        return domain.lower()


def _account(config: Config, pattern: str, name: Any) -> str:
    if not isinstance(name, str):
        raise SettingsError(f"routes: {pattern!r}: {name!r} is not the name of an account.", field="routes")
    if name not in config.tables:
        problem = config.no_account(name)
        raise SettingsError(f"routes: {pattern!r}: {problem}", field="routes", evidence=problem.evidence)
    return name
