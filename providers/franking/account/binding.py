"""What an account's secret belongs to: a provider, and the places that the secret goes to. Values and comparisons only:
secrets, and what happens where they belong elsewhere, are the subject of ``auth/bound.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from franking.abilities import SupportsBinding, SupportsDestination
from franking.account.fields import COMMON_FIELDS
from franking.registry import provider as provider_named

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["Binding", "binding_of", "difference", "loose_in"]

Binding = Mapping[str, str]
"""``provider``, by the setting that names it each place that the secret goes to, and under ``LOOSE`` the settings with
which less protects it on its way there.
"""

LOOSE = "loose"


def binding_of(account: Account) -> Binding:
    """Return what a secret of this account belongs to.

    A port, letter case and a dot at the end are no difference; another name of the same machine is.
    """
    provider = provider_named(account.provider)
    places: Mapping[str, str | None] = {}
    if isinstance(provider, SupportsBinding):
        places = provider.binding(account)
    elif isinstance(provider, SupportsDestination) and (found := provider.destination(account)):
        places = {"host": found.host}
    bound = {"provider": provider.name, **{key: _place(text) for key, text in places.items() if text}}
    fields = (*COMMON_FIELDS, *provider.fields)
    loose = [field for field in fields if field.loosens and field.is_loose(account.get(field.name))]
    if loose:
        bound[LOOSE] = "; ".join(f"{field.name}={account.get(field.name)}" for field in loose)
    return bound


def difference(bound: Binding, wanted: Binding) -> str | None:
    """Return the first setting in which two bindings name two places, or None; what one does not name is none."""
    return next((key for key, place in bound.items() if key != LOOSE and wanted.get(key, place) != place), None)


def loose_in(bound: Binding) -> set[str]:
    """Return the settings of a binding with which less protects the secret on its way: ``key=value``."""
    return set(filter(None, bound.get(LOOSE, "").split("; ")))


def _place(text: str) -> str:
    """Write a host, or a web address, in the one form that is compared."""
    scheme, slashes, rest = text.strip().lower().rpartition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{_host(server)}{slash}{path}".rstrip("/")


def _host(server: str) -> str:
    """Return a server's name without its port, as A-labels."""
    host = server
    if server.startswith("["):
        host = server[1:].partition("]")[0]
    elif server.count(":") == 1:
        host = server.partition(":")[0]
    host = host.rstrip(".")
    if ":" in host:
        import ipaddress

        try:
            return f"[{ipaddress.ip_address(host)}]"
        except ValueError:
            return host
    if host.isascii():
        return host
    from franking.message.idna import to_ascii

    try:
        return to_ascii(host)
    except ValueError:
        return host
