"""What a client says to log in: AUTH PLAIN (RFC 4616) and LOGIN, response by response. Who it is decides somebody else.

The challenges of LOGIN are ``Username:`` and ``Password:`` in base64, letter for letter: Xerox devices hang up at
others.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["Exchange", "WrongExchange"]

_USERNAME, _PASSWORD = b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"


class WrongExchange(Exception):
    """Say that a client does not log in as the mechanism says."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.code, self.enhanced = code, enhanced


class Exchange:
    """One login: ``step`` until it gives no challenge; then ``user`` and ``password`` stand."""

    __slots__ = ("_given", "_mechanism", "password", "user")

    def __init__(self, mechanism: bytes) -> None:
        self._mechanism = mechanism.upper()
        self._given: list[str] = []
        self.user = self.password = ""
        if self._mechanism not in (b"PLAIN", b"LOGIN"):
            raise WrongExchange(504, "5.5.4", "only AUTH PLAIN and AUTH LOGIN are known here")

    def step(self, response: bytes | None) -> bytes | None:
        """Take a response (None: none yet) and return the next challenge; None at the end."""
        if response == b"*":
            raise WrongExchange(501, "5.7.0", "the login was broken off")
        if self._mechanism == b"PLAIN":
            if response is None:
                return b""
            parts = _decoded(response).split("\0")
            if len(parts) != 3:
                raise WrongExchange(501, "5.5.2", "AUTH PLAIN needs a name and a password")
            self.user, self.password = parts[1], parts[2]
            return None
        if response is not None:
            self._given.append(_decoded(response))
        if not self._given:
            return _USERNAME
        if len(self._given) == 1:
            return _PASSWORD
        self.user, self.password = self._given
        return None


def _decoded(response: bytes) -> str:
    if response == b"=":  # an empty response (RFC 4954 §4)
        return ""
    try:
        return base64.b64decode(response, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise WrongExchange(501, "5.5.2", "this is not base64 of UTF-8") from None
