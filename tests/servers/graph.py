"""Graph's mail, strictly as published: sendMail by MIME and by JSON, drafts, attachments, upload sessions; their limits
and error bodies.

What was sent is kept as ``Sent``: what a recipient gets, with attachments as size and digest, so that large messages
cost no memory here.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import hashlib
import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from servers.web import CUT, Reply, Request

if TYPE_CHECKING:
    from servers.microsoft import Microsoft

__all__ = ["Graph", "Sent", "failure"]

REQUEST_LIMIT = 4 * 1024 * 1024
ATTACHMENT_LIMIT = 3 * 1024 * 1024
RANGE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """An attachment: what it is called and a digest of what is in it."""

    name: str
    content_type: str
    size: int
    digest: str
    inline: bool = False
    cid: str | None = None


@dataclass
class Sent:
    """A message as it was accepted."""

    mailbox: str
    way: str  # mime, json, draft
    subject: str = ""
    sender: str = ""
    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    reply_to: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    message_id: str = ""
    text: str | None = None
    html: str | None = None
    files: list[File] = field(default_factory=list)
    saved: bool = True
    delivered: bytes = b""  # the octets without Bcc, where it came as MIME

    @property
    def recipients(self) -> list[str]:
        return [*self.to, *self.cc, *self.bcc]


@dataclass
class _Session:
    draft: str
    item: dict[str, Any]
    path: Path
    got: int = 0
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


def failure(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """Make an error body of Graph's."""
    inner = {"date": "2026-11-21T10:00:00", "request-id": str(uuid.uuid4()), "client-request-id": str(uuid.uuid4())}
    return Reply(status, {"error": {"code": code, "message": message, "innerError": inner}}, headers or {})


class Graph:
    """Answer ``/v1.0/…`` and ``/upload/…``. Settings are attributes."""

    def __init__(self, microsoft: Microsoft, directory: Path) -> None:
        self._microsoft = microsoft
        self._directory = directory
        self.sent: list[Sent] = []
        self.drafts: dict[str, Sent] = {}
        self.sessions: dict[str, _Session] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.send_as: set[str] = {"jan@contoso.com", "info@contoso.com", "jan@novak.cz"}
        self.size_limit = 150 * 1024 * 1024
        self.mime_drafts = True
        self.loses: bool | None = None  # the next answer never comes; whether the message was accepted all the same
        self.cut_ranges: list[int] = []  # after so many octets of a range the connection breaks, once each
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        if request.path.startswith("/upload/"):
            return self._upload(request)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if request.length > REQUEST_LIMIT:
            return failure(413, "RequestEntityTooLarge", "The request entity is too large.")
        owner, rest = self._owner(request)
        self.requests.append(f"{request.method} {rest} {request.headers.get('Content-Type', '')}".strip())
        try:
            return self._route(request, owner, rest)
        except Refusal as refused:
            return refused.reply

    def _refusal(self, request: Request) -> Reply | None:
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = self._microsoft.tokens.get(bearer)
        if kind != "Bearer" or token is None:
            return failure(401, "InvalidAuthenticationToken", "CompactToken parsing failed with error code: 80049217")
        if token.resource != "https://graph.microsoft.com":
            return failure(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
        if token.user is None and request.path.startswith("/v1.0/me/"):
            return failure(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        needed = "Mail.Send" if request.path.endswith(("/sendMail", "/send")) else "Mail.ReadWrite"
        if token.user is not None and self._owner(request)[0] != token.user:
            needed += ".Shared"
        if needed not in token.scopes and "roles" not in token.scopes:
            return failure(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        return None

    def _owner(self, request: Request) -> tuple[str, str]:
        token = self._microsoft.tokens[request.headers["Authorization"].partition(" ")[2]]
        parts = request.path.removeprefix("/v1.0/").split("/")
        if parts[0] == "me":
            return str(token.user), "/".join(parts[1:])
        return unquote(parts[1]), "/".join(parts[2:])

    def _route(self, request: Request, owner: str, rest: str) -> Reply:
        kind = request.headers.get("Content-Type", "").partition(";")[0]
        verb = f"{request.method} {re.sub('/draft-[0-9a-f]+', '/*', '/' + rest)}"
        found = re.search(r"draft-[0-9a-f]+", rest)
        draft = found[0] if found else ""
        if draft and draft not in self.drafts:
            return failure(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        match verb:
            case "POST /sendMail":
                made = (
                    self._from_mime(request, owner, "mime") if kind == "text/plain" else self._from_send(request, owner)
                )
                lost, self.loses = self.loses, None
                if lost is not False:
                    self._accept(made)
                if lost is not None:
                    return CUT
                return Reply(202, b"", {"request-id": str(uuid.uuid4())})
            case "POST /messages":
                if kind == "text/plain" and not self.mime_drafts:
                    return failure(415, "UnsupportedMediaType", "The content type 'text/plain' is not supported.")
                made = (
                    self._from_mime(request, owner, "draft")
                    if kind == "text/plain"
                    else self._from_json(_json(request), owner, "draft")
                )
                name = f"draft-{uuid.uuid4().hex}"
                self.drafts[name] = made
                return Reply(201, {"id": name, "isDraft": True, "internetMessageId": made.message_id})
            case "GET /messages":
                asked = re.fullmatch(r"internetMessageId eq '(.*)'", request.query.get("$filter", ""))
                wanted = asked[1].replace("''", "'") if asked else ""
                held = [
                    *((one, False) for one in self.sent if one.saved),
                    *((one, True) for one in self.drafts.values()),
                ]
                value = [{"id": "x", "isDraft": draft} for one, draft in held if one.message_id == wanted]
                return Reply(200, {"value": value})
            case "POST /messages/*/attachments":
                self.drafts[draft].files.append(_file(_json(request)))
                return Reply(201, {"id": uuid.uuid4().hex})
            case "POST /messages/*/attachments/createUploadSession":
                return self._create_session(_json(request), draft)
            case "POST /messages/*/send":
                if request.length:
                    return failure(400, "BadRequest", "This request has no body.")
                if any(session.draft == draft for session in self.sessions.values()):
                    return failure(400, "ErrorInvalidRequest", "An upload is not finished.")
                made = self.drafts[draft]
                self._accept(made)
                del self.drafts[draft]
                return Reply(202, b"", {"request-id": str(uuid.uuid4())})
            case "DELETE /messages/*":
                del self.drafts[draft]
                return Reply(204)
            case _:
                return failure(404, "ResourceNotFound", f"There is no {verb}.")

    def _accept(self, made: Sent) -> None:
        if not made.recipients:
            raise Refusal(
                400,
                "ErrorInvalidRecipients",
                "At least one recipient isn't valid., The message contains no recipients.",
            )
        if made.sender.lower() not in self.send_as:
            raise Refusal(
                403,
                "ErrorSendAsDenied",
                "The user account which was used to submit this request does not have the right.",
            )
        if sum(file.size for file in made.files) * 4 // 3 > self.size_limit:
            raise Refusal(400, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")
        with self._lock:
            self.sent.append(made)

    def _from_mime(self, request: Request, owner: str, way: str) -> Sent:
        try:
            data = base64.b64decode(_whole(request), validate=True)
        except binascii.Error:
            raise Refusal(
                400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."
            ) from None
        if not data:
            raise Refusal(400, "ErrorMimeContentInvalid", "The MIME content is empty.")
        parsed = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        head, _, rest = data.partition(b"\r\n\r\n")
        made = Sent(
            owner, way, delivered=re.sub(rb"(?im)^bcc:.*\r\n([ \t].*\r\n)*", b"", head + b"\r\n") + b"\r\n" + rest
        )
        made.subject = str(parsed["Subject"] or "")
        made.sender = _addresses(parsed, "From")[0] if parsed["From"] else owner
        made.to, made.cc, made.bcc, made.reply_to = (
            _addresses(parsed, name) for name in ("To", "Cc", "Bcc", "Reply-To")
        )
        made.message_id = str(parsed["Message-ID"] or "")
        made.headers = [(name, str(value)) for name, value in parsed.items()]
        for part in parsed.walk():
            if part.is_multipart():
                continue
            cid = str(part["Content-ID"] or "").strip("<>") or None
            if part.get_filename() or part.get_content_disposition() == "attachment" or cid:
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                inline = part.get_content_disposition() == "inline" or (
                    cid is not None and part.get_content_disposition() is None
                )
                made.files.append(_made(part.get_filename() or "", part.get_content_type(), content, inline, cid))
            elif part.get_content_type() == "text/html":
                made.html = part.get_content()
            elif made.text is None:
                made.text = part.get_content()
        return made

    def _from_send(self, request: Request, owner: str) -> Sent:
        body = _json(request)
        if set(body) - {"message", "saveToSentItems"}:
            raise Refusal(400, "BadRequest", "Unknown parameter.")
        made = self._from_json(body["message"], owner, "json")
        made.saved = bool(body.get("saveToSentItems", True))
        return made

    def _from_json(self, body: dict[str, Any], owner: str, way: str) -> Sent:
        known = {
            "subject",
            "body",
            "toRecipients",
            "ccRecipients",
            "bccRecipients",
            "replyTo",
            "from",
            "sender",
            "internetMessageId",
            "internetMessageHeaders",
            "attachments",
            "importance",
        }
        if set(body) - known:
            raise Refusal(
                400, "RequestBodyRead", f"The property '{(set(body) - known).pop()}' does not exist on type 'message'."
            )
        made = Sent(owner, way, subject=body.get("subject", ""), message_id=body.get("internetMessageId", ""))
        for attribute, name in (
            ("to", "toRecipients"),
            ("cc", "ccRecipients"),
            ("bcc", "bccRecipients"),
            ("reply_to", "replyTo"),
        ):
            setattr(made, attribute, [one["emailAddress"]["address"] for one in body.get(name, [])])
        made.sender = body["from"]["emailAddress"]["address"] if "from" in body else owner
        made.headers = [(one["name"], one["value"]) for one in body.get("internetMessageHeaders", [])]
        if len(made.headers) > 5 or any(not name.lower().startswith("x-") for name, _ in made.headers):
            raise Refusal(
                400, "InvalidInternetMessageHeader", "The internet message header name should start with 'x-' or 'X-'."
            )
        content = body.get("body", {"contentType": "text", "content": ""})
        if content["contentType"].lower() == "html":
            made.html = content["content"]
        else:
            made.text = content["content"]
        made.files = [_file(one) for one in body.get("attachments", [])]
        return made

    def _create_session(self, body: dict[str, Any], draft: str) -> Reply:
        item = body["AttachmentItem"]
        if (
            set(item) - {"attachmentType", "contentType", "isInline", "contentId", "name", "size"}
            or item["attachmentType"] != "file"
        ):
            raise Refusal(400, "RequestBodyRead", "Unknown property of attachmentItem.")
        # whether 3 MB means 3,000,000 or 3 MiB is published nowhere: sessions are for both
        if item["size"] < 3_000_000 or item["size"] > 150 * 1024 * 1024:
            raise Refusal(
                400, "ErrorAttachmentSizeLimitExceeded", "An upload session is for attachments of 3 MB to 150 MB."
            )
        session = _Session(draft, item, self._directory / uuid.uuid4().hex)
        self.sessions[session.path.name] = session
        url = f"{self._microsoft.url}/upload/{session.path.name}?authtoken={session.token}"
        self._microsoft.secrets.add(session.token)
        return Reply(
            201, {"uploadUrl": url, "expirationDateTime": "2026-11-21T12:00:00Z", "nextExpectedRanges": ["0-"]}
        )

    def _upload(self, request: Request) -> Reply:
        session = self.sessions.get(request.path.removeprefix("/upload/"))
        if session is None or request.query.get("authtoken") != session.token:
            return failure(404, "uploadSessionNotFound", "The upload session was not found")
        if "Authorization" in request.headers:
            return failure(401, "InvalidAuthenticationToken", "Do not send an Authorization header with an upload.")
        if request.method == "GET":
            return Reply(200, {"expirationDateTime": "2026-11-21T12:00:00Z", "nextExpectedRanges": [str(session.got)]})
        if request.method == "DELETE":
            del self.sessions[session.path.name]
            return Reply(204)
        matched = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", request.headers.get("Content-Range", ""))
        if not matched:
            return failure(400, "invalidRange", "The Content-Range header is missing or wrong.")
        first, last, total = map(int, matched.groups())
        if last - first + 1 != request.length or total != session.item["size"] or request.length > RANGE_LIMIT:
            return failure(400, "invalidRange", "The range does not fit.")
        if first != session.got:
            return failure(
                416, "fragmentOutOfOrder" if first > session.got else "fragmentOverlap", "Not the expected range."
            )
        if last + 1 != total and request.length % (320 * 1024):
            return failure(400, "invalidRange", "A range must be a multiple of 320 KiB.")
        limit = self.cut_ranges.pop(0) if self.cut_ranges else None
        with session.path.open("ab") as file:
            while request.left and (limit is None or limit > 0):
                block = request.read(65_536 if limit is None else min(limit, 65_536))
                if not block:
                    break
                file.write(block)
                session.got += len(block)
                limit = None if limit is None else limit - len(block)
        if request.left:
            session.got -= session.got % (320 * 1024)
            with session.path.open("r+b") as file:
                file.truncate(session.got)
            return CUT
        self.ranges.append(f"{first}-{last}/{total}")
        if session.got < total:
            return Reply(200, {"expirationDateTime": "2026-11-21T12:00:00Z", "nextExpectedRanges": [str(session.got)]})
        with session.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        session.path.unlink()
        item = session.item
        made = File(
            item["name"], item.get("contentType", ""), total, digest, item.get("isInline", False), item.get("contentId")
        )
        self.drafts[session.draft].files.append(made)
        del self.sessions[request.path.removeprefix("/upload/")]
        return Reply(201, b"", {"Location": f"{self._microsoft.url}/v1.0/attachments/{uuid.uuid4().hex}"})


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.reply = failure(status, code, message)


def _whole(request: Request) -> bytes:
    data = request.read()
    if not request.whole:
        raise ConnectionResetError("the client hung up in the middle of its request")
    return data


def _json(request: Request) -> Any:
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        raise Refusal(415, "UnsupportedMediaType", "The content type is not supported.")
    try:
        return json.loads(_whole(request))
    except ValueError:
        raise Refusal(400, "RequestBodyRead", "The JSON cannot be read.") from None


def _file(body: dict[str, Any]) -> File:
    if body.get("@odata.type") != "#microsoft.graph.fileAttachment":
        raise Refusal(400, "RequestBodyRead", "The type of the attachment is missing.")
    content = base64.b64decode(body["contentBytes"], validate=True)
    if len(content) > ATTACHMENT_LIMIT:
        raise Refusal(413, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large for one request.")
    return _made(body["name"], body.get("contentType", ""), content, body.get("isInline", False), body.get("contentId"))


def _made(name: str, kind: str, content: bytes, inline: bool, cid: str | None) -> File:
    return File(name, kind, len(content), hashlib.sha256(content).hexdigest(), inline, cid)


def _addresses(parsed: EmailMessage, name: str) -> list[str]:
    return [address for _, address in getaddresses([str(value) for value in parsed.get_all(name, [])]) if address]
