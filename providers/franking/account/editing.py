"""Changing the settings file: comments survive, a link stays a link, the write is whole or not at all, and two writers
take turns. ``config.py`` reads it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.account.config import Config, config_path, load, parse, rooted
from franking.errors import FrankingError, SettingsError
from franking.registry import provider as provider_named

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Edit", "changeable", "edited", "remove", "save", "set_default", "set_enabled"]


def save(
    account: Account, *, replace: bool = False, default: bool = False, environ: Mapping[str, str] | None = None
) -> Config:
    """Write an account into the settings file: its own settings, without what the provider's defaults say anyway.

    The first account becomes the default. Raises ``SettingsError`` where the name is taken, unless ``replace``.
    """
    with edited(environ) as edit:
        name, config, document = account.name, edit.config, edit.document
        if name in config.tables and not replace:
            raise SettingsError(
                f"There is an account {name!r} already; choose another name, or replace it with --replace.",
                field="name",
            )
        provider = provider_named(account.provider)
        defaults = _toml_values(config.defaults_of(provider))
        settings = _toml_values(account.given)
        given = {key: value for key, value in settings.items() if key not in defaults or defaults[key] != value}
        wanted = {"provider": provider.name, "from": str(account.sender), **rooted(given, provider, "")}
        import tomlkit

        if name in config.tables:
            table = document["accounts"][name]
            for key in [key for key in table if key not in wanted]:
                del table[key]
            for key, value in wanted.items():
                if key not in table or table[key] != value:
                    table[key] = value
        else:  # at the end, as a person would add it
            added = tomlkit.dumps({"accounts": {name: wanted}})
            edit.document = tomlkit.parse(f"{tomlkit.dumps(document).rstrip()}\n\n{added}".lstrip())
        if default or not config.tables:
            edit.document = _put_default(edit.document, name)
    return load(environ)


def changeable(name: str, environ: Mapping[str, str] | None = None) -> Account:
    """Return an account of the file that changes are written to.

    Raises ``SettingsError`` where there is none of that name, or where it stands in the system's file.
    """
    return _expected(load(environ), name).account(name)


def remove(name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Take an account out of the settings file; its secret is another matter. It also stops being the default."""
    with edited(environ) as edit:
        document = edit.document
        _expected(edit.config, name)
        del document["accounts"][name]
        if not document["accounts"]:
            del document["accounts"]
        if document.get("default") == name:
            del document["default"]
    return load(environ)


def set_default(name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Make an account the one that is meant when nobody names one."""
    with edited(environ) as edit:
        _expected(edit.config, name).account(name)
        edit.document = _put_default(edit.document, name)
    return load(environ)


def set_enabled(name: str, enabled: bool, environ: Mapping[str, str] | None = None) -> Config:
    """Switch an account's sending on or off."""
    with edited(environ) as edit:
        config, document = edit.config, edit.document
        _expected(config, name).account(name)
        table = document["accounts"][name]
        if enabled and "enabled" not in config.defaults_of(provider_named(str(table["provider"]))):
            table.pop("enabled", None)
        else:
            table["enabled"] = enabled
    return load(environ)


def _expected(config: Config, name: str) -> Config:
    """Return the settings if they are one's own and hold the account. Raises ``SettingsError``."""
    read = config
    if name not in config.tables:
        read = load(config.environ)
    if name not in read.tables:
        raise config.no_account(name)
    if not read.own:
        import shlex

        raise SettingsError(
            f"{name!r} stands in {read.location}, which every user of this computer reads. To change it there, set "
            f"FRANKING_CONFIG={shlex.quote(read.location)} for this command (as a user who may write to it).",
            field="account",
        )
    return read


def _toml_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(settings)
    for key, value in settings.items():
        if isinstance(value, tuple):
            values[key] = list(value)
    return values


@dataclass
class Edit:
    """The file while it is being changed."""

    config: Config
    document: Any


@contextmanager
def edited(environ: Mapping[str, str] | None) -> Iterator[Edit]:
    """Lend the file as a document whose comments survive; write it back whole at the end, unless the work failed."""
    import tomlkit

    from franking.atomic import locked, make_private, write_whole

    environ = os.environ if environ is None else environ
    path = config_path(environ)
    real = path.resolve()  # a link stays a link: what it points at is replaced
    try:
        make_private(path.parent)
        with locked(real.with_name(f".{real.name}.lock"), f"The settings file {path}", 10.0):
            like, data = None, _HEADER.encode()
            if real.exists():
                like, data = real.stat(), real.read_bytes()
            config = parse(data, str(path), environ)
            edit = Edit(config, tomlkit.parse(data.decode("utf-8-sig")))
            yield edit
            text = tomlkit.dumps(edit.document)
            parse(text.encode(), str(path), environ)  # what is written can be read …
            # … and says what it should: dotted keys confuse tomlkit
            if tomlkit.parse(text).unwrap() != edit.document.unwrap():
                raise _unchangeable(path)
            write_whole(real, text.encode(), like=like)
    except tomlkit.exceptions.TOMLKitError:
        raise _unchangeable(path) from None
    except OSError as problem:
        if isinstance(problem, FrankingError):
            raise
        raise SettingsError(f"{path} cannot be written: {problem.strerror}.") from None


def _unchangeable(path: Path) -> SettingsError:
    return SettingsError(
        f"{path} is written in a way that cannot be changed safely; put each account under a line [accounts.NAME], "
        "or change it by hand. Nothing was changed."
    )


_HEADER = """\
# Franking's accounts. Passwords are not kept here: `franking login NAME` stores them.

"""


def _put_default(document: Any, name: str) -> Any:
    """Set ``default`` above the first table, where a top-level key must stand: tomlkit would append it to the last."""
    if "default" in document:
        document["default"] = name
        return document
    import tomlkit

    text = tomlkit.dumps(document)
    line = f"default = {tomlkit.item(name).as_string()}\n\n"
    # a comment about the whole file stays at its top
    return tomlkit.parse(re.sub(r"\A((?:#.*\n)+\n)?", lambda head: head[0] + line, text, count=1))
