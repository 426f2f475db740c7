"""Account URLs: an account on one line, for containers and quick tests, read and written. Pure functions.

    smtp://user@host:587?from=…&security=starttls     ``server``: the keys username, host and port
    file:///dir?from=…                                ``path``: the key path
    gmail://me@gmail.com?client_secrets=…             ``mailbox``: the From

Which of these forms a provider's URLs have is one of its facts (``Facts.url_form``). Every other key of the provider is
a query parameter, and so is ``name``. A ``+`` is a plus sign, except for blanks in the name of ``from``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib import parse
from urllib.parse import SplitResult, urlsplit

from franking.errors import SettingsError
from franking.message.address import Address
from franking.provider import Provider
from franking.registry import provider as provider_named
from franking.registry import providers

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["UrlParts", "derived_name", "read_url", "unsaved", "write_url"]

# octets that are no UTF-8 are kept as Python spells them (PEP 383): a file may be called so, and every other setting
# refuses them
_unquoted = partial(parse.unquote, errors="surrogateescape")
_quoted = partial(parse.quote, errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class UrlParts:
    """Hold what an account URL says; ``settings`` are still texts, to be read by the provider's fields."""

    name: str
    provider: Provider
    sender: str
    settings: Mapping[str, str]


def read_url(url: str) -> UrlParts:
    """Take an account URL apart.

    Raises ``SettingsError`` that never repeats the URL: somebody may have put a password into it.
    """
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise _bad("it contains a blank or a control character; write a blank as %20")
    try:
        parts = urlsplit(url)
    except ValueError as problem:
        raise _bad("the server's name or the brackets around it are wrong") from problem
    if parts.fragment or url.endswith("#"):
        raise _bad("it contains a #; write that as %23")
    provider, implied = _provider_of(parts.scheme)
    settings = _query(parts.query)
    for key, value in implied.items():
        if settings.setdefault(key, value) != value:
            raise _bad(f"{parts.scheme}:// already says {key}; leave {key} out")
    if ":" in parts.netloc.rpartition("@")[0]:
        raise SettingsError(
            "account URL: a password does not belong in it, because URLs end up in process lists and logs; "
            "leave it out, and store it with: franking login URL "
            "(or set the FRANKING_SECRET_ variable that the next error names). Write a colon in a user name as %3A.",
            field="password",
        )
    for key, value in _place(parts, provider.facts.url_form).items():
        if key != "from" and value and key in settings:
            raise _bad(f"{key} stands in it twice")
        if value:
            settings.setdefault(key, value)
    if "@" in settings.get("username", "") and provider.facts.url_form == "server":
        settings.setdefault("from", settings["username"])
    for field in provider.fields:
        if field.fetches and field.name in settings:
            raise SettingsError(
                f"account URL: {field.name} does not belong in it. URLs come from forms and environments, so none runs "
                f"a command or sends what a file holds; write {field.name} into the account in accounts.toml, or set "
                "its FRANKING_SECRET_ variable.",
                field=field.name,
            )
    sender = settings.pop("from", "")
    if not sender:
        raise SettingsError(
            "from: the account URL does not say who sends; add from=you@example.com to it.", field="from"
        )
    name = settings.pop("name", "") or derived_name(provider, sender, settings)
    return UrlParts(name, provider, sender, settings)


def _place(parts: SplitResult, form: str) -> dict[str, str]:
    """Read what stands before the query: the settings of the URL's form."""
    if form == "path":
        if parts.netloc not in ("", "localhost"):
            raise _bad(f"a directory has three slashes: {parts.scheme}:///directory")
        return {"path": re.sub(r"^/(?=[A-Za-z]:)", "", _unquoted(parts.path))}
    if parts.path not in ("", "/"):
        raise _bad("it has a path after the host; write a slash in a user name as %2F, and settings behind a ?")
    if form == "mailbox":
        return {"from": _unquoted(parts.netloc)}
    user, _, place = parts.netloc.rpartition("@")
    host, port = _host_and_port(place)
    return {"host": host, "port": port, "username": _unquoted(user)}


def write_url(account: Account, *, named: bool = True) -> str:
    """Write an account as a URL that ``read_url`` reads.

    What nobody set stays out, and so does the name if it follows from the rest or not ``named``. A command or a file
    that the secret comes from cannot be said in a URL.
    """
    provider = provider_named(account.provider)
    fetched = {field.name for field in provider.fields if field.fetches}
    settings = {key: _written(value) for key, value in account.given.items() if key not in fetched}
    sender = settings["from"] = str(account.sender)
    place = ""
    if provider.facts.url_form == "server":
        user, host, port = (settings.pop(key, "") for key in ("username", "host", "port"))
        if sender == user:
            del settings["from"]
        place = _quoted(host, safe="")
        if _is_ipv6(host):
            place = f"[{host}]"
        if user:
            place = f"{_quoted(user, safe='')}@{place}"
        if port:
            place += f":{port}"
    elif provider.facts.url_form == "mailbox":
        local, _, domain = account.sender.address.rpartition("@")
        place = f"{_quoted(local, safe='+')}@{_quoted(domain)}"
        if sender == account.sender.address:
            del settings["from"]
    elif settings["path"].startswith("/"):
        place = _quoted(settings.pop("path"))
    url = f"{provider.name}://{place}{_parameters(settings)}"
    if named and read_url(url).name != account.name:
        return f"{provider.name}://{place}{_parameters({**settings, 'name': account.name})}"
    return url


def unsaved(account: Account, words: tuple[str, ...]) -> Account:
    """Name an account that nobody saves as its URL would: its secret belongs to this login at this server alone.

    ``words`` are the flags that stand for it behind ``franking send-test``.
    """
    url = write_url(account, named=False)
    return account.replace(name=read_url(url).name).referred_to_as(url, words)


def _is_ipv6(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False  # a name, perhaps with a scheme or a port that do not belong there: that is for a hint to say


def _parameters(settings: Mapping[str, str]) -> str:
    ordered = sorted(settings.items(), key=lambda item: (item[0] != "from", item[0]))
    query = "&".join(f"{key}={_quoted(value, safe='@/:,')}" for key, value in ordered)
    return query and f"?{query}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _provider_of(scheme: str) -> tuple[Provider, Mapping[str, str]]:
    """Find the provider of a scheme: its name, or a scheme of its own that stands for some settings (``smtps``)."""
    for provider in providers():
        if scheme in provider.facts.schemes:
            return provider, provider.facts.schemes[scheme]
    return provider_named(scheme), {}


def _query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if not query:
        return found
    for pair in query.split("&"):
        key, equals, value = pair.partition("=")
        key = _unquoted(key).replace("-", "_")
        if not equals and key.isidentifier():
            raise _bad(f"{key} has no value")
        if not equals:
            raise _bad("a parameter has no value")
        if key in found:
            raise _bad(f"{key} stands in it twice")
        if key == "from" and (name := re.match(r"(?i).*?(?=<|%3c)", value)):
            # forms and urlencode() write a blank as +; in the address itself a + is a plus
            value = name[0].replace("+", " ") + value[name.end() :]
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


def derived_name(provider: Provider, sender: str, settings: Mapping[str, str]) -> str:
    """Name an account by what its secret belongs to: the login name and the server, or the mailbox.

    Stable, and never shared by two servers.
    """
    try:
        mailbox = Address.parse(sender).address
    except ValueError:
        mailbox = sender  # the account itself says what is wrong with it
    words = [provider.name, mailbox]
    if provider.facts.url_form == "server":
        words = [provider.name, settings.get("username") or mailbox, settings.get("host", "").lower()]
    elif provider.facts.url_form == "path":
        words = [provider.name, settings.get("path", "")]
    name = "-".join(word.strip() for word in words)
    name = re.sub(r"[/\\\x00-\x1f\x7f%\udc80-\udcff]", lambda char: f"%{ord(char[0]) & 0xFF:02X}", name)
    return "".join(char for char in name if char.isprintable())  # what does not show is told where it does harm


def _bad(why: str) -> SettingsError:
    return SettingsError(f"account URL: {why}.", field="account")
