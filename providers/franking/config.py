"""The settings file (accounts.toml), the environment and account URLs → ``Account``, and back. No secrets live here.

``resolve`` is what applications use; ``load`` gives the whole file, ``save`` and its kin change it: comments survive, a link stays a link, the
write is whole or not at all, and two writers take turns. Reading needs the standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franking.account import COMMON_FIELDS, Account, Field, nearest, repair_command, secret_variable, unknown_key, written_by
from franking.errors import Evidence, FrankingError, SettingsError
from franking.registry import provider as provider_named
from franking.registry import providers

if TYPE_CHECKING:
    from pathlib import Path

    from franking.address import Address
    from franking.provider import Provider

__all__ = [
    "Config",
    "config_path",
    "load",
    "location",
    "parse_url",
    "remove",
    "repair_command",
    "resolve",
    "save",
    "set_default",
    "set_enabled",
    "to_url",
    "with_defaults",
]

_TOP = ("default", "providers", "accounts")
_OWN = ("provider", "from")


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Tell where the settings file is, or would be: ``$FRANKING_CONFIG``, else accounts.toml in the user's config directory."""
    from pathlib import Path

    return Path(location(environ))


def location(environ: Mapping[str, str] | None = None) -> str:
    """Tell the same as a text."""
    environ = os.environ if environ is None else environ
    if named := environ.get("FRANKING_CONFIG"):
        return os.path.join(os.getcwd(), os.path.expanduser(named))  # no pathlib: a program that only sends does without its 3 ms
    import platformdirs

    return os.path.join(platformdirs.user_config_dir("franking", appauthor=False), "accounts.toml")


@dataclass(frozen=True)
class Config:
    """Hold what the settings file says. An account is made when it is asked for: a mistake in one does not stop the others."""

    location: str
    default: str | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    exists: bool = True

    @property
    def path(self) -> Path:
        """Tell where the file is, or would be."""
        from pathlib import Path

        return Path(self.location)

    @property
    def names(self) -> tuple[str, ...]:
        """Give the accounts' names in the order of the file."""
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
            return self.build(name, provider, sender, _rooted(table, provider, os.path.dirname(self.location))).referred_to_as(name)
        except SettingsError as problem:
            raise _located(problem, f"{self.location}, [accounts.{name}]") from None

    def build(self, name: str, provider: Provider, sender: str | Address, settings: Mapping[str, Any]) -> Account:
        """Make an account of given settings and this file's and the environment's defaults for its provider."""
        return Account(name=name, provider=provider.name, sender=sender, **{**self.defaults_of(provider), **settings})

    def defaults_of(self, provider: Provider) -> dict[str, Any]:
        """Give the defaults in force for a provider: ``FRANKING_<PROVIDER>_<KEY>`` before ``[providers.<provider>]``."""
        found = _rooted(self.defaults.get(provider.name, {}), provider, os.path.dirname(self.location))
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
        """Give the account that is meant when nobody names one: ``$FRANKING_ACCOUNT``, ``default``, or the only one that there is."""
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
    return _parsed(text, path, environ)


def _parsed(data: bytes, path: str, environ: Mapping[str, str]) -> Config:
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
                f"{path}: the accounts {seen[variable]!r} and {name!r} share the environment variable {variable}; rename one.", field="name"
            )
        seen[variable] = name
    if default is not None and not isinstance(default, str):
        raise SettingsError(f"{path}: default: {default!r} is not the name of an account.", field="default")
    return Config(path, default, tables, defaults, environ)


def resolve(account: str | Account | None = None, environ: Mapping[str, str] | None = None) -> Account:
    """Find the account that is meant: an ``Account`` is itself, a text is a name or an account URL, None is the default account.

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


def with_defaults(*, name: str, provider: str, sender: str | Address, environ: Mapping[str, str] | None = None, **settings: Any) -> Account:
    """Make an account that is not saved, with the defaults of the settings file and the environment for its provider."""
    return load(environ).build(name, provider_named(provider), sender, settings)


def unsaved(account: Account, words: tuple[str, ...]) -> Account:
    """Name an account that nobody saves as its URL would: its secret belongs to this login at this server, and to no other unsaved account.

    ``words`` are the flags that stand for it behind ``franking send-test``.
    """
    from franking.urls import read_url, write_url

    url = write_url(account, named=False)
    return account.replace(name=read_url(url).name).referred_to_as(url, words)


def parse_url(url: str, environ: Mapping[str, str] | None = None) -> Account:
    """Make an account of an account URL, with the defaults of the settings file and the environment for its provider.

    Its name is ``name=`` in the URL, else made of provider, login name and server (``smtp-info@novak.cz-smtp.novak.cz``), or of provider and mailbox
    (``gmail-me@gmail.com``): the key of its secret.
    """
    from franking.urls import read_url

    parts = read_url(url)
    provider = provider_named(parts.provider)
    try:
        _check_keys(parts.settings, provider, ())
        return load(environ).build(parts.name, provider, parts.sender, parts.settings).referred_to_as(url)
    except SettingsError as problem:
        raise _located(problem, "account URL") from None


def to_url(account: Account) -> str:
    """Write an account as an account URL; ``parse_url`` makes the same account of it."""
    from franking.urls import write_url

    return write_url(account)


written_by(to_url)


# --- changing the file ------------------------------------------------------------------------------------------------


def save(account: Account, *, replace: bool = False, default: bool = False, environ: Mapping[str, str] | None = None) -> Config:
    """Write an account into the settings file: its own settings, without what the provider's defaults say anyway.

    The first account becomes the default. Raises ``SettingsError`` where the name is taken, unless ``replace``.
    """
    with _edited(environ) as edit:
        name, config, document = account.name, edit.config, edit.document
        if name in config.tables and not replace:
            raise SettingsError(f"There is an account {name!r} already; choose another name, or replace it with --replace.", field="name")
        provider = provider_named(account.provider)
        defaults = config.defaults_of(provider)
        given = {key: value for key, value in account.given.items() if key not in defaults or _plain(defaults[key]) != _plain(value)}
        wanted = {"provider": provider.name, "from": str(account.sender), **_rooted(given, provider, os.getcwd())}
        import tomlkit

        if name in config.tables:
            table = document["accounts"][name]
            for key in [key for key in table if key not in wanted]:
                del table[key]
            for key, value in wanted.items():
                if key not in table or table[key] != _plain(value):
                    table[key] = _plain(value)
        else:  # at the end, as a person would add it
            added = tomlkit.dumps({"accounts": {name: {key: _plain(value) for key, value in wanted.items()}}})
            edit.document = tomlkit.parse(f"{tomlkit.dumps(document).rstrip()}\n\n{added}".lstrip())
        if default or not config.tables:
            edit.document = _put_default(edit.document, name)
    return load(environ)


def remove(name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Take an account out of the settings file; its secret is another matter. It also stops being the default."""
    with _edited(environ) as edit:
        config, document = edit.config, edit.document
        if name not in config.tables:
            raise config.no_account(name)
        del document["accounts"][name]
        if not document["accounts"]:
            del document["accounts"]
        if document.get("default") == name:
            del document["default"]
    return load(environ)


def set_default(name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Make an account the one that is meant when nobody names one."""
    with _edited(environ) as edit:
        edit.config.account(name)
        edit.document = _put_default(edit.document, name)
    return load(environ)


def set_enabled(name: str, enabled: bool, environ: Mapping[str, str] | None = None) -> Config:
    """Switch an account's sending on or off."""
    with _edited(environ) as edit:
        config, document = edit.config, edit.document
        config.account(name)
        table = document["accounts"][name]
        if enabled and "enabled" not in config.defaults_of(provider_named(str(table["provider"]))):
            table.pop("enabled", None)
        else:
            table["enabled"] = enabled
    return load(environ)


class _Edit:
    """The file while it is being changed."""

    def __init__(self, config: Config, document: Any) -> None:
        self.config, self.document = config, document


@contextmanager
def _edited(environ: Mapping[str, str] | None) -> Iterator[_Edit]:
    """Lend the file as a document whose comments survive; write it back whole when the work is done, unless it failed."""
    import tomlkit

    from franking.stores import locked, make_private, write_whole

    environ = os.environ if environ is None else environ
    path = config_path(environ)
    real = path.resolve()  # a link stays a link: what it points at is replaced
    try:
        make_private(path.parent)
        with locked(real.with_name(f".{real.name}.lock"), f"The settings file {path}", 10.0):
            data = real.read_bytes() if real.exists() else _HEADER.encode()
            config = _parsed(data, str(path), environ)
            edit = _Edit(config, tomlkit.parse(data.decode("utf-8-sig")))
            yield edit
            text = tomlkit.dumps(edit.document)
            _parsed(text.encode(), str(path), environ)  # what is written can be read …
            if tomlkit.parse(text).unwrap() != edit.document.unwrap():  # … and says what it should: dotted keys confuse tomlkit
                raise _unchangeable(path)
            write_whole(real, text.encode(), like=real.stat() if real.exists() else None)
    except tomlkit.exceptions.TOMLKitError:
        raise _unchangeable(path) from None
    except OSError as problem:
        if isinstance(problem, FrankingError):
            raise
        raise SettingsError(f"{path} cannot be written: {problem.strerror}.") from None


def _unchangeable(path: Path) -> SettingsError:
    return SettingsError(
        f"{path} is written in a way that cannot be changed safely; put each account under a line [accounts.NAME], or change it by hand. "
        "Nothing was changed."
    )


_HEADER = """\
# Franking's accounts. Passwords are not kept here: `franking login NAME` stores them.

"""


def _put_default(document: Any, name: str) -> Any:
    """Set ``default``, above the first table, as a top-level key must stand: tomlkit would append it to the last one."""
    if "default" in document:
        document["default"] = name
        return document
    import tomlkit

    text = tomlkit.dumps(document)
    head = re.match(r"(?:#.*\n)+\n", text)  # a comment about the whole file stays at its top
    place = head.end() if head else 0
    return tomlkit.parse(f"{text[:place]}default = {tomlkit.item(name).as_string()}\n\n{text[place:]}")


def _provider_in(table: Mapping[str, Any]) -> Provider:
    name = table.get("provider")
    if not isinstance(name, str):
        raise SettingsError(f"provider: say which, one of {', '.join(known.name for known in providers())}.", field="provider")
    return provider_named(name)


def _fields(provider: Provider) -> tuple[Field, ...]:
    return (*COMMON_FIELDS, *provider.fields)


def _check_keys(table: Mapping[str, Any], provider: Provider, more: tuple[str, ...]) -> None:
    known = [*more, *(known.name for known in _fields(provider))]
    for key in table:
        if key not in known:
            raise SettingsError(unknown_key(key, f"{provider.name} accounts", known), field=key)


def _rooted(settings: Mapping[str, Any], provider: Provider, directory: str) -> dict[str, Any]:
    """Make relative paths absolute, leave ``provider`` out: a program started elsewhere means the same files."""
    paths = {known.name for known in _fields(provider) if known.type == "path"}
    return {
        key: os.path.join(directory, os.path.expanduser(value)) if key in paths and isinstance(value, str) and value else value
        for key, value in settings.items()
        if key != "provider"
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _located(problem: SettingsError, where: str) -> SettingsError:
    """Say where a mistake stands, before what it is."""
    return SettingsError(f"{where}: {problem}", field=problem.field, step=problem.step, evidence=problem.evidence)
