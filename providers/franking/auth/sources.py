"""Where an account's secret comes from: an argument, the environment, the account's command or file, the store.

``secret_for`` makes what a session is handed; it looks nothing up before it is asked. How things stand, without running
commands or renewing anything, is the subject of ``status.py``; how a token stays fresh, that of ``token.py``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path

from franking.account.account import Account
from franking.account.binding import binding_of
from franking.account.environment import secret_names, secret_variable
from franking.account.fields import Field
from franking.account.repair import login_command
from franking.auth.bound import check_bound, check_named
from franking.auth.secret import Grant, Password, Secret, loads
from franking.auth.store import SecretStore
from franking.auth.token import TokenSecret
from franking.errors import Evidence, SendError, SettingsError, discreet
from franking.provider import Provider, SupportsLogin
from franking.redaction import Veiled, revealed
from franking.registry import provider as provider_named

__all__ = ["FoundSecret", "Sources", "keyed_by_settings", "not_a_sign_in", "secret_for"]


COMMAND_SECONDS = 60.0
"""Time for a password command: a person may have to unlock a key."""

TOKEN_SECONDS = 60.0
"""How long what a token command printed is taken as fresh."""

_LARGEST = 64 * 1024


def secret_for(
    account: Account,
    provider: Provider,
    store: SecretStore,
    environ: Mapping[str, str],
    explicit: str | Veiled[str] | Secret | None = None,
    *,
    clock: Callable[[], float] | None = None,
) -> Secret:
    """Make the secret of an account: a fresh token where its provider signs in, else a password.

    Nothing is looked up before ``get``. ``explicit`` is a password, a client secret, what ``login --export`` printed,
    or a ready ``Secret``.
    """
    if isinstance(explicit, str):
        explicit = Veiled(explicit)
    if explicit is not None and not isinstance(explicit, Veiled):
        return explicit
    sources = Sources(account, store, environ, explicit)
    if isinstance(provider, SupportsLogin):
        return TokenSecret(sources, provider, provider.route(account), clock=clock)
    return FoundSecret(sources)


@dataclass(frozen=True, slots=True)
class Sources:
    """The places where one account's secret may be, asked in their order.

    ``explicit`` is a password, a client secret, or what ``login --export`` printed.
    """

    account: Account
    store: SecretStore
    environ: Mapping[str, str] = dataclass_field(repr=False)
    explicit: str | Veiled[str] | None = dataclass_field(default=None, repr=False)

    def password(self) -> Password | None:
        """Find the password, the client secret, or the token that a command prints; None where there is none.

        Raises ``SettingsError`` where a source that somebody named fails; the next source is then not tried.
        """
        if (given := revealed(self.explicit)) is not None:
            return Password(given, "argument")
        variable = secret_variable(self.account.name)
        if value := self.environ.get(variable):
            check_named(self.account, self.environ, variable)
            return Password(value, "environment")
        for setting in self.settings():
            return Password(_looked_up(setting, self.account.get(setting.name)), setting.name)
        text = self.store.load(self.account.name)
        if text is None:
            return None
        stored = loads(text)
        found = stored.application if isinstance(stored, Grant) else stored
        if found is None:
            return None
        check_bound(stored.bound, self.account, self.environ, f"The password that is stored for {self.account.name!r}")
        if not stored.bound:
            self._keep_bound(stored, text)
        return found

    def _keep_bound(self, stored: Password | Grant, text: str) -> None:
        """Bind what Franking 0.1 stored to what it is first used for; where nothing can be written, the next time."""
        name = self.account.name
        with suppress(SettingsError, SendError), self.store.lock(name):
            if self.store.load(name) == text:
                self.store.save(name, replace(stored, bound=binding_of(self.account)).dumps())

    def grant(self) -> Grant | None:
        """Read the sign-in that is provided from outside; None where only the store may have one."""
        variable = secret_variable(self.account.name)
        text, where = revealed(self.explicit), "secret"
        if text is None:
            text, where = self.environ.get(variable), variable
        if not text:
            return None
        try:
            found = Grant.loads(text)
        except SettingsError as problem:
            raise not_a_sign_in(f"{where}: {problem}", where) from None
        if found.bound:
            check_bound(found.bound, self.account, self.environ, f"The sign-in in {where}")
        elif where == variable:
            check_named(self.account, self.environ, variable)
        return found

    def settings(self) -> list[Field]:
        """Return the account's settings that name a command or a file with the secret in it, a token's first."""
        fields = provider_named(self.account.provider).fields
        return [
            field
            for kind in ("token", "command", "file")
            for field in fields
            if field.credential == kind and self.account.get(field.name)
        ]


def keyed_by_settings(account: Account) -> str | None:
    """Return which setting names the key that an account without a person signs in with, or None."""
    keys = (field.name for field in provider_named(account.provider).fields if field.credential == "key")
    return next(filter(account.get, keys), None)


class FoundSecret:
    """Look a password up when it is first needed, and again when it was refused: it may have been changed meanwhile.

    What a token command prints is asked for again after a minute: access tokens end, and such commands keep their own.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._found: Password | None = None
        self._until = float("inf")
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"FoundSecret({self._sources.account.name!r})"

    def get(self, *, renew_after: str | None = None) -> str:
        with discreet:
            return self._password(renew_after).value

    def _password(self, refused: str | None) -> Password:
        with self._mutex:
            found = self._found
            if found is None or found.value == refused or time.monotonic() > self._until:
                found = self._found = self._sources.password()
                if any(setting.credential == "token" for setting in self._sources.settings()):
                    self._until = time.monotonic() + TOKEN_SECONDS
        if found is None:
            raise no_password(self._sources.account)
        return found


def no_password(account: Account) -> SettingsError:
    """Make the error of an account without a password."""
    how = f"run: {login_command(account)}"
    if not account.reference or "".join(account.words[:1]).startswith("--"):
        how = "pipe it in with --password-stdin"  # written for one command, and saved nowhere
    return SettingsError(
        f"No password is stored for {account.name!r}; {how} (or set {secret_variable(account.name)}).",
        step="secret",
        field="password",
        evidence=Evidence("settings", reason="no-password"),
    )


def not_a_sign_in(problem: str, where: str | None = None) -> SettingsError:
    """Make the error of a text that ``where`` holds as a sign-in, and that is none."""
    return SettingsError(problem, step="secret", field=where, evidence=Evidence("settings", reason="given-grant"))


# --- commands and files -----------------------------------------------------------------------------------------------


def _looked_up(setting: Field, value: str) -> str:
    if setting.credential == "file":
        return _first_line(setting.name, _read(setting.name, Path(value).expanduser()))
    return _first_line(setting.name, _run(setting.name, value))


def _run(key: str, command: str) -> bytes:
    """Run a command without a shell and return what it prints, which appears in no error."""
    import shlex
    import subprocess  # 3 ms that most accounts need not wait for

    try:
        parts = shlex.split(command)
    except ValueError as problem:
        raise _unusable(key, f"the command cannot be read ({problem})") from None
    if not parts:
        raise _unusable(key, "the command is empty")
    program = Path(parts[0]).name
    argv: str | list[str] = [str(Path(part).expanduser()) if part.startswith("~/") else part for part in parts]
    if os.name == "nt":
        argv = command  # Windows splits by itself, and by other rules
    environ = dict(os.environ)
    for name in secret_names(environ):
        del environ[name]
    try:
        # the account's owner wrote the command; nothing of a message or a server gets into it
        ended = subprocess.run(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
            env=environ,
        )
        if ended.returncode == 0:
            return ended.stdout
        why = f"{program} ended with exit code {ended.returncode}; run it by hand to see why"
    except subprocess.TimeoutExpired:
        why = f"{program} did not end within {COMMAND_SECONDS:g} seconds"
    except OSError as problem:
        why = f"{program} could not be started: {problem.strerror}"
    raise _unusable(key, why)  # out here, because a caught error holds the output


def _read(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as problem:
        raise _unusable(key, f"{path} cannot be read: {problem.strerror}") from None


def _first_line(key: str, data: bytes) -> str:
    line = data.partition(b"\n")[0].removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")
    why = "the first line is empty"
    try:
        if text := line.decode():
            return text
    except UnicodeDecodeError:
        why = "the first line is not UTF-8 text"
    raise _unusable(key, why)  # out here, because a caught error holds the line


def _unusable(key: str, why: str) -> SettingsError:
    return SettingsError(
        f"{key}: {why}.",
        step="secret",
        field=key,
        evidence=Evidence("settings", text=why, reason="secret-source", details={"key": key}),
    )
