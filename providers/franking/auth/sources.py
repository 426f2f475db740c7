"""Where an account's secret comes from, in this order: an argument, the environment, the account's command or file, the
store.

``secret_for`` makes what a session is handed; it looks nothing up before it is asked. ``state_of`` tells how things
stand, for ``status``, without running commands or renewing anything. How a token stays fresh is the subject of
``tokens.py``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from franking.account.account import SECRET_VARIABLES, Account, login_command, secret_variable
from franking.auth.secret import Grant, Password, Secret
from franking.auth.store import SecretStore
from franking.auth.token import TokenSecret
from franking.errors import Evidence, SettingsError
from franking.provider import Provider, SupportsLogin, SupportsPreparedRefresh

__all__ = ["FoundSecret", "find_password", "keyed_by_settings", "secret_for"]


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
    explicit: str | Secret | None = None,
    *,
    clock: Callable[[], float] | None = None,
) -> Secret:
    """Make the secret of an account: a fresh token where its provider signs in, else a password. Nothing is looked up
    before ``get``.

    ``explicit`` is a password, a client secret, what ``login --export`` printed, or a ready ``Secret``.
    """
    if explicit is not None and not isinstance(explicit, str):
        return explicit
    if not isinstance(provider, SupportsLogin):
        return FoundSecret(account, lambda: find_password(account, store, environ, explicit))
    person = provider.needs_login(account)

    def client_secret() -> Password | None:
        return None if person else find_password(account, store, environ, explicit)

    def keeping(renewed: Grant, found: Password | None) -> Grant:
        if found is None or found.source != "store":
            return renewed
        return replace(
            renewed, data={**renewed.data, _KEPT: found.value, _KEPT_SINCE: found.saved_at}
        )  # one file per account: the token must not push the secret out

    def refresh(grant: Grant | None) -> Grant:
        found = client_secret()
        return keeping(provider.refresh(account, grant, found.value if found else None), found)

    @contextmanager
    def prepared(ready: SupportsPreparedRefresh) -> Iterator[Callable[[Grant | None], Grant]]:
        found = client_secret()
        with ready.prepared(account, found.value if found else None) as renew:
            yield lambda grant: keeping(renew(grant), found)

    return TokenSecret(
        account.name,
        store,
        refresh,
        provided=(lambda: provided_grant(account, environ, explicit)) if person else None,
        needs_login=person,
        repair=lambda: login_command(account),
        route=provider.route(account),
        prepared=partial(prepared, provider) if isinstance(provider, SupportsPreparedRefresh) else None,
        clock=clock,
    )


_KEPT, _KEPT_SINCE = "client_secret_kept", "client_secret_saved_at"


def find_password(
    account: Account, store: SecretStore, environ: Mapping[str, str], explicit: str | None = None
) -> Password | None:
    """Find an account's password (or client secret, or the token of its ``token_command``), or None where there is
    none.

    Raises ``SettingsError`` where a source that somebody named fails; the next source is then not tried.
    """
    if explicit is not None:
        return Password(explicit, "argument")
    if value := environ.get(secret_variable(account.name)):
        return Password(value, "environment")
    for key in ("token_command", "password_command"):
        if command := account.get(key):
            return Password(_run(key, command), key)
    if path := account.get("password_file"):
        return Password(_first_line("password_file", _read(Path(path).expanduser())), "password_file")
    text = store.load(account.name)
    if text is None:
        return None
    try:
        return Password.loads(text)
    except SettingsError:
        data = Grant.loads(text).data  # neither the one nor the other is an error of its own
        return Password(str(data[_KEPT]), "store", float(data.get(_KEPT_SINCE) or 0.0)) if data.get(_KEPT) else None


def keyed_by_settings(account: Account) -> str | None:
    """Return which setting names the key that an account without a person signs in with, or None."""
    return next((key for key in ("service_account", "certificate") if account.get(key)), None)


class FoundSecret:
    """Look a password up when it is first needed, and again when it was refused: it may have been changed meanwhile.

    What a ``token_command`` prints is asked for again after a minute: access tokens end, and such commands keep their
    own.
    """

    def __init__(self, account: Account, find: Callable[[], Password | None]) -> None:
        self._account = account
        self._find = find
        self._found: Password | None = None
        self._since = 0.0
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"FoundSecret({self._account.name!r})"

    @property
    def source(self) -> str | None:
        """Return where it was found; None before it was needed."""
        return self._found.source if self._found else None

    def get(self, *, renew_after: str | None = None) -> str:
        with self._mutex:
            found = self._found
            old = (
                found is not None and found.source == "token_command" and time.monotonic() - self._since > TOKEN_SECONDS
            )
            if found is None or old or found.value == renew_after:
                found = self._found = self._find()
                self._since = time.monotonic()
        if found is None:
            raise no_password(self._account)
        return found.value


def no_password(account: Account) -> SettingsError:
    """Make the error of an account without a password."""
    # typed for one command, and saved nowhere
    flags = not account.reference or "".join(account.words[:1]).startswith("--")
    how = "pipe it in with --password-stdin" if flags else f"run: {login_command(account)}"
    return SettingsError(
        f"No password is stored for {account.name!r}; {how} (or set {secret_variable(account.name)}).",
        step="secret",
        field="password",
        evidence=Evidence("settings", reason="no-password"),
    )


def provided_grant(account: Account, environ: Mapping[str, str], explicit: str | None) -> Grant | None:
    variable = secret_variable(account.name)
    text = explicit if explicit is not None else environ.get(variable)
    if not text:
        return None
    try:
        return Grant.loads(text)
    except SettingsError as problem:
        where = "secret" if explicit is not None else variable
        raise not_a_sign_in(f"{where}: {problem}", where) from None


def not_a_sign_in(problem: str, where: str | None = None) -> SettingsError:
    """Make the error of something that was given as a sign-in, in ``where``, and is none."""
    return SettingsError(problem, step="secret", field=where, evidence=Evidence("settings", reason="given-grant"))


# --- commands and files -----------------------------------------------------------------------------------------------


def _run(key: str, command: str) -> str:
    """Run a command without a shell and give the first line that it prints; its output appears in no error."""
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
    why = ""
    output = b""
    try:
        # the account's owner wrote the command; nothing of a message or a server gets into it
        ended = subprocess.run(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith(SECRET_VARIABLES)},
        )
        output = ended.stdout
        if ended.returncode:
            why = f"{program} ended with exit code {ended.returncode}; run it by hand to see why"
    except subprocess.TimeoutExpired:
        why = f"{program} did not end within {COMMAND_SECONDS:g} seconds"
    except OSError as problem:
        why = f"{program} could not be started: {problem.strerror}"
    if why:  # raised out here, because a caught error holds the output
        raise _unusable(key, why)
    return _first_line(key, output)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as problem:
        raise _unusable("password_file", f"{path} cannot be read: {problem.strerror}") from None


def _first_line(key: str, data: bytes) -> str:
    line = data.partition(b"\n")[0].removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")
    text: str | None = None
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise _unusable(key, "the first line is not UTF-8 text")
    if not text:
        raise _unusable(key, "the first line is empty")
    return text


def _unusable(key: str, why: str) -> SettingsError:
    return SettingsError(
        f"{key}: {why}.",
        step="secret",
        field=key,
        evidence=Evidence("settings", text=why, reason="secret-source", details={"key": key}),
    )
