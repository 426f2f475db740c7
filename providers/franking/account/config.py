"""The settings file (accounts.toml), the environment and account URLs → ``Account``, and back. No secrets live here.

``resolve`` is what applications use; ``load`` gives the whole file, ``save`` and its kin change it: comments survive, a
link stays a link, the write is whole or not at all, and two writers take turns. Reading needs the standard library
only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franking.account.account import Account, repair_command, secret_variable
from franking.account.fields import COMMON_FIELDS, Field, unknown_key
from franking.errors import Evidence, SettingsError
from franking.registry import provider as provider_named
from franking.registry import providers
from franking.text import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from franking.message.address import Address
    from franking.provider import Provider

__all__ = [
    "Config",
    "config_path",
    "load",
    "location",
    "parse_url",
    "repair_command",
    "resolve",
    "to_url",
    "with_defaults",
]


_TOP = ("default", "providers", "accounts")
_OWN = ("provider", "from")


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the settings file is, or would be: ``$FRANKING_CONFIG``, else accounts.toml in the user's config
    directory.
    """
    from pathlib import Path

    return Path(location(environ))


def location(environ: Mapping[str, str] | None = None) -> str:
    """Return the same as a text."""
    environ = os.environ if environ is None else environ
    if named := environ.get("FRANKING_CONFIG"):
        # no pathlib: a program that only sends does without its 3 ms
        return os.path.join(os.getcwd(), os.path.expanduser(named))
    import platformdirs

    return os.path.join(platformdirs.user_config_dir("franking", appauthor=False), "accounts.toml")


@dataclass(frozen=True)
class Config:
    """Hold what the settings file says. An account is made when it is asked for: a mistake in one does not stop the
    others.
    """

    location: str
    default: str | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    exists: bool = True

    @property
    def path(self) -> Path:
        """Return where the file is, or would be."""
        from pathlib import Path

        return Path(self.location)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the accounts' names in the order of the file."""
        return tuple(self.tables)

    def account(self, name: str) -> Account:
        """Make an account of its table. Raises ``SettingsError`` that says in which file and table what is wrong."""
        if name not in self.tables:
            raise self.no_account(name)
        table = dict(self.tables[name])
        try:
            provider = _provider_in(table)
            _check_keys(table, provider, _OWN)
            sender = table.pop("from", None)
            if not isinstance(sender, str):
                raise SettingsError('from: say who sends, such as from = "Jan Novák <info@novak.cz>".', field="from")
            return self.build(
                name, provider, sender, rooted(table, provider, os.path.dirname(self.location))
            ).referred_to_as(name)
        except SettingsError as problem:
            raise _located(problem, f"{self.location}, [accounts.{name}]") from None

    def build(self, name: str, provider: Provider, sender: str | Address, settings: Mapping[str, Any]) -> Account:
        """Make an account of given settings and this file's and the environment's defaults for its provider."""
        return Account(name=name, provider=provider.name, sender=sender, **{**self.defaults_of(provider), **settings})

    def defaults_of(self, provider: Provider) -> dict[str, Any]:
        """Return the defaults in force for a provider: ``FRANKING_<PROVIDER>_<KEY>`` before
        ``[providers.<provider>]``.
        """
        found = rooted(self.defaults.get(provider.name, {}), provider, os.path.dirname(self.location))
        for known in _fields(provider):
            variable = f"FRANKING_{provider.name}_{known.name}".upper()
            if value := self.environ.get(variable):
                try:
                    found[known.name] = known.read(value)
                except SettingsError as problem:
                    raise _located(problem, variable) from None
        return found

    @property
    def chosen(self) -> str | None:
        """Return the account that is meant when nobody names one: ``$FRANKING_ACCOUNT``, ``default``, or the only one
        that there is.
        """
        return self.environ.get("FRANKING_ACCOUNT") or self.default or (self.names[0] if len(self.names) == 1 else None)

    def no_account(self, name: str) -> SettingsError:
        """Make the error of a name that stands for no account."""
        known = nearest(name, self.names)
        if known:
            hint = f"did you mean {known}?"
        elif self.names:
            hint = f"there are: {', '.join(self.names)}."
        else:
            hint = f"there is none yet{'' if self.exists else ' (the file does not exist)'}; add one with: {repair_command('setup')}"
        return SettingsError(
            f"There is no account {name!r} in {self.location}; {hint}",
            field="account",
            evidence=Evidence("settings", reason="no-account", details={"account": name, "path": self.location}),
        )


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings file; one that does not exist is empty.

    Raises ``SettingsError`` with file and line for what is no TOML, and with the nearest known key for an unknown one.
    """
    environ = os.environ if environ is None else environ
    path = location(environ)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return Config(path, environ=environ, exists=False)
    except OSError as problem:
        raise SettingsError(f"{path} cannot be read: {problem.strerror}.") from None
    return parse(text, path, environ)


def parse(data: bytes, path: str, environ: Mapping[str, str]) -> Config:
    import tomllib

    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise SettingsError(f"{path}, line {line}: this is not UTF-8 text; save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as caught:
        what = str(caught).replace("end of document", f"line {len(data.splitlines())}, the end")
        raise SettingsError(f'{path}: {what}. Texts stand in quotes: key = "value".') from None
    for key in found:
        if key not in _TOP:
            raise SettingsError(f"{path}: {unknown_key(key, 'the file', _TOP)}", field=key)
    tables, defaults, default = found.get("accounts", {}), found.get("providers", {}), found.get("default")
    for group, members in (("accounts", tables), ("providers", defaults)):
        for name, value in {group: members, **members}.items() if isinstance(members, dict) else [(group, members)]:
            if not isinstance(value, dict):
                raise SettingsError(f"{path}: {name} is not a table; write [{group}.NAME] above its keys.", field=name)
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
                f"{path}: the accounts {seen[variable]!r} and {name!r} share the environment variable {variable}; rename one.",
                field="name",
            )
        seen[variable] = name
    if default is not None and not isinstance(default, str):
        raise SettingsError(f"{path}: default: {default!r} is not the name of an account.", field="default")
    return Config(path, default, tables, defaults, environ)


def resolve(account: str | Account | None = None, environ: Mapping[str, str] | None = None) -> Account:
    """Find the account that is meant: an ``Account`` is itself, a text is a name or an account URL, None is the default
    account.

    A disabled account is found too; that it does not send is the mailer's word. Raises ``SettingsError``.
    """
    if isinstance(account, Account):
        return account
    if account is not None and "://" in account:
        return parse_url(account, environ)
    config = load(environ)
    name = account if account is not None else config.chosen
    if name is None:
        which = f"choose one of {', '.join(config.names)} with: {repair_command('accounts', 'default', 'NAME')}"
        if not config.names:
            which = f"add one with: {repair_command('setup')}"
        raise SettingsError(
            f"No account is named, and {config.location} has no default; {which}",
            field="account",
            evidence=Evidence("settings", reason="no-account", details={"path": config.location}),
        )
    return parse_url(name, environ) if "://" in name else config.account(name)


def with_defaults(
    *, name: str, provider: str, sender: str | Address, environ: Mapping[str, str] | None = None, **settings: Any
) -> Account:
    """Make an account that is not saved, with the defaults of the settings file and the environment for its
    provider.
    """
    return load(environ).build(name, provider_named(provider), sender, settings)


def unsaved(account: Account, words: tuple[str, ...]) -> Account:
    """Name an account that nobody saves as its URL would: its secret belongs to this login at this server, and to no
    other unsaved account.

    ``words`` are the flags that stand for it behind ``franking send-test``.
    """
    from franking.account.url import read_url, write_url

    url = write_url(account, named=False)
    return account.replace(name=read_url(url).name).referred_to_as(url, words)


def parse_url(url: str, environ: Mapping[str, str] | None = None) -> Account:
    """Make an account of an account URL, with the defaults of the settings file and the environment for its provider.

    Its name is ``name=`` in the URL, else made of provider, login name and server
    (``smtp-info@novak.cz-smtp.novak.cz``), or of provider and mailbox (``gmail-me@gmail.com``): the key of its secret.
    """
    from franking.account.url import read_url

    parts = read_url(url)
    provider = provider_named(parts.provider)
    try:
        _check_keys(parts.settings, provider, ())
        return load(environ).build(parts.name, provider, parts.sender, parts.settings).referred_to_as(url)
    except SettingsError as problem:
        raise _located(problem, "account URL") from None


def to_url(account: Account) -> str:
    """Write an account as an account URL; ``parse_url`` makes the same account of it."""
    from franking.account.url import write_url

    return write_url(account)


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
    paths = {known.name for known in _fields(provider) if known.type == "path"}
    return {
        key: os.path.join(directory, os.path.expanduser(value))
        if key in paths and isinstance(value, str) and value
        else value
        for key, value in settings.items()
        if key != "provider"
    }


def toml_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _located(problem: SettingsError, where: str) -> SettingsError:
    """Say where a mistake stands, before what it is."""
    return SettingsError(f"{where}: {problem}", field=problem.field, step=problem.step, evidence=problem.evidence)
