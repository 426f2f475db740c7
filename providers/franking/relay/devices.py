"""Users of the relay in accounts.toml: devices and programs with passwords of their own, made and removed here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from franking.account.editing import edited
from franking.account.fields import WRONG_VALUE
from franking.errors import SettingsError
from franking.relay.settings import User, check_pattern, read_settings
from franking.relay.users import hashed, new_password

__all__ = ["ELSEWHERE", "add_user", "listen_elsewhere", "remove_user", "users_of"]

ELSEWHERE = "0.0.0.0:2525"
"""Where devices on other machines reach the relay: a port that needs no rights, the one that is usual on loopback."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")


def add_user(
    name: str,
    *,
    account: str | None = None,
    senders: Sequence[str] = (),
    on_blocked: str | None = None,
    password: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Write a user into the settings and return its password: the one given, else a new one that is told only now.

    Raises ``SettingsError`` for a name that is taken or no name, an unknown account, a wrong address.
    """
    if not _NAME.match(name):
        words = f"{name!r} cannot name a user; use letters, digits, dots and dashes."
        raise SettingsError(words, field="name", evidence=WRONG_VALUE)
    for pattern in senders:
        check_pattern(pattern, name)
    with edited(environ) as edit:
        if name in users_of(edit.config.sections.get("relay", {})):
            raise SettingsError(
                f"There is a user {name!r} already; remove it first, or choose another name: "
                f"franking relay remove-user {name}",
                field="name",
                evidence=WRONG_VALUE,
            )
        if account is not None:
            edit.config.account(account)
        chosen = password is not None
        password = password or new_password()
        stored = hashed(password, chosen=chosen)
        values = {"password": stored, "account": account, "from": list(senders) or None, "on_blocked": on_blocked}
        lines = [f"[relay.users.{_key(name)}]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
        import tomlkit

        edit.document = tomlkit.parse(f"{tomlkit.dumps(edit.document).rstrip()}\n\n" + "\n".join(lines) + "\n")
    return password


def remove_user(name: str, environ: Mapping[str, str] | None = None) -> None:
    """Take a user out of the settings; a relay that runs ends its sessions. Raises ``SettingsError`` for no user."""
    with edited(environ) as edit:
        users = users_of(edit.config.sections.get("relay", {}))
        if name not in users:
            known = f"there are: {', '.join(users)}" if users else "there is none"
            raise SettingsError(f"There is no user {name!r}; {known}.", field="name", evidence=WRONG_VALUE)
        import tomlkit

        # its header and all up to the next one: tomlkit itself cannot take the last of several such tables away
        table = re.compile(rf"^\[relay\.users\.{re.escape(_key(name))}\][ \t]*\n(?:(?!\s*\[).*\n?)*", re.MULTILINE)
        text, found = table.subn("", tomlkit.dumps(edit.document) + "\n")
        if not found:
            raise SettingsError(
                f"The user {name!r} is written in a way that cannot be changed safely; take it out by hand.",
                field="name",
            )
        edit.document = tomlkit.parse(text.rstrip() + "\n")


def listen_elsewhere(environ: Mapping[str, str] | None = None) -> str:
    """Write into the settings that the relay listens for other machines too, and return the address. They log in by a
    user, and the settings say otherwise of nobody: ``allow`` is not touched. Raises ``SettingsError`` where they say
    already where it listens, or are written in a way that cannot be changed safely.
    """
    with edited(environ) as edit:
        import tomlkit

        text = tomlkit.dumps(edit.document)
        line = f"listen = {json.dumps([ELSEWHERE])}\n"
        header = re.compile(r"^\[relay\][ \t]*(#.*)?\n", re.MULTILINE)
        if header.search(text):
            text = header.sub(lambda found: found[0] + line, text, count=1)
        else:  # before the first of its users: a table stands before those within it
            text = re.sub(r"^(?=\[relay\.)", f"[relay]\n{line}\n", text, count=1, flags=re.MULTILINE)
        try:
            edit.document = tomlkit.parse(text)
            read_settings({key: edit.document["relay"][key] for key in ("listen", "users")}, {}, "")
        except (ValueError, KeyError):
            raise SettingsError(
                f"[relay] is written in a way that cannot be changed safely; write {line.strip()} into it by hand.",
                field="listen",
            ) from None
    return ELSEWHERE


def users_of(table: Mapping[str, object]) -> Mapping[str, User]:
    """Return the users that ``[relay]`` holds. Raises ``SettingsError`` for what is wrong with them."""
    return read_settings({"users": table.get("users", {})}, {}, "").users


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
