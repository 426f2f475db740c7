"""Where secrets and grants live: in memory, or in one file per account, plain or encrypted. Stores know texts only.

A file is JSON with a ``version`` and the kind of ``store`` that wrote it, so that the file itself says how it is read:

    {"version": 1, "store": "file",      "key": "shop", "value": "…"}
    {"version": 1, "store": "encrypted", "key": "shop", "scrypt": […], "salt": "…", "nonce": "…", "data": "…"}
    {"version": 1, "store": "keyring",   "key": "shop", "entry": "…", "nonce": "…", "data": "…"}

The key of an encrypted one is scrypt of FRANKING_STORE_KEY, or a random one in the system's keyring. The files of one
directory share a salt, as they share the passphrase: deriving a key takes half a second, and is done once.

Files are 0600 in a 0700 directory of our own; anything looser, a link, or another owner is refused with the command
that mends it. A write is whole or not at all: temporary file, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.binding import binding_of
from franking.account.environment import state_folder
from franking.atomic import held, locked, make_private, not_made, sweep, unusable, write_whole
from franking.auth import encryption
from franking.auth.contract import KnowsTime, OpenedStore, SecretStore
from franking.auth.secret import Grant, Password
from franking.errors import Evidence, SettingsError
from franking.redaction import Veiled, revealed, veiled
from franking.text import json_object

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = [
    "FileStore",
    "MemoryStore",
    "OpenedStore",
    "SecretStore",
    "open_store",
    "save_grant",
    "save_password",
    "state_directory",
]


VERSION = 1
MODES = ("auto", "file", "encrypted", "keyring")

LOCK_SECONDS = 60.0
"""Longer than a renewal that runs into a 30 s time-out; whoever waits longer learns that something hangs."""

_LARGEST = 4 * 1024 * 1024
"""No grant comes near (an MSAL cache is 5 to 10 KB); bounds what a wrong file may cost."""


class MemoryStore:
    """Keep secrets for as long as the object lives: for tests, and where nothing may be written."""

    def __init__(self, values: Mapping[str, str] | None = None, *, wait: float = LOCK_SECONDS) -> None:
        self._values, self._wait = {key: Veiled(value) for key, value in (values or {}).items()}, wait
        self._locks: dict[str, threading.Lock] = {}

    def load(self, key: str) -> str | None:
        return revealed(self._values.get(key))

    def save(self, key: str, value: str) -> None:
        self._values[key] = Veiled(value)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        with held(self._locks.setdefault(key, threading.Lock()), f"The secret of {key!r}", self._wait):
            yield


class FileStore:
    """Keep each secret in a file of its own in ``directory``.

    ``mode`` is one of ``file`` (plain), ``encrypted`` (``passphrase``, from FRANKING_STORE_KEY), ``keyring`` (a random
    key in the system's keyring) or ``auto``: as the file was written before; a new one goes by the keyring if that
    answers within 3 s, else it is plain. What is read says itself how it was written. ``wait`` bounds the wait for a
    lock, in seconds; ``cost`` is scrypt's, for what is written.

    Raises ``SettingsError`` for what a person has to mend (modes, owners, keys, a full disk), with ``Evidence("store",
    reason=…)``.
    """

    def __init__(
        self,
        directory: str | Path,
        mode: str = "auto",
        *,
        passphrase: str | None = None,
        wait: float = LOCK_SECONDS,
        cost: encryption.Cost = encryption.COST,
    ) -> None:
        if passphrase is not None:
            encryption.check_passphrase(passphrase)
        if mode not in MODES:
            raise SettingsError(f"FRANKING_STORE: {mode!r} is not one of {', '.join(MODES)}.", field="FRANKING_STORE")
        self.directory, self.mode = Path(directory), mode
        self._passphrase = veiled(passphrase)
        self._wait, self._cost = wait, cost
        self._keys: dict[str, Veiled[bytes]] = {}  # by keyring entry: that is slow, once per file is enough
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"FileStore({str(self.directory)!r}, {self.mode!r})"

    def path(self, key: str) -> Path:
        """Return the file in which a key's secret lies."""
        return self.directory / f"{_file_name(key)}.json"

    def kind(self, key: str) -> str | None:
        """Return how a key's secret is kept (``file``, ``encrypted``, ``keyring``), or None where there is none."""
        return (self._read(key) or {}).get("store")

    def place(self, key: str) -> str:
        return str(self.path(key))

    def has(self, key: str) -> bool:
        try:
            os.lstat(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # somebody else's directory, perhaps: whoever reads it learns what is in the way
            return True
        return True

    def stamp(self, key: str) -> str:
        try:
            found = self.path(key).stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns}-{found.st_ino}-{found.st_size}"

    def wanted(self, kept: str | None) -> str | None:
        """Return the mode that was asked for where a secret is still kept in a plain file, else None."""
        return self.mode if kept == "file" and self.mode not in ("auto", "file") else None

    def encrypt_plain(self, key: str) -> bool:
        """Write a secret anew that lies in a plain file although another store is asked for; return whether it was."""
        if not self.wanted(self.kind(key)):
            return False
        with self.lock(key):
            value = self.load(key)
            if value is None:
                return False
            self.save(key, value)
        return True

    def load(self, key: str) -> str | None:
        record = self._read(key)
        if record is None:
            return None
        path = self.path(key)
        try:
            if record["store"] == "file":
                if self.wanted(record["store"]):
                    self._tell_plain(key, path)
                return str(record["value"])
            return encryption.unseal(self._key_of(record, path), record["nonce"], record["data"], key)
        except (KeyError, TypeError, encryption.Damaged):
            what, reason = "is damaged: its content cannot be read", "damaged"
            if record["store"] == "encrypted":
                what = "cannot be decrypted: FRANKING_STORE_KEY is not the key that it was written with"
                reason = "wrong-key"
            raise unusable(path, what, reason) from None

    def save(self, key: str, value: str) -> None:
        self._prepare()
        path = self.path(key)
        old: Mapping[str, Any] = {}
        try:
            old = self._read(key) or {}
        except SettingsError as problem:
            if problem.evidence is None or problem.evidence.reason != "damaged":
                raise
            # nothing in it can be saved any more, so it is no reason to refuse a new sign-in
        record = self._record(key, value, old, path)
        import json

        try:
            write_whole(path, (json.dumps(record) + "\n").encode())
        except OSError as problem:
            raise unusable(path, f"could not be written: {problem.strerror}", "unwritable", problem) from problem
        if record.get("entry") != old.get("entry"):
            self._forget(old)

    def delete(self, key: str) -> None:
        path = self.path(key)
        old: Mapping[str, Any] = {}
        with suppress(SettingsError):  # unreadable, hence no keyring entry to forget; it goes all the same
            old = self._read(key) or {}
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:
            raise unusable(path, f"could not be removed: {problem.strerror}", "unwritable", problem) from problem
        self._forget(old)
        with suppress(OSError):
            sweep(path, 0)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        self._prepare()
        with locked(self.directory / f"{_file_name(key)}.lock", f"The secret of {key!r}", self._wait):
            yield

    def _tell_plain(self, key: str, path: Path) -> None:
        if key not in self._told:
            import logging

            self._told.add(key)
            logging.getLogger("franking.store").warning(
                "%s is a plain file, although FRANKING_STORE is %s; to encrypt it: franking accounts list",
                path,
                self.mode,
            )

    def _prepare(self) -> None:
        """Make the directory, or refuse the one that is there."""
        if not self.directory.is_absolute():
            raise SettingsError(
                f"There is no home directory to keep secrets in ({self.directory}); "
                "set FRANKING_STATE_DIR to a directory of your own.",
                step="secret",
                field="FRANKING_STATE_DIR",
                evidence=Evidence("store", reason="unwritable", details={"path": str(self.directory)}),
            )
        try:
            make_private(self.directory)
            info = os.lstat(self.directory)
        except OSError as problem:
            raise not_made(self.directory, "made", problem) from problem
        _inspect(self.directory, info, stat.S_ISDIR, "700")

    def _read(self, key: str) -> dict[str, Any] | None:
        path = self.path(key)
        try:
            # without following links, and without waiting for a pipe's other end
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            with suppress(OSError):
                _inspect(self.directory, os.lstat(self.directory), stat.S_ISDIR, "700")
                _inspect(path, os.lstat(path), stat.S_ISREG, "600")
            if problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise not_made(path, "read", problem) from problem
            raise unusable(path, f"could not be read: {problem.strerror}", "unreadable", problem) from problem
        try:
            _inspect(path, os.fstat(handle), stat.S_ISREG, "600")
            _inspect(self.directory, os.lstat(self.directory), stat.S_ISDIR, "700")
            with os.fdopen(handle, "rb", closefd=False) as file:
                text = file.read(_LARGEST)
        finally:
            os.close(handle)
        record = json_object(text) or {}
        try:
            version, store = int(record["version"]), record["store"]
        except (ValueError, KeyError, TypeError):
            raise unusable(path, "is damaged: it is not what Franking writes", "damaged") from None
        if version > VERSION or store not in MODES[1:]:
            raise unusable(path, "was written by a newer Franking; upgrade this one", "newer")
        if record.get("key") != key:
            raise unusable(path, f"belongs to the account {record.get('key')!r}, not to {key!r}", "damaged")
        return record

    def _record(self, key: str, value: str, old: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Make what goes into the file.

        With ``auto``, what the old file says holds for ever, even while the keyring is out of reach.
        """
        mode, entry = self.mode, old.get("entry")
        if mode == "auto":
            mode = old.get("store") or "keyring"
            if not old:
                try:
                    entry = self._new_entry(key)
                except SettingsError:  # no keyring, or no package for it
                    mode = "file"
        record: dict[str, Any] = {"version": VERSION, "store": mode, "key": key}
        if mode == "file":
            return {**record, "value": value}
        if mode == "encrypted":
            record |= {"scrypt": list(self._cost), "salt": self._salt(old)}
        else:
            record["entry"] = entry or self._new_entry(key)
        return {**record, **encryption.seal(self._key_of(record, path), value, key)}

    def _salt(self, old: Mapping[str, Any]) -> str:
        """Return the salt of the old file, or of another one in the directory, or a new one."""
        import json

        records = [old]
        with suppress(OSError):
            for path in sorted(self.directory.glob("*.json")):
                with suppress(OSError, ValueError):
                    records.append(json.loads(path.read_bytes()))
        for record in records:
            if isinstance(record, dict) and record.get("scrypt") == list(self._cost) and record.get("salt"):
                return str(record["salt"])
        return encryption.new_salt()

    def _new_entry(self, key: str) -> str:
        entry = f"{key} {os.urandom(8).hex()}"
        self._keys[entry] = Veiled(encryption.new_keyring_key(entry))
        return entry

    def _key_of(self, record: Mapping[str, Any], path: Path) -> bytes:
        if record["store"] == "keyring":
            source = str(record["entry"])
            if source not in self._keys:
                self._keys[source] = Veiled(encryption.keyring_key(source, path))
            return self._keys[source].reveal()
        source = str(record["salt"])
        if not self._passphrase:
            raise unusable(path, "is encrypted; set FRANKING_STORE_KEY to the key that it was written with", "no-key")
        return encryption.derived_key(self._passphrase.reveal(), source, encryption.cost_of(record))

    def _forget(self, record: Mapping[str, Any]) -> None:
        """Remove the key of an old file from the keyring, if it had one there."""
        if record.get("store") == "keyring":
            entry = str(record.get("entry"))
            self._keys.pop(entry, None)
            with suppress(SettingsError):  # a key without its file opens nothing
                encryption.forget_keyring_key(entry)


def open_store(environ: Mapping[str, str] | None = None) -> OpenedStore:
    """Open the store that the environment asks for: FRANKING_STORE, FRANKING_STORE_FILE, FRANKING_STORE_KEY and
    FRANKING_STATE_DIR.

    Nothing is read, made or connected before it is needed. An address (``redis://``, ``postgresql://``) is a store that
    several machines share. FRANKING_STORE_KEY alone means ``encrypted``. Raises ``SettingsError`` for an unknown
    FRANKING_STORE.
    """
    environ = os.environ if environ is None else environ
    if "://" in environ.get("FRANKING_STORE", "") or environ.get("FRANKING_STORE_FILE"):
        from franking.auth.named_store import named_store  # one machine does without

        if (shared := named_store(environ)) is not None:
            return shared
    passphrase = environ.get("FRANKING_STORE_KEY") or None
    mode = environ.get("FRANKING_STORE", "").strip().lower() or ("encrypted" if passphrase else "auto")
    if mode == "encrypted" and not passphrase:
        raise SettingsError(
            "FRANKING_STORE is encrypted, but FRANKING_STORE_KEY is not set; "
            "set it to a long random text and keep that safe.",
            step="secret",
            field="FRANKING_STORE_KEY",
            evidence=Evidence("store", reason="no-key"),
        )
    return FileStore(state_directory(environ), mode, passphrase=passphrase)


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where programs of this user keep what they remember: ``$FRANKING_STATE_DIR``, else the system's place."""
    return Path(state_folder(environ))


def save_password(store: SecretStore, account: Account, password: str) -> None:
    """Store the password, or the client secret, of an account: for the places that the account names now."""
    _save(store, account, Password(password, saved_at=time.time(), bound=binding_of(account)))


def save_grant(store: SecretStore, account: Account, grant: Grant) -> None:
    """Store what a sign-in of an account yielded: for the places that the account names now."""
    _save(store, account, replace(grant, bound=binding_of(account)))


def _save(store: SecretStore, account: Account, secret: Password | Grant) -> None:
    with store.lock(account.name):
        if isinstance(secret, Grant) and isinstance(store, KnowsTime):
            secret = secret.dated(store.clock() - time.time())
        store.save(account.name, secret.dumps())


# --- who may read -----------------------------------------------------------------------------------------------------


def _inspect(path: Path, info: os.stat_result, wanted: Callable[[int], bool], mode: str) -> None:
    """Refuse links, other owners, and modes that let others in. Windows has no modes to check."""
    if stat.S_ISLNK(info.st_mode):
        what = "is a symbolic link; secrets are kept in real files of your own only: "
        what += "remove the link and sign in again" if mode == "600" else "set FRANKING_STATE_DIR to the real directory"
        raise unusable(path, what, "link")
    if not wanted(info.st_mode):
        raise unusable(path, "is in the way: it is not what Franking made", "not-ours")
    if os.name != "posix":
        return
    if info.st_uid != os.geteuid():
        repair = f"sudo chown {os.geteuid()} {_quoted(path)}"
        what = f"belongs to another user (uid {info.st_uid}); work as that user, or run: {repair}"
        raise unusable(path, what, "foreign-owner", repair=repair)
    if info.st_mode & 0o077:
        repair = f"chmod {mode} {_quoted(path)}"
        what = f"is open to other users (mode {stat.S_IMODE(info.st_mode):o}); run: {repair}"
        raise unusable(path, what, "loose-mode", repair=repair)


def _quoted(path: Path) -> str:
    import shlex  # only a mistake needs it

    return shlex.quote(str(path))


_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._@+-")


def _file_name(key: str) -> str:
    """Make a file name of a key: one to one, safe on every system, also where upper and lower case are the same."""
    if not key:
        raise ValueError("a secret needs a key")
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in key.encode("utf-8", "surrogatepass"))
    # hidden on POSIX, devices on Windows
    if name.startswith(".") or re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name):
        name = f"%{ord(name[0]):02x}{name[1:]}"
    if len(name) > 180:  # file systems allow 255 bytes, and we add endings
        import hashlib

        name = f"{name[:100]}-{hashlib.sha256(key.encode()).hexdigest()}"
    return name
