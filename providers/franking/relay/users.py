"""The passwords of devices: made here, kept as hashes, verified. They are no mailbox's password, and open none.

A password that was made here has 80 random bits, so one round of SHA-256 with a salt keeps it; what a person chose gets
scrypt (RFC 7914, N = 2¹³: 8 MiB and some 20 ms, one at a time).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections import OrderedDict

from franking.errors import SettingsError

__all__ = ["Verifier", "check_stored", "hashed", "new_password"]

_N, _R, _P = 1 << 13, 8, 1
_REMEMBERED = 1000


def new_password() -> str:
    """Make a password that can be typed on a panel: 16 characters of ``a-z2-7``, 80 bits."""
    return base64.b32encode(os.urandom(10)).decode().lower()


def hashed(password: str, *, chosen: bool) -> str:
    """Return what is stored of a password; ``chosen`` by a person, who may have chosen a short one."""
    salt = os.urandom(16)
    kind = "scrypt" if chosen else "sha256"
    return f"{kind}:{_text(salt)}:{_text(_digest(kind, salt, password))}"


def check_stored(name: str, stored: str) -> None:
    """Raise ``SettingsError`` for what ``hashed`` did not make, such as the password itself."""
    try:
        kind, salt, digest = stored.split(":")
        if kind in ("sha256", "scrypt") and len(_octets(salt)) >= 8 and len(_octets(digest)) == 32:
            return
    except ValueError:
        pass
    raise SettingsError(
        f"relay.users.{name}: password: this is not what franking relay add-user writes. A password itself is never "
        f"kept here; run: franking relay remove-user {name}; franking relay add-user {name}",
        field="password",
    )


def _digest(kind: str, salt: bytes, password: str) -> bytes:
    if kind == "sha256":
        return hashlib.sha256(salt + password.encode()).digest()
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode()


def _octets(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)


class Verifier:
    """Say whether a password is right. What was verified once is remembered under a key of this process alone, so that
    a device that logs in for each message costs one SHA-256.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._one = threading.Lock()  # 8 MiB for each scrypt: one at a time
        self._nobody = hashed(new_password(), chosen=False)

    def remembered(self, stored: str, password: str) -> bool:
        """Return whether exactly this was right before; costs next to nothing."""
        return self._mark(stored, password) in self._known

    def right(self, stored: str | None, password: str) -> bool:
        """Return whether a password is the one that is stored; for None it takes as long, and is not."""
        kind, salt, digest = (stored or self._nobody).split(":")
        with self._one:
            found = hmac.compare_digest(_digest(kind, _octets(salt), password), _octets(digest))
        if stored is None or not found:
            return False
        self._known[self._mark(stored, password)] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True

    def _mark(self, stored: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")
