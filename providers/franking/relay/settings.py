"""What ``[relay]`` in accounts.toml says, and whether strangers could send by it. It reads no file, opens nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from franking.account.fields import Field, unknown_key
from franking.errors import SettingsError
from franking.message.address import Address
from franking.relay.users import check_stored

__all__ = ["FIELDS", "Listen", "Network", "RelaySettings", "User", "check_pattern", "plain_address", "read_settings"]

DEFAULT_LISTEN = "127.0.0.1:2525"
LOOPBACK = ("127.0.0.0/8", "::1")
DEFAULT_SIZE = 50 * 1024 * 1024
"""Octets of a message where no route says what it carries."""

_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8", "::1/128",
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.0.0/16", "fe80::/10", "100.64.0.0/10",
    )
)  # fmt: skip

Network = Any  # ip_network's two kinds have no common public type

FIELDS = (
    Field("account", help="The account for those that no user and no route decides."),
    Field("allow", "names", help="Addresses that may send without a login."),
    Field(
        "wait", "seconds", 4.0, minimum=0, maximum=600, help="Seconds that a reply waits for what becomes of a message."
    ),
    Field("on_blocked", "str", "refuse", choices=("refuse", "hold"), help="What an account that cannot send means."),
    Field("health", help="Address for monitoring, such as 127.0.0.1:8025."),
    Field("allow_health", "names", (), help="Addresses that may ask it."),
    Field("received", "str", "short", choices=("short", "full"), help="Whether Received: names the client."),
    Field("max_connections", "int", 1000, minimum=1, help="Connections at once."),
    Field("max_connections_per_address", "int", 100, minimum=1, help="Connections at once from one address."),
    Field("max_message_size", "int", None, minimum=1, help="Octets of a message."),
    Field("max_recipients", "int", 1000, minimum=1, help="Recipients of a message."),
    Field("messages_per_minute", "int", 0, minimum=0, help="Messages a minute from one user or address; 0: no limit."),
    Field("idle_timeout", "seconds", 300.0, minimum=1, help="Seconds of silence after which a connection is closed."),
    Field("login_timeout", "seconds", 60.0, minimum=1, help="Seconds to the first message."),
)
"""The scalar keys of ``[relay]``; each is a flag of ``franking relay run`` too."""

_LISTEN = (
    Field("address"),
    Field("tls", choices=("starttls", "implicit", "none")),
    Field("certificate", "path"),
    Field("key", "path"),
    Field("allow_plain_login", "bool", False),
    Field("legacy_tls", "bool", False),
)
_USER = (
    Field("password"),
    Field("account"),
    Field("from", "names", ()),
    Field("on_blocked", choices=("refuse", "hold")),
)


class Listen(NamedTuple):
    """One address to listen on. ``port`` 0: a free one."""

    host: str
    port: int
    tls: str
    certificate: str | None = None
    key: str | None = None
    allow_plain_login: bool = False
    legacy_tls: bool = False

    @property
    def loopback(self) -> bool:
        return plain_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class User(NamedTuple):
    """A device or program that logs in; ``senders`` are the addresses and domains that it may send as."""

    name: str
    password: str
    account: str | None = None
    senders: tuple[str, ...] = ()
    on_blocked: str | None = None

    def __repr__(self) -> str:
        return f"User(name={self.name!r})"  # not what is kept of its password


class RelaySettings(NamedTuple):
    """The relay's settings, checked: made only where nobody else could send by it."""

    listen: tuple[Listen, ...]
    account: str | None
    allow: tuple[Network, ...]
    wait: float
    on_blocked: str
    health: Listen | None
    allow_health: tuple[Network, ...]
    received: str
    max_connections: int
    max_connections_per_address: int
    max_message_size: int | None
    max_recipients: int
    messages_per_minute: int
    idle_timeout: float
    login_timeout: float
    users: Mapping[str, User]

    def allows(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether an address may send without a login."""
        return any(address in network for network in self.allow)

    def keeps_out(self, listen: Listen) -> bool:
        """Return whether nobody can send at an address: neither a password is taken there nor an address allowed."""
        takes_none = listen.tls == "none" and not listen.allow_plain_login
        return takes_none and not listen.loopback and all(map(_is_loopback, self.allow))


def read_settings(table: Mapping[str, Any], given: Mapping[str, Any], directory: str) -> RelaySettings:
    """Return what ``[relay]`` says, and ``given`` (flags, arguments) instead of it; ``listen`` and ``users`` may be in
    both. ``directory`` is where relative paths begin.

    Raises ``SettingsError`` that names the entry.
    """
    fields = {field.name: field for field in FIELDS}
    found: dict[str, Any] = {name: field.default for name, field in fields.items()}
    merged = {**table, **{key: value for key, value in given.items() if value is not None}}
    for key, value in merged.items():
        if key in fields:
            found[key] = _read(fields[key], value, "relay")
        elif key not in ("listen", "users"):
            raise SettingsError(unknown_key(key, "[relay]", [*fields, "listen", "users"]), field=key)
    listen = _listen(merged.get("listen", [DEFAULT_LISTEN]), directory)
    users = _users(merged.get("users", {}))
    everywhere = all(one.loopback for one in listen)
    if found["allow"] is None:
        found["allow"] = LOOPBACK if everywhere else ()
    found["allow"] = _networks(found["allow"], "allow", private=True)
    found["allow_health"] = _networks(found["allow_health"], "allow_health", private=False)
    found["health"] = _health(found["health"], found["allow_health"])
    settings = RelaySettings(listen=listen, users=users, **found)
    _refuse_open(settings)
    return settings


def _read(known: Field, value: Any, where: str) -> Any:
    try:
        return known.read(value)
    except SettingsError as problem:
        raise SettingsError(f"{where}.{problem}", field=problem.field) from None


def _refuse_open(settings: RelaySettings) -> None:
    beyond = any(not _is_loopback(network) for network in settings.allow)
    for one in settings.listen:
        if not one.loopback and not settings.users and not beyond:
            raise SettingsError(
                f"relay.listen: {one} is reached from outside, but nobody there could send: there are neither users "
                "nor addresses in allow. Make a user with: franking relay add-user NAME",
                field="listen",
            )
        if one.legacy_tls and not _within(one.host, _PRIVATE):
            raise SettingsError(
                f"relay.listen: {one}: legacy_tls is for private addresses only; {one.host} is none.",
                field="legacy_tls",
            )


# -- addresses ---------------------------------------------------------------------------------------------------------


def plain_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address; ``::ffff:a.b.c.d`` is a.b.c.d, and a zone (``%eth0``) is none of it. Raises ``ValueError``."""
    found = ip_address(text.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _networks(texts: Sequence[str], name: str, *, private: bool) -> tuple[Network, ...]:
    found: list[Network] = []
    for text in texts:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise SettingsError(
                f"relay.{name}: {text!r} is neither an address (10.0.0.7) nor a network (10.0.0.0/8).", field=name
            ) from None
        if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
            network = ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
        kin = [known for known in _PRIVATE if known.version == network.version]
        if private and not any(network.subnet_of(known) for known in kin):  # type: ignore[arg-type]
            raise SettingsError(
                f"relay.allow: {text!r} is not within a private network: everybody there could send mail through your "
                "mailbox without a password. Name your own network (such as 192.168.1.0/24), or give the program a "
                "login: franking relay add-user NAME",
                field="allow",
            )
        found.append(network)
    return tuple(found)


def _is_loopback(network: Network) -> bool:
    return bool(network.network_address.is_loopback)


def _within(host: str, networks: Sequence[Network]) -> bool:
    return any(plain_address(host) in network for network in networks)


def _place(text: str, name: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        plain_address(host)
        if colon and port.isdigit() and int(port) < 65536:
            return host, int(port)
    except ValueError:
        pass
    raise SettingsError(
        f"relay.{name}: {text!r} is no address with a port, such as 127.0.0.1:2525, 0.0.0.0:587 or [::1]:2525.",
        field=name,
    )


def _listen(entries: Any, directory: str) -> tuple[Listen, ...]:
    if isinstance(entries, str):
        entries = [entries]
    if not isinstance(entries, list | tuple) or not entries:
        raise SettingsError("relay.listen: give a list of addresses, or tables [[relay.listen]].", field="listen")
    return tuple([_one(entry, directory) for entry in entries])


def _one(entry: Any, directory: str) -> Listen:
    fields = {field.name: field for field in _LISTEN}
    found = {name: field.default for name, field in fields.items()}
    if isinstance(entry, str):
        entry = {"address": entry}
    if not isinstance(entry, Mapping) or "address" not in entry:
        raise SettingsError("relay.listen: an entry lacks its address, such as 0.0.0.0:587.", field="listen")
    for key, value in entry.items():
        if key not in fields:
            raise SettingsError(unknown_key(key, "[[relay.listen]]", fields), field=key)
        found[key] = _read(fields[key], value, "relay.listen")
    host, port = _place(found.pop("address"), "listen")
    for name in ("certificate", "key"):
        if found[name]:
            found[name] = os.path.join(directory, found[name])  # noqa: PTH118
    if found["key"] and not found["certificate"]:
        raise SettingsError(
            f"relay.listen: {host}:{port}: key stands without certificate; name both files, or neither.", field="key"
        )
    if found["tls"] == "none" and found["certificate"]:
        raise SettingsError(
            f'relay.listen: {host}:{port} has a certificate and tls = "none", which uses none: write "starttls" or '
            '"implicit", or take the certificate out.',
            field="tls",
        )
    if found["tls"] is None:
        found["tls"] = "none" if plain_address(host).is_loopback and not found["certificate"] else "starttls"
    return Listen(host, port, **found)


def _health(text: str | None, allowed: tuple[Network, ...]) -> Listen | None:
    if not text or text == "off":
        return None
    host, port = _place(text, "health")
    if not plain_address(host).is_loopback and not allowed:
        raise SettingsError(
            f'relay.health: {text} is reached from outside; say who may ask with allow_health, such as ["10.0.0.0/8"].',
            field="health",
        )
    return Listen(host, port, "none")


def _users(table: Any) -> dict[str, User]:
    fields = {field.name: field for field in _USER}
    if not isinstance(table, Mapping):
        raise SettingsError("relay.users: write [relay.users.NAME] above a user's keys.", field="users")
    users: dict[str, User] = {}
    for name, entry in table.items():
        if not isinstance(entry, Mapping):
            raise SettingsError(f"relay.users: {name}: write [relay.users.{name}] above its keys.", field="users")
        found = {key: field.default for key, field in fields.items()}
        for key, value in entry.items():
            if key not in fields:
                raise SettingsError(unknown_key(key, f"[relay.users.{name}]", fields), field=key)
            found[key] = _read(fields[key], value, f"relay.users.{name}")
        check_stored(name, found["password"] or "")
        for pattern in found["from"]:
            check_pattern(pattern, f"relay.users.{name}")
        users[name] = User(name, found["password"], found["account"], found["from"], found["on_blocked"])
    return users


def check_pattern(pattern: str, where: str) -> None:
    """Raise ``SettingsError`` for what is neither an address nor a domain with its @."""
    local, at, domain = pattern.rpartition("@")
    try:
        if not at or not domain:
            raise ValueError
        Address(f"{local or 'x'}@{domain}")
    except ValueError:
        raise SettingsError(
            f'{where}: from: {pattern!r} is neither an address ("printer@novak.cz") nor a domain ("@novak.cz").',
            field="from",
        ) from None
