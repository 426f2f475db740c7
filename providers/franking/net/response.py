"""HTTP responses that end, and from which our secrets are gone: bounded in time, in the number of their beginnings, and
in what they unpack to. How requests are made is ``http.py``, what a failed one means ``http_errors.py``.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import io
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from franking.redaction import Redactor

if TYPE_CHECKING:
    import socket

    import requests

__all__ = ["PATIENCE", "BoundedResponse", "unpacked", "without_secrets"]


PATIENCE = 600.0
"""Seconds for a whole response once it has begun, however slowly it drips: progress that never ends is none."""

INTERIM_LIMIT = 20
"""Interim responses (1xx) before the real one; there is one at most in practice."""


class BoundedResponse(http.client.HTTPResponse):
    """A response that begins one day and ends: http.client itself would read "100 Continue", or an octet now and then,
    for ever.
    """

    _beginnings = 0
    patience = PATIENCE

    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
        super().__init__(sock, *args, **settings)
        plain: Any = self.fp
        self.fp = io.BufferedReader(_Timed(plain.detach(), sock, self.patience))

    def _read_status(self) -> tuple[str, int, str]:
        self._beginnings += 1
        if self._beginnings > INTERIM_LIMIT:
            raise http.client.HTTPException("too many interim answers")
        status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        return status


class _Timed(io.RawIOBase):
    """The octets of a socket, for ``patience`` seconds after the first of them; then ``TimeoutError``."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: float) -> None:
        super().__init__()
        self._raw, self._sock, self._patience = raw, sock, patience
        self._until: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is None:
            count = self._raw.readinto(buffer)
            self._until = time.monotonic() + self._patience
            return count
        left, usual = self._until - time.monotonic(), self._sock.gettimeout()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        if usual is not None and usual <= left:
            return self._raw.readinto(buffer)
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(usual)

    def close(self) -> None:
        self._raw.close()
        super().close()


def unpacked(data: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Unpack what came packed though nobody asked for it, the first ``limit`` octets of it; leave what nobody can
    unpack.
    """
    if headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return data
    import zlib

    try:
        return zlib.decompressobj(wbits=47).decompress(data, limit)
    except zlib.error:
        return data


_FIELDS = frozenset(
    {
        "code",
        "code_verifier",
        "client_secret",
        "refresh_token",
        "token",
        "device_code",
        "assertion",
        "client_assertion",
        "password",
    }
)
_TOKENS = ("access_token", "refresh_token", "id_token")
_QUERY = 16
"""Characters from which on a value in an address counts as a key (an upload's address is its own); ``resumable`` has
9.
"""


def without_secrets(response: requests.Response, content: bytes) -> bytes:
    """Return the body of a response without what was secret in its request; headers and the status's words are cleaned
    in place.

    A success keeps its tokens: an issuer may give the same refresh token once more (RFC 6749 §6).
    """
    hidden = Redactor(_secrets(response.request))
    if not hidden:
        return content
    response.reason = hidden(response.reason or "")
    for name, value in response.headers.items():
        if (clean := hidden(value)) != value:
            response.headers[name] = clean
    try:
        read = json.loads(content)
        clean_json = _scrubbed(read, hidden, _TOKENS if response.ok else ())
        if clean_json != read:
            content = json.dumps(clean_json).encode()
    except (ValueError, RecursionError):  # a page, half a response, or a joke
        content = hidden.octets(content)
    return content


def _secrets(request: requests.PreparedRequest) -> Iterator[str]:
    """Read what is secret in a request: credentials, the fields of a form, and the keys in an address."""
    kind, _, credentials = str(request.headers.get("Authorization") or "").partition(" ")
    yield credentials
    if kind == "Basic":
        try:
            password = base64.b64decode(credentials).decode().partition(":")[2]
        except (binascii.Error, UnicodeError):
            password = ""
        yield from (password, unquote_plus(password))
    body = request.body
    if isinstance(body, bytes):
        body = body.decode("latin-1")
    if isinstance(body, str) and "form-urlencoded" in str(request.headers.get("Content-Type")):
        yield from (value for name, value in parse_qsl(body) if name in _FIELDS)
    yield from (value for _, value in parse_qsl(urlsplit(request.url or "").query) if len(value) >= _QUERY)


def _scrubbed(value: Any, hidden: Redactor, kept: tuple[str, ...] = ()) -> Any:
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, list):
        return [_scrubbed(one, hidden) for one in value]
    if isinstance(value, dict):
        clean = {name: _scrubbed(one, hidden) for name, one in value.items()}
        return clean | {name: value[name] for name in kept if name in value}
    return value
