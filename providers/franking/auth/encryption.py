"""How a stored secret is encrypted (AES-256-GCM), and where the key comes from: a passphrase, or the system's keyring.

The keyring holds a random key, never the secret itself: Windows takes 1,280 characters, and a grant may be longer.
Nothing is read from or written to files here.
"""

from __future__ import annotations

import os
import threading
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from franking.errors import Evidence, SendError, SettingsError
from franking.net.deadline import within

__all__ = [
    "COST",
    "Cost",
    "Damaged",
    "check_passphrase",
    "cost_of",
    "derived_key",
    "forget_keyring_key",
    "keyring_key",
    "new_keyring_key",
    "new_salt",
    "seal",
    "unseal",
]

Cost = tuple[int, int, int]
"""scrypt's N, r and p."""

COST: Cost = (2**17, 8, 1)
"""OWASP's choice for scrypt (2026): 128 MiB. A file keeps its own, so that these can change."""

OLD_COST: Cost = (2**14, 8, 1)
"""What Franking 0.1 took, and did not write down."""

_MOST_MEMORY = 2**30

SHORTEST = 16
"""Characters of a passphrase; one that is made by hand and shorter is guessed, whatever each guess costs."""

KEYRING_SECONDS = 3.0
"""A locked desktop keyring waits for a person without end; nobody may be there."""

_DERIVED: dict[tuple[str, str, Cost], bytes] = {}
_deriving = threading.Lock()


def _after_fork() -> None:
    global _deriving
    _deriving = threading.Lock()  # a child must not wait for a thread that it does not have


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_SERVICE = "franking"
_Result = TypeVar("_Result")


class Damaged(Exception):
    """What was to be decrypted is not what was encrypted, or the key is another."""


def seal(cipher_key: bytes, value: str, label: str) -> dict[str, str]:
    """Encrypt a text; ``label`` is bound to it, so that one account's secret cannot be passed off as another's."""
    nonce = os.urandom(12)
    return {"nonce": _text(nonce), "data": _text(_cipher()(cipher_key).encrypt(nonce, value.encode(), label.encode()))}


def unseal(cipher_key: bytes, nonce: str, data: str, label: str) -> str:
    """Decrypt what ``seal`` made. Raises ``Damaged``."""
    cipher = _cipher()(cipher_key)
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(_bytes(nonce), _bytes(data), label.encode())
        return plain.decode()
    except (InvalidTag, ValueError):
        raise Damaged from None


def check_passphrase(passphrase: str) -> None:
    """Raise ``SettingsError`` for a passphrase that is too short."""
    if len(passphrase) < SHORTEST:
        raise SettingsError(
            f"FRANKING_STORE_KEY has {len(passphrase)} characters, and at least {SHORTEST} are needed: a short one is "
            "guessed. Set it to a long random text and keep that safe, then sign in again.",
            step="secret",
            field="FRANKING_STORE_KEY",
            evidence=Evidence("store", reason="short-key"),
        )


def new_salt() -> str:
    """Make a salt for ``derived_key``."""
    return _text(os.urandom(16))


def cost_of(record: Mapping[str, Any]) -> Cost:
    """Return scrypt's parameters of a file: what it says, or those of Franking 0.1. Raises ``Damaged``.

    They are bounded, as a changed file could otherwise take all memory or an hour.
    """
    cost = record.get("scrypt", OLD_COST)
    try:
        n, r, p = (int(number) for number in cost)
    except (TypeError, ValueError):
        raise Damaged from None
    if n < 2 or n & (n - 1) or r < 1 or not 1 <= p <= 16 or 128 * n * r > _MOST_MEMORY:
        raise Damaged
    return n, r, p


def derived_key(passphrase: str, salt: str, cost: Cost) -> bytes:
    """Make a key of a passphrase with scrypt, once in a process for the same salt: it takes half a second.

    Raises ``Damaged`` for a salt that is none, a temporary ``SendError`` where the memory for it is not there.
    """
    wanted = (passphrase, salt, cost)
    with _deriving:  # threads that need the same key wait for one, instead of 128 MiB each
        if wanted not in _DERIVED:
            _DERIVED[wanted] = _derive(*wanted)
        return _DERIVED[wanted]


def _derive(passphrase: str, salt: str, cost: Cost) -> bytes:
    import hashlib

    try:
        octets = _bytes(salt)
    except ValueError:
        raise Damaged from None
    n, r, p = cost
    try:
        return hashlib.scrypt(passphrase.encode(), salt=octets, n=n, r=r, p=p, maxmem=256 * r * (n + p + 2), dklen=32)
    except (ValueError, MemoryError):
        why = f"There is not enough memory to decrypt it ({128 * n * r // 2**20} MiB are needed); try again."
    raise SendError(why, step="secret", temporary=True, evidence=Evidence("store", text=why, reason="not-now"))


def new_keyring_key(entry: str) -> bytes:
    """Put a new random key into the system's keyring, and make sure that it is there. Raises ``SettingsError``."""
    _cipher()
    fresh = os.urandom(32)
    _ask_keyring(lambda keyring: keyring.set_password(_SERVICE, entry, _text(fresh)))
    if _ask_keyring(lambda keyring: keyring.get_password(_SERVICE, entry)) != _text(fresh):
        raise _no_keyring("it does not keep what it is given")
    return fresh


def keyring_key(entry: str, path: Path) -> bytes:
    """Fetch the key of the file ``path`` from the system's keyring.

    Raises ``SettingsError``: there is no other way to read that file.
    """
    kept: str | None = _ask_keyring(lambda keyring: keyring.get_password(_SERVICE, entry), path)
    if kept is None:
        raise _no_keyring("it has no key for this file (another keyring, or the entry was removed)", path)
    try:
        return _bytes(kept)
    except ValueError:
        raise _no_keyring("its entry for this file was changed", path) from None


def forget_keyring_key(entry: str) -> None:
    """Remove a key from the system's keyring. Raises ``SettingsError``."""
    _ask_keyring(lambda keyring: keyring.delete_password(_SERVICE, entry))


def _ask_keyring(call: Callable[[Any], _Result], path: Path | None = None) -> _Result:
    """Ask the keyring in a thread of its own, for at most three seconds."""

    def ask() -> _Result:
        import keyring

        return call(keyring)

    try:
        return within(KEYRING_SECONDS, ask, name="franking-keyring")
    except TimeoutError:
        raise _no_keyring(f"it did not answer within {KEYRING_SECONDS:g} seconds", path) from None
    except ImportError:
        raise _missing("keyring") from None
    except Exception as problem:  # noqa: BLE001  (its text may hold anything, so only the kind is told)
        raise _no_keyring(f"it answered {type(problem).__name__}", path) from None


def _no_keyring(why: str, path: Path | None = None) -> SettingsError:
    keyring = f"The key of {path} lies in the system's keyring, but" if path else "The system's keyring cannot be used:"
    return SettingsError(
        f"{keyring} {why}. Unlock the keyring, "
        "or choose another store (FRANKING_STORE=file or encrypted) and sign in again.",
        step="secret",
        field="FRANKING_STORE",
        evidence=Evidence("store", text=why, reason="no-keyring", details={"path": str(path or "")}),
    )


def _missing(package: str) -> SettingsError:
    return SettingsError(
        f"{package} is not installed; run: pip install 'franking[keyring]'",
        step="secret",
        field="FRANKING_STORE",
        evidence=Evidence("settings", reason="extra-missing", details={"extra": "keyring"}),
    )


def _cipher() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise _missing("cryptography") from None
    return AESGCM


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _bytes(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)
