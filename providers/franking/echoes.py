"""Take out of an HTTP answer what it repeats of its request: servers, and proxies above all, show people what they were sent.

The secrets are read from the request itself, so that none is forgotten, and looked for in every place where a server may put words: body,
headers and status line. What an answer newly brings (a token that was asked for) is the business of whoever asked.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from franking.redaction import HIDDEN, forms

if TYPE_CHECKING:
    import requests

__all__ = ["cleaned"]

_FIELDS = frozenset(
    {"code", "code_verifier", "client_secret", "refresh_token", "token", "device_code", "assertion", "client_assertion", "password"}
)
_TOKENS = ("access_token", "refresh_token", "id_token")
_QUERY = 16
"""Characters from which on a value in an address counts as a key (an upload's address is its own); ``resumable`` has 9."""


def cleaned(response: requests.Response, content: bytes) -> bytes:
    """Give the body of an answer without what was secret in its request; headers and the status's words are cleaned in place.

    A success keeps its tokens: an issuer may give the same refresh token once more (RFC 6749 §6).
    """
    hidden = forms(_secrets(response.request))
    if not hidden:
        return content
    response.reason = _without(response.reason or "", hidden)
    for name, value in response.headers.items():
        if (clean := _without(value, hidden)) != value:
            response.headers[name] = clean
    try:
        read = json.loads(content)
        clean_json = _scrubbed(read, hidden, _TOKENS if response.ok else ())
        return content if clean_json == read else json.dumps(clean_json).encode()
    except (ValueError, RecursionError):  # a page, half an answer, or a joke
        for form in hidden:
            content = content.replace(form.encode(), HIDDEN.encode())
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
    if isinstance(body, str | bytes) and "form-urlencoded" in str(request.headers.get("Content-Type")):
        fields: dict[str, str] = dict(parse_qsl(body.decode("latin-1") if isinstance(body, bytes) else body))
        yield from (value for name, value in fields.items() if name in _FIELDS)
    yield from (value for _, value in parse_qsl(urlsplit(request.url or "").query) if len(value) >= _QUERY)


def _scrubbed(value: Any, hidden: tuple[str, ...], kept: tuple[str, ...] = ()) -> Any:
    if isinstance(value, str):
        return _without(value, hidden)
    if isinstance(value, list):
        return [_scrubbed(one, hidden) for one in value]
    if isinstance(value, Mapping):
        return {name: one if name in kept else _scrubbed(one, hidden) for name, one in value.items()}
    return value


def _without(text: str, hidden: tuple[str, ...]) -> str:
    for form in hidden:
        text = text.replace(form, HIDDEN)
    return text
