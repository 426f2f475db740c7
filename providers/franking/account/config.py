"""The settings file (accounts.toml), the environment and account URLs → ``Account``. No secrets live here.

``resolve`` is what applications use; ``load`` reads the whole file, which ``editing.py`` changes. Reading needs the
standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.account.environment import absolute, secret_variable, setting_variable, user_folder
from franking.account.fields import COMMON_FIELDS, Field, unknown_key
from franking.errors import Evidence, SettingsError, discreet
from franking.redaction import veiled
from franking.registry import provider as provider_named
from franking.registry import providers
from franking.text import suggestion

if TYPE_CHECKING:
    from pathlib import Path

    from franking.account.url import UrlParts
    from franking.message.address import Address
    from franking.provider import Provider

__all__ = ["BY_ROUTE", "Config", "config_path", "load", "location", "parse_url", "resolve"]


SYSTEM = "/etc/franking/accounts.toml"
"""The settings of every user of this computer who has none of their own. Windows has no such place: there everybody may
make directories at the top.
"""

BY_ROUTE = "?route="
"""What stands between the name of an account and that of a route of its provider which is not its own."""

_SECTIONS = ("alerts", "log", "outbox", "relay", "routes")
_TOP = ("default", "providers", "accounts", *_SECTIONS)
_OWN = ("provider", "from")


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the settings file that changes are written to, whether it is there or not.

    That is ``$FRANKING_CONFIG``, else accounts.toml in the user's config directory; never the system's file, unless the
    variable names it.
    """
    from pathlib import Path

    return Path(_own(os.environ if environ is None else environ))


def location(environ: Mapping[str, str] | None = None) -> str:
    """Return the settings file that is read.

    That is ``$FRANKING_CONFIG`` whether it is there or not, else the user's, else the system's
    (/etc/franking/accounts.toml): the first that exists, whole; two files are never mixed.
    """
    environ = os.environ if environ is None else environ
    own = _own(environ)
    if environ.get("FRANKING_CONFIG") or os.name != "posix" or os.path.exists(own) or not os.path.exists(SYSTEM):
        return own
    return SYSTEM


def _own(environ: Mapping[str, str]) -> str:
    if named := environ.get("FRANKING_CONFIG"):
        # no pathlib: a program that only sends does without its 3 ms
        return absolute(os.path.expanduser(named))
    return os.path.join(user_folder("config"), "accounts.toml")


@dataclass(frozen=True)
class Config:
    """Hold what the settings file says. An account is made when it is asked for: a mistake in one does not stop the
    others.
    """

    location: str
    default: str | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    exists: bool = True

    @property
    def own(self) -> bool:
        """Return whether it is the file that changes are written to; the system's is not."""
        return self.location == _own(self.environ)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the accounts' names in the order of the file."""
        return tuple(self.tables)

    def account(self, name: str) -> Account:
        """Make an account of its table. Raises ``SettingsError`` that says in which file and table what is wrong.

        ``NAME?route=ROUTE`` is the account NAME by another of its provider's routes: what the outbox writes down for a
        message that must not go by the account's own.
        """
        if name not in self.tables:
            name, _, route = name.partition(BY_ROUTE)
            if route and name in self.tables:
                return self.account(name).replace(route=route).referred_to_as(name)
            raise self.no_account(name)
        table = dict(self.tables[name])
        try:
            provider = _provider_in(table)
            _check_keys(table, provider, _OWN)
            sender = table.pop("from", None)
            if not isinstance(sender, str):
                raise SettingsError('from: say who sends, such as from = "Jan Novák <info@novak.cz>".', field="from")
            settings = rooted(table, provider, os.path.dirname(self.location))
            return self.build(name=name, provider=provider.name, sender=sender, **settings).referred_to_as(name)
        except SettingsError as problem:
            raise _located(problem, f"{self.location}, [accounts.{name}]") from None

    def build(self, *, name: str, provider: str, sender: str | Address, **settings: Any) -> Account:
        """Make an account of settings, and of this file's and the environment's defaults for its provider."""
        defaults = self.defaults_of(provider_named(provider))
        return Account(name=name, provider=provider, sender=sender, **{**defaults, **settings})

    def defaults_of(self, provider: Provider) -> dict[str, Any]:
        """Return the defaults for a provider: ``FRANKING_<PROVIDER>_<KEY>`` before ``[providers.<provider>]``."""
        found = rooted(self.defaults.get(provider.name, {}), provider, os.path.dirname(self.location))
        for key in _fields(provider):
            variable = setting_variable(provider.name, key.name)
            if value := self.environ.get(variable):
                try:
                    found[key.name] = key.read(value)
                except SettingsError as problem:
                    raise _located(problem, variable) from None
        return found

    @property
    def chosen(self) -> str | None:
        """Return the account that is meant when nobody names one.

        That is ``$FRANKING_ACCOUNT``, ``default``, or the only one that there is.
        """
        named = self.environ.get("FRANKING_ACCOUNT") or self.default
        if not named and len(self.names) == 1:
            return self.names[0]
        return named or None

    def no_account(self, name: str) -> SettingsError:
        """Make the error of a name that stands for no account."""
        from franking.account.repair import repair_command  # only a mistake needs it

        none = "there is none yet" if self.exists else "there is none yet (the file does not exist)"
        hint = f"{none}; add one with: {repair_command('setup')}"
        if self.names:
            hint = suggestion(name, self.names, f"there are: {', '.join(self.names)}.")
        return SettingsError(
            f"There is no account {name!r} in {self.location}; {hint}",
            field="account",
            evidence=Evidence("settings", reason="no-account", details={"account": name, "path": self.location}),
        )

    def no_default(self) -> SettingsError:
        """Make the error of settings in which nothing says which account is meant."""
        from franking.account.repair import repair_command

        which = f"choose one of {', '.join(self.names)} with: {repair_command('accounts', 'default', 'NAME')}"
        if not self.names:
            which = f"add one with: {repair_command('setup')}"
        return SettingsError(
            f"No account is named, and {self.location} has no default; {which}",
            field="account",
            evidence=Evidence("settings", reason="no-account", details={"path": self.location}),
        )


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings file; one that does not exist is empty.

    Raises ``SettingsError`` with file and line for what is no TOML, and with the nearest known key for an unknown one.
    """
    with discreet:  # a webhook's address is a secret, and the environment holds others
        return _load(os.environ if environ is None else environ)


def _load(environ: Mapping[str, str]) -> Config:
    path = location(environ)
    try:
        with open(path, "rb") as file:
            text, info = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return Config(path, environ=environ, exists=False)
    except OSError as problem:
        raise SettingsError(f"{path} cannot be read: {problem.strerror}.") from None
    found = parse(text, path, environ)
    if os.name == "posix" and (info.st_mode & 0o022 or info.st_uid not in (0, os.geteuid())):
        _refuse_commands(found, info)
    return found


def parse(data: bytes, path: str, environ: Mapping[str, str]) -> Config:
    """Read what a settings file holds; ``path`` is for the errors. Raises ``SettingsError`` as ``load`` does."""
    found = _toml(data, path)
    for key in found:
        if key not in _TOP:
            raise SettingsError(f"{path}: {unknown_key(key, 'the file', _TOP)}", field=key)
    tables, defaults, default = (
        _tables(found, "accounts", path),
        _tables(found, "providers", path),
        found.get("default"),
    )
    for name, table in defaults.items():
        try:
            _check_keys(table, provider_named(name), ())
        except SettingsError as problem:
            raise _located(problem, f"{path}, [providers.{name}]") from None
    seen: dict[str, str] = {}
    for name in tables:
        variable = secret_variable(name)
        if variable in seen:
            raise SettingsError(
                f"{path}: the accounts {seen[variable]!r} and {name!r} share the environment variable {variable}; "
                "rename one.",
                field="name",
            )
        seen[variable] = name
    if default is not None and not isinstance(default, str):
        raise SettingsError(f"{path}: default: {default!r} is not the name of an account.", field="default")
    sections = {name: _table(found, name, path) for name in _SECTIONS if name in found}
    if "webhook" in sections.get("alerts", {}):
        sections["alerts"] = {**sections["alerts"], "webhook": veiled(sections["alerts"]["webhook"])}
    return Config(path, default, tables, defaults, sections, environ)


def _refuse_commands(config: Config, info: os.stat_result) -> None:
    """Raise ``SettingsError`` where a file that others may write to names a command: they would have it run as us."""
    where = ["[alerts] command"] if config.sections.get("alerts", {}).get("command") else []
    where += [
        f"[{group}.{name}] {key.name}"
        for group, tables in (("accounts", config.tables), ("providers", config.defaults))
        for name, table in tables.items()
        for key in _fields_in(name if group == "providers" else table.get("provider"))
        if key.runs and table.get(key.name)
    ]
    if not where:
        return
    import shlex

    what, repair = "others may write to it", f"chmod go-w {shlex.quote(config.location)}"
    if info.st_uid not in (0, os.geteuid()):
        what = f"it belongs to another user (uid {info.st_uid})"
        repair = f"sudo chown {os.geteuid()} {shlex.quote(config.location)}"
    raise SettingsError(
        f"{config.location} names a command ({where[0]}), but {what}, who could have any program run as you; "
        f"look through the file, then run: {repair}",
        field="accounts",
        repair=repair,
        evidence=Evidence("settings", reason="open-to-writing", details={"path": config.location, "repair": repair}),
    )


def _fields_in(provider: object) -> tuple[Field, ...]:
    """Return the fields of a provider that a file names; what it misspells is told when the account is asked for."""
    try:
        return _fields(provider_named(str(provider)))
    except SettingsError:
        return ()


def _toml(data: bytes, path: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise SettingsError(f"{path}, line {line}: this is not UTF-8 text; save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as caught:
        what = str(caught).replace("end of document", f"line {len(data.splitlines())}, the end")
        raise SettingsError(f'{path}: {what}. Texts stand in quotes: key = "value".') from None


def _table(found: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    table = found[name]
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: {name} is not a table; write [{name}] above its keys.", field=name)
    return table


def _tables(found: Mapping[str, Any], group: str, path: str) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = found.get(group, {})
    checked: dict[str, Any] = {group: tables}
    if isinstance(tables, dict):
        checked |= tables
    for name, table in checked.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {name} is not a table; write [{group}.NAME] above its keys.", field=name)
    return tables


def resolve(
    account: str | Account | None = None, environ: Mapping[str, str] | None = None, *, author: Address | None = None
) -> Account:
    """Find the account that is meant: an ``Account`` is itself, a text a name or an account URL, None the one that
    ``[routes]`` names for the ``author`` of a message, or the default one.

    A disabled account is found too; that it does not send is the mailer's word. Raises ``SettingsError``.
    """
    if isinstance(account, Account):
        return account
    if account is not None and "://" in account:
        return parse_url(account, environ)
    config = load(environ)
    name = config.chosen if account is None else account
    if account is None and author and "routes" in config.sections:
        from franking.account.routes import account_by_author

        name = account_by_author(config, author.address)
    if name is None:
        raise config.no_default()
    if "://" in name:
        return parse_url(name, environ)
    return config.account(name)


def parse_url(url: str, environ: Mapping[str, str] | None = None) -> Account:
    """Make an account of an account URL, with the defaults of the settings file and the environment for its provider.

    Its name is ``name=`` in the URL, else made of provider, login name and server
    (``smtp-info@novak.cz-smtp.novak.cz``), or of provider and mailbox (``gmail-me@gmail.com``): the key of its secret.
    """
    from franking.account.url import read_url

    parts, config = read_url(url), load(environ)
    try:
        _check_keys(parts.settings, parts.provider, ())
        made = config.build(name=parts.name, provider=parts.provider.name, sender=parts.sender, **parts.settings)
        if url != config.environ.get("FRANKING_ACCOUNT"):
            made = _without_others_secrets(made, parts, config)
    except SettingsError as problem:
        raise _located(problem, "account URL") from None
    return made.referred_to_as(url)


def _without_others_secrets(account: Account, parts: UrlParts, config: Config) -> Account:
    """Take away where the provider's defaults say that a secret is (a command, a file, a key), unless the account goes
    to the places that these defaults name: who writes a URL would have it sent anywhere.
    """
    fields = parts.provider.fields
    taken = dict.fromkeys(field.name for field in fields if field.credential and field.name not in parts.settings)
    if not any(account.get(key) for key in taken):
        return account
    from franking.account.binding import binding_of, difference

    with suppress(SettingsError):  # the defaults alone name no server
        plain = config.build(name=account.name, provider=account.provider, sender=account.sender)
        if not difference(binding_of(plain), binding_of(account)):
            return account
    return account.replace(**taken)


def _provider_in(table: Mapping[str, Any]) -> Provider:
    name = table.get("provider")
    if not isinstance(name, str):
        raise SettingsError(
            f"provider: say which, one of {', '.join(known.name for known in providers())}.", field="provider"
        )
    return provider_named(name)


def _fields(provider: Provider) -> tuple[Field, ...]:
    return (*COMMON_FIELDS, *provider.fields)


def _check_keys(table: Mapping[str, Any], provider: Provider, more: tuple[str, ...]) -> None:
    known = [*more, *(known.name for known in _fields(provider))]
    for key in table:
        if key not in known:
            raise SettingsError(unknown_key(key, f"{provider.name} accounts", known), field=key)


def rooted(settings: Mapping[str, Any], provider: Provider, directory: str) -> dict[str, Any]:
    """Make relative paths absolute, leave ``provider`` out: a program started elsewhere means the same files."""
    found = {key: value for key, value in settings.items() if key != "provider"}
    for key in _fields(provider):
        value = found.get(key.name)
        if key.type == "path" and isinstance(value, str) and value:
            found[key.name] = absolute(os.path.join(directory, os.path.expanduser(value)))
    return found


def _located(problem: SettingsError, where: str) -> SettingsError:
    """Make the error that says where a mistake stands, before what it is."""
    return SettingsError(f"{where}: {problem}", field=problem.field, step=problem.step, evidence=problem.evidence)
