"""What a request and a response are, without a framework: values that the adapters make and read. Nothing is decided
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

__all__ = ["LARGEST_BODY", "LARGEST_FILE", "Form", "Refusal", "Request", "Response", "read_form"]

LARGEST_BODY = 64 * 1024
"""Octets of a whole form; a person's settings have a few hundred."""

LARGEST_FILE = 16 * 1024
"""Octets of an uploaded client file; Google's has about 500."""

_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Form:
    """What was posted: texts by the name of the field, and uploaded files that are not empty."""

    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``path`` is what follows the place where the page is mounted (``""``, ``style.css`` …), ``headers``
    have lower-case names.

    ``form`` reads what was posted, once, and raises ``Refusal``. ``native`` is the framework's own request, for the
    application's functions. ``csrf`` is the hidden field (name, value) of a framework that protects forms by itself,
    and has done so. ``allowed`` is the application's word, ``language`` its choice, if it makes one.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Callable[[], Form] = Form
    secure: bool = False
    native: object = field(default=None, repr=False)
    csrf: tuple[str, str] | None = field(default=None, repr=False)
    allowed: bool = False
    language: str | None = None

    @property
    def cookies(self) -> Mapping[str, str]:
        """Return the cookies; what cannot be read is none."""
        try:
            found: SimpleCookie = SimpleCookie(self.headers.get("cookie", ""))
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in found.items()}


@dataclass(slots=True)
class Response:
    """One answer; ``body`` is text that is ready, or pieces that come as they come."""

    status: int = 200
    body: str | Iterable[str] = ""
    type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)

    def chunks(self) -> Iterable[bytes]:
        """Return the body as octets, piece by piece."""
        pieces: Iterable[str] = self.body
        if isinstance(self.body, str):
            pieces = (self.body,)
        return (piece.encode("utf-8", "replace") for piece in pieces)

    def header_list(self) -> list[tuple[str, str]]:
        """Return every header, the length too where it is known."""
        length = {}
        if isinstance(self.body, str):
            length = {"Content-Length": str(len(self.body.encode("utf-8", "replace")))}
        found = [*{"Content-Type": self.type, **self.headers, **length}.items()]
        return [*found, *(("Set-Cookie", cookie) for cookie in self.cookies)]


class Refusal(Exception):
    """A request that is not answered as it asks: a status, and the key of the sentence that says why."""

    def __init__(self, status: int, why: str, *, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.retry_after = status, why, retry_after


def read_form(content_type: str, length: int | None, read: Callable[[int], bytes]) -> Form:
    """Read a form, urlencoded or multipart, of at most ``LARGEST_BODY`` octets. ``read`` gives at most so many octets.

    Raises ``Refusal``: 413 for too much, 400 for what is no form.
    """
    if length is not None and length > LARGEST_BODY:
        raise Refusal(413, "too-large")
    body = read(LARGEST_BODY + 1 if length is None else length)
    if len(body) > LARGEST_BODY:
        raise Refusal(413, "too-large")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _multipart(content_type, body)
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(400, "no-form")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS, separator="&"
        )
    except ValueError:
        raise Refusal(400, "no-form") from None
    return checked(Form(dict(pairs)))


def checked(form: Form) -> Form:
    """Return a form whose files are small enough, or raise ``Refusal``."""
    if any(len(data) > LARGEST_FILE for data in form.files.values()):
        raise Refusal(413, "file-too-large")
    return form


def _multipart(content_type: str, body: bytes) -> Form:
    """Read RFC 7578 with the standard library's MIME parser; what is posted is small."""
    from email import message_from_bytes, policy

    if "\r" in content_type or "\n" in content_type:
        raise Refusal(400, "no-form")
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("ascii", "replace")
    parsed = message_from_bytes(head + body, policy=policy.HTTP)
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    parts = list(parsed.iter_parts())
    if not parts or len(parts) > _MOST_FIELDS:
        raise Refusal(400, "no-form")
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            raise Refusal(400, "no-form")
        if part.get_param("filename", header="content-disposition") is not None:
            if data:
                files[name] = data
            continue
        try:
            fields[name] = data.decode()
        except UnicodeDecodeError:
            raise Refusal(400, "no-form") from None
    return checked(Form(fields, files))
