"""Account URLs: an account on one line, for containers and quick tests, read and written. Pure functions; no provider
is known by name.

    smtp://user@host:587?from=…&security=starttls     the server: a provider with a ``host`` that takes a user name
    file:///dir?from=…                                the directory: a provider with a ``path``
    gmail://me@gmail.com?client_secrets=…             the mailbox: everybody else

Every other key of the provider is a query parameter, and so is ``name``. A ``+`` is a plus sign, except for blanks in
the name of ``from``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib import parse
from urllib.parse import urlsplit

from franking.errors import SettingsError
from franking.message.address import Address
from franking.provider import Provider, SupportsSchemes
from franking.registry import provider as provider_named
from franking.registry import providers

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["UrlParts", "derived_name", "read_url", "write_url"]

# octets that are no UTF-8 are kept as Python spells them (PEP 383): a file may be called so, and every other setting
# refuses them
unquote = partial(parse.unquote, errors="surrogateescape")
quote = partial(parse.quote, errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class UrlParts:
    """Hold what an account URL says; ``settings`` are still texts, to be read by the provider's fields."""

    name: str
    provider: str
    sender: str
    settings: Mapping[str, str]


def read_url(url: str) -> UrlParts:
    """Take an account URL apart. Raises ``SettingsError`` that never repeats the URL: somebody may have put a password
    into it.
    """
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise _bad("it contains a blank or a control character; write a blank as %20")
    try:
        parts = urlsplit(url)
    except ValueError as problem:
        raise _bad("the server's name or the brackets around it are wrong") from problem
    if parts.fragment or url.endswith("#"):
        raise _bad("it contains a #; write that as %23")
    provider, settings = _provider_of(parts.scheme)
    for key, value in _query(parts.query).items():
        if key in settings and settings[key] != value:
            raise _bad(f"{parts.scheme}:// already says {key}; leave {key} out")
        settings[key] = value
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise SettingsError(
            "account URL: a password does not belong in it, because URLs end up in process lists and logs; leave it out, and store it with:"
            " franking login URL (or set the FRANKING_SECRET_ variable that the next error names). Write a colon in a user name as %3A.",
            field="password",
        )
    form = _form(provider)
    if form == "path":
        if parts.netloc not in ("", "localhost"):
            raise _bad(f"a directory has three slashes: {parts.scheme}:///directory")
        _once(settings, "path", re.sub(r"^/(?=[A-Za-z]:)", "", _unquoted(parts.path)))
    elif parts.path not in ("", "/"):
        raise _bad("it has a path after the host; write a slash in a user name as %2F, and settings behind a ?")
    elif form == "server":
        name, port = _host_and_port(host)
        _once(settings, "host", name)
        _once(settings, "port", port)
        _once(settings, "username", _unquoted(user) if at else "")
        if "@" in settings.get("username", ""):
            settings.setdefault("from", settings["username"])
    else:
        if parts.netloc:
            settings.setdefault("from", _unquoted(parts.netloc))
    sender = settings.pop("from", "")
    if not sender:
        raise SettingsError(
            "from: the account URL does not say who sends; add from=you@example.com to it.", field="from"
        )
    given = settings.pop("name", "")
    return UrlParts(given or derived_name(provider, sender, settings), provider.name, sender, settings)


def write_url(account: Account, *, named: bool = True) -> str:
    """Write an account as a URL that ``read_url`` reads; what nobody set stays out, and so does the name if it follows
    from the rest or not ``named``.
    """
    provider = provider_named(account.provider)
    settings = {key: _written(value) for key, value in account.given.items()}
    sender = str(account.sender)
    form = _form(provider)
    authority = path = ""
    if form == "server":
        host = settings.pop("host")
        user = _quoted(settings.pop("username", ""), safe="")
        port = settings.pop("port", "")
        authority = (
            (f"{user}@" if user else "")
            + (f"[{host}]" if _is_ipv6(host) else _quoted(host, safe=""))
            + (f":{port}" if port else "")
        )
        if sender != _unquoted(user):
            settings["from"] = sender
    elif form == "path":
        if settings["path"].startswith("/"):
            path = _quoted(settings.pop("path"))
        settings["from"] = sender
    else:
        local, _, domain = account.sender.address.rpartition("@")
        authority = f"{_quoted(local, safe='+')}@{_quoted(domain)}"
        if sender != account.sender.address:
            settings["from"] = sender
    url = f"{provider.name}://{authority}{path}" + _parameters(settings)
    if named and read_url(url).name != account.name:
        url = f"{provider.name}://{authority}{path}" + _parameters({**settings, "name": account.name})
    return url


def _is_ipv6(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False  # a name, perhaps with a scheme or a port that do not belong there: that is for a hint to say


def _parameters(settings: Mapping[str, str]) -> str:
    ordered = sorted(settings.items(), key=lambda item: (item[0] != "from", item[0]))
    return "".join(
        f"{'&' if number else '?'}{key}={_quoted(value, safe='@/:,')}" for number, (key, value) in enumerate(ordered)
    )


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _provider_of(scheme: str) -> tuple[Provider, dict[str, str]]:
    """Find the provider of a scheme: its name, or a scheme of its own that stands for some settings (``smtps``)."""
    for provider in providers():
        if isinstance(provider, SupportsSchemes) and scheme in provider.schemes:
            return provider, dict(provider.schemes[scheme])
    return provider_named(scheme), {}


def _form(provider: Provider) -> str:
    names = {field.name for field in provider.fields}
    if "host" in names and not provider.facts.oauth:
        return "server"
    return "path" if "path" in names else "mailbox"


def _query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        key, equals, value = pair.partition("=")
        key = _unquoted(key).replace("-", "_")
        if not equals:
            raise _bad(f"{key} has no value" if key.isidentifier() else "a parameter has no value")
        if key in found:
            raise _bad(f"{key} stands in it twice")
        if key == "from":
            # forms and urlencode() write a blank as +; in the address itself a + is a plus
            words = re.match(r"(?i)(.*?)(<|%3c)", value)
            value = value[: words.end(1)].replace("+", " ") + value[words.end(1) :] if words else value
        found[key] = _unquoted(value)
    return found


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _bad("the brackets around the IPv6 address are wrong")
        return host, port[1:]
    host, _, port = text.partition(":")
    return _unquoted(host), port


def _once(settings: dict[str, str], key: str, value: str) -> None:
    if not value:
        return
    if key in settings:
        raise _bad(f"{key} stands in it twice")
    settings[key] = value


def derived_name(provider: Provider, sender: str, settings: Mapping[str, str]) -> str:
    """Name an account by what its secret belongs to: the login name and the server, or the mailbox. Stable, and never
    shared by two servers.
    """
    try:
        mailbox = Address.parse(sender).address
    except ValueError:
        mailbox = sender  # the account itself says what is wrong with it
    form = _form(provider)
    if form == "server":
        words = [provider.name, settings.get("username") or mailbox, settings.get("host", "").lower()]
    else:
        words = [provider.name, settings.get("path", "") if form == "path" else mailbox]
    return re.sub(r"[/\\\x00-\x1f\x7f%\udc80-\udcff]", lambda char: f"%{ord(char[0]) & 0xFF:02X}", "-".join(words))


def _quoted(text: str, safe: str = "/") -> str:
    return quote(text, safe, errors="surrogateescape")  # a path may have octets that are no UTF-8 (PEP 383)


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _bad(why: str) -> SettingsError:
    return SettingsError(f"account URL: {why}.", field="account")
