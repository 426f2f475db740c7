"""A strict fake of Google: sign-in, tokens, revocation and Gmail's upload, over HTTPS; it refuses what Google refuses,
in Google's words.

Written after developers.google.com/identity/protocols/oauth2/native-app and …/service-account, and the Gmail API's
guides to uploads and errors. ``consent`` decides what the person at the browser does, ``faults`` are taken one by one
by the requests that carry a message, and everything that came in is kept: ``messages``, ``token_requests``,
``requests``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.utils import getaddresses
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import jwt

from servers.web import CUT, Authority, Reply, Request, WebServer

__all__ = ["Google", "answer", "api_error", "cut_after", "cut_before_answer", "keep_only", "swallow", "when_asked"]

SEND = "https://www.googleapis.com/auth/gmail.send"
MAIL = "https://mail.google.com/"
LONG = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}
SCOPES = {"openid", "email", "profile", SEND, MAIL}
UPLOAD = "/upload/gmail/v1/users/me/messages/send"
QUANTUM = 256 * 1024
LIMIT = 36_700_160

Fault = Callable[["Google", Request], Reply | None]


@dataclass
class Token:
    """One access or refresh token."""

    user: str
    scopes: tuple[str, ...]
    client_id: str
    expires_at: float = 0.0


@dataclass
class Upload:
    """One resumable upload: only its size is promised, only multiples of 256 KiB are kept before the end."""

    token: Token
    total: int
    data: bytearray = field(default_factory=bytearray)
    answer: dict[str, Any] | None = None


@dataclass
class Arrived:
    """One accepted message: as uploaded, as the recipients get it (without Bcc), and to whom it goes."""

    raw: bytes
    delivered: bytes
    recipients: list[str]
    user: str


class Google:
    """Serve as Google on loopback; use as a context manager."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.web = WebServer(self._answer, authority)
        self.client_id, self.client_secret = (
            "1234-abc.apps.googleusercontent.com",
            "GOCSPX-" + secrets.token_urlsafe(18),
        )
        self.users = {"me@gmail.com", "jan@novak.cz"}
        self.consent: Callable[[dict[str, str]], dict[str, Any]] = lambda asked: {}
        self.testing = False
        self.refresh_token_issued = True
        self.codes: dict[str, dict[str, str]] = {}
        self.access: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.keys: dict[str, str] = {}  # service account → public key
        self.delegated: set[tuple[str, str]] = set()  # (service account, scope)
        self.uploads: dict[str, Upload] = {}
        self.messages: list[Arrived] = []
        self.token_requests: list[dict[str, str]] = []
        self.faults: deque[Fault] = deque()
        self.token_faults: deque[Reply] = deque()
        self.expires_in = 3599
        self.secrets: set[str] = {self.client_secret}  # all that must never be seen anywhere

    def __enter__(self) -> Google:
        self.web.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.web.__exit__(*exc)

    # -- for the tests -----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.web.url

    @property
    def requests(self) -> list[str]:
        return self.web.requests

    def client_secrets(self, **changes: Any) -> dict[str, Any]:
        """Return the JSON that the console hands out for a desktop client."""
        return {
            "installed": {
                "client_id": self.client_id,
                "project_id": "franking-test",
                "auth_uri": f"{self.url}/o/oauth2/v2/auth",
                "token_uri": f"{self.url}/token",
                "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
                "client_secret": self.client_secret,
                "redirect_uris": ["http://localhost"],
                **changes,
            }
        }

    def service_account(self, *, scopes: tuple[str, ...] = ()) -> dict[str, Any]:
        """Make a service account with its key; ``scopes`` are delegated to it."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        email = "sender@franking-test.iam.gserviceaccount.com"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        self.keys[email] = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        self.delegated |= {(email, scope) for scope in scopes}
        return {
            "type": "service_account",
            "project_id": "franking-test",
            "private_key_id": "k1",
            "private_key": private,
            "client_email": email,
            "client_id": "108",
            "token_uri": f"{self.url}/token",
        }

    def give_access(
        self, user: str = "me@gmail.com", scopes: tuple[str, ...] = (SEND,), *, lifetime: float = 3600
    ) -> str:
        """Return an access token without a sign-in."""
        token = "ya29." + secrets.token_urlsafe(120)
        self.access[token] = Token(user, scopes, self.client_id, time.time() + lifetime)
        self.secrets.add(token)
        return token

    def give_refresh(self, user: str = "me@gmail.com", scopes: tuple[str, ...] = ("openid", "email", SEND)) -> str:
        """Return a refresh token without a sign-in."""
        token = "1//0" + secrets.token_urlsafe(70)
        self.refresh[token] = Token(user, scopes, self.client_id)
        self.secrets.add(token)
        return token

    # -- routing -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/o/oauth2/v2/auth":
                return self._authorize(request.query)
            case "POST", "/token":
                return self._token(request)
            case "POST", "/revoke":
                return self._revoke(request.form())
            case "POST", _ if request.path == UPLOAD:
                return self._send(request)
            case "PUT", _ if request.path == UPLOAD:
                return self._put(request)
        return Reply(404, b"Not Found")

    # -- sign-in -----------------------------------------------------------------------------------------------------

    def _authorize(self, asked: dict[str, str]) -> Reply:
        redirect = urlsplit(asked.get("redirect_uri", ""))
        if asked.get("client_id") != self.client_id:
            return _page(401, "invalid_client", "The OAuth client was not found.")
        if redirect.scheme != "http" or redirect.hostname not in ("127.0.0.1", "localhost") or not redirect.port:
            return _page(400, "redirect_uri_mismatch", "")
        if asked.get("response_type") != "code" or not asked.get("state"):
            return _page(400, "invalid_request", "Required parameter is missing: response_type")
        if asked.get("code_challenge_method") != "S256" or not re.fullmatch(
            r"[A-Za-z0-9_-]{43}", asked.get("code_challenge", "")
        ):
            return _page(400, "invalid_request", "code_challenge")
        scopes = asked.get("scope", "").split()
        if not scopes or not set(scopes) <= SCOPES:
            return _page(400, "invalid_scope", "Some requested scopes were invalid.")
        decided = self.consent(asked)
        back: dict[str, str] = {"state": asked["state"]}
        if "error" in decided:
            back |= {"error": decided["error"]}
        else:
            code = "4/0A" + secrets.token_urlsafe(50)
            self.secrets.add(code)
            user = decided.get("user") or asked.get("login_hint") or "me@gmail.com"
            granted = [scope for scope in scopes if scope not in decided.get("unticked", ())]
            self.codes[code] = {
                "user": user,
                "scope": " ".join(granted),
                "challenge": asked["code_challenge"],
                "redirect_uri": asked["redirect_uri"],
                "offline": str(asked.get("access_type") == "offline" and asked.get("prompt") == "consent"),
            }
            back |= {"code": code, "scope": " ".join(_long(granted)), "authuser": "0", "prompt": "consent"}
        return Reply(302, headers={"Location": f"{asked['redirect_uri']}?{urlencode(back)}"})

    def _token(self, request: Request) -> Reply:
        if self.token_faults:
            request.read()
            return self.token_faults.popleft()
        form = request.form()
        basic = request.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            name, _, password = base64.b64decode(basic[6:]).decode().partition(":")
            form |= {"client_id": unquote(name), "client_secret": unquote(password)}
        self.token_requests.append(form)
        self.secrets |= {form[key] for key in ("code_verifier", "assertion") if form.get(key)}
        kind = form.get("grant_type")
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self._delegated(form.get("assertion", ""))
        if form.get("client_id") != self.client_id:
            return _oauth(401, "invalid_client", "The OAuth client was not found.")
        if form.get("client_secret") != self.client_secret:
            return _oauth(401, "invalid_client", "The provided client secret is invalid.")
        if kind == "authorization_code":
            return self._redeem(form)
        if kind == "refresh_token":
            known = self.refresh.get(form.get("refresh_token", ""))
            if known is None:
                return _oauth(400, "invalid_grant", "Token has been expired or revoked.")
            return Reply(200, self._issue(known.user, known.scopes))
        return _oauth(400, "unsupported_grant_type", f"Invalid grant_type: {kind}")

    def _redeem(self, form: dict[str, str]) -> Reply:
        code = self.codes.pop(form.get("code", ""), None)
        if code is None:
            return _oauth(400, "invalid_grant", "Malformed auth code.")
        if form.get("redirect_uri") != code["redirect_uri"]:
            return _oauth(400, "redirect_uri_mismatch", "Bad Request")
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        if not 43 <= len(verifier) <= 128 or digest != code["challenge"]:
            return _oauth(400, "invalid_grant", "Invalid code verifier.")
        scopes = tuple(code["scope"].split())
        answer = self._issue(code["user"], scopes)
        if code["offline"] == "True" and self.refresh_token_issued:
            answer["refresh_token"] = self.give_refresh(code["user"], scopes)
            if self.testing:
                answer["refresh_token_expires_in"] = 604799
        return Reply(200, answer)

    def _issue(self, user: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": self.give_access(user, scopes, lifetime=self.expires_in),
            "expires_in": self.expires_in,
            "scope": " ".join(_long(scopes)),
            "token_type": "Bearer",
        }
        if "openid" in scopes:
            claims = {
                "iss": "https://accounts.google.com",
                "aud": self.client_id,
                "sub": "1",
                "exp": int(time.time()) + 3600,
            }
            if "email" in scopes:
                claims |= {"email": user, "email_verified": True}
            answer["id_token"] = jwt.encode(claims, "k" * 32, algorithm="HS256")
        return answer

    def _delegated(self, assertion: str) -> Reply:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False})["iss"]
            claims = jwt.decode(
                assertion, self.keys[issuer], algorithms=["RS256"], audience=["https://oauth2.googleapis.com/token"]
            )
        except KeyError:
            return _oauth(400, "invalid_grant", "Invalid grant: account not found")
        except jwt.InvalidSignatureError:
            return _oauth(400, "invalid_grant", "Invalid JWT Signature.")
        except jwt.PyJWTError:
            return _oauth(
                400,
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            )
        scopes = tuple(claims["scope"].split())
        if "sub" not in claims or any((issuer, scope) not in self.delegated for scope in scopes):
            return _oauth(
                401,
                "unauthorized_client",
                (
                    "Client is unauthorized to retrieve access tokens using this method, or client not authorized for "
                    "any of the scopes requested."
                ),
            )
        if claims["sub"] not in self.users:
            return _oauth(400, "invalid_grant", "Invalid email or User ID")
        answer = self._issue(claims["sub"], scopes)
        del answer["scope"]
        return Reply(200, answer)

    def _revoke(self, form: dict[str, str]) -> Reply:
        known = self.refresh.get(form.get("token", "")) or self.access.get(form.get("token", ""))
        if known is None:
            return _oauth(400, "invalid_token", "Token expired or revoked")
        for tokens in (self.refresh, self.access):
            for name in [
                name for name, token in tokens.items() if (token.user, token.client_id) == (known.user, known.client_id)
            ]:
                del tokens[name]
        return Reply(200, {})

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(self, request: Request) -> Reply:
        token = self._bearer(request)
        if isinstance(token, Reply):
            return token
        if request.query.get("uploadType") == "resumable":
            return self._start(request, token)
        if not (request.headers.get("Content-Type") or "").startswith("message/"):
            return api_error(
                400,
                "badRequest",
                "Media type 'application/octet-stream' is not supported. Valid media types: [message/*]",
            )
        if request.length > LIMIT:
            return api_error(413, "uploadTooLarge", "Request Entity Too Large")
        if self.faults and (fault := self.faults.popleft()(self, request)) is not None:
            return fault
        return self._accept(request.read(), token)

    def _start(self, request: Request, token: Token) -> Reply:
        if not (request.headers.get("X-Upload-Content-Type") or "").startswith("message/"):
            return api_error(400, "badRequest", "Media type is not supported. Valid media types: [message/*]")
        total = int(request.headers.get("X-Upload-Content-Length", "0"))
        if total > LIMIT:
            return api_error(413, "uploadTooLarge", "Request Entity Too Large")
        request.read()
        name = secrets.token_urlsafe(60)
        self.secrets.add(name)  # an upload's address is its own key
        self.uploads[name] = Upload(token, total)
        return Reply(
            200,
            b"",
            {"Location": f"{self.url}{UPLOAD}?uploadType=resumable&upload_id={name}", "X-GUploader-UploadID": name},
        )

    def _put(self, request: Request) -> Reply:
        upload = self.uploads.get(request.query.get("upload_id", ""))
        if upload is None:
            return Reply(404, b"Not Found")
        span = request.headers.get("Content-Range", "")
        if span == f"bytes */{upload.total}":
            if self.faults and getattr(self.faults[0], "asked", False):
                return self.faults.popleft()(self, request) or Reply(500)
            return Reply(200, upload.answer) if upload.answer else _incomplete(upload)
        found = re.fullmatch(rf"bytes (\d+)-(\d+)/{upload.total}", span)
        if found is None or upload.answer:
            return Reply(400, b"Failed to parse Content-Range header.")
        first, last = int(found[1]), int(found[2])
        if first != len(upload.data) or last - first + 1 != request.length or last >= upload.total:
            return Reply(503, b"Invalid request.  There were %d byte(s) in the request body." % request.length)
        if last + 1 != upload.total and request.length % QUANTUM:
            return Reply(
                400, b"Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144"
            )
        if self.faults and not getattr(self.faults[0], "asked", False):
            fault = self.faults.popleft()(self, request)
            if fault is not None:
                return fault
        upload.data += request.read()
        return self._finish(upload) if len(upload.data) == upload.total else _incomplete(upload)

    def _finish(self, upload: Upload) -> Reply:
        reply = self._accept(bytes(upload.data), upload.token)
        if reply.status == 200:
            upload.answer = reply.body
        upload.data = bytearray(0) if reply.status != 200 else upload.data
        return reply

    def _bearer(self, request: Request) -> Token | Reply:
        words = (request.headers.get("Authorization") or "").split()
        token = self.access.get(words[1]) if len(words) == 2 and words[0] == "Bearer" else None
        if token is None or token.expires_at < time.time():
            return api_error(
                401,
                "authError",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
                "other valid authentication "
                "credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
                status="UNAUTHENTICATED",
            )
        if not set(token.scopes) & {SEND, MAIL}:
            return api_error(
                403,
                "insufficientPermissions",
                "Request had insufficient authentication scopes.",
                status="PERMISSION_DENIED",
                info="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            )
        return token

    def _accept(self, raw: bytes, token: Token) -> Reply:
        head, _, body = raw.partition(b"\r\n\r\n")
        parsed = message_from_bytes(head + b"\r\n\r\n")
        lines = [str(value) for name in ("To", "Cc", "Bcc") for value in parsed.get_all(name, [])]
        recipients = [address for _, address in getaddresses(lines) if address]
        if not recipients:
            return api_error(400, "invalidArgument", "Recipient address required", status="INVALID_ARGUMENT")
        if any("@" not in address for address in recipients):
            return api_error(400, "invalidArgument", "Invalid To header", status="INVALID_ARGUMENT")
        if len(recipients) > 100:
            return api_error(400, "invalidArgument", "Too many recipients", status="INVALID_ARGUMENT")
        delivered = re.sub(rb"(?im)^bcc:.*\r\n(?:[ \t].*\r\n)*", b"", head + b"\r\n") + b"\r\n" + body
        self.messages.append(Arrived(raw, delivered, recipients, token.user))
        name = secrets.token_hex(8)
        return Reply(200, {"id": name, "threadId": name, "labelIds": ["SENT"]})


def _incomplete(upload: Upload) -> Reply:
    kept = len(upload.data)
    return Reply(308, b"", {"Range": f"bytes=0-{kept - 1}"} if kept else {})


def _long(scopes: list[str] | tuple[str, ...]) -> list[str]:
    return [LONG.get(scope, scope) for scope in scopes]


def _oauth(status: int, error: str, description: str) -> Reply:
    return Reply(status, {"error": error, "error_description": description})


def _page(status: int, error: str, text: str) -> Reply:
    return Reply(
        status,
        f"<!doctype html><title>Error {status}: {error}</title><p>{text}".encode(),
        {"Content-Type": "text/html"},
    )


def api_error(
    code: int, reason: str, message: str, *, status: str = "", info: str = "", headers: dict[str, str] | None = None
) -> Reply:
    """Make an error answer in the form of Google's APIs: the older ``errors`` with the newer ``status`` and
    ``details``.
    """
    error: dict[str, Any] = {
        "code": code,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
    }
    if status:
        error["status"] = status
    if info:
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info, "domain": "googleapis.com"}
        ]
    return Reply(code, {"error": error}, headers or {})


# -- faults: what may happen to a request that carries a message -------------------------------------------------------


def answer(reply: Reply) -> Fault:
    """Read the whole message, forget it, and answer so."""

    def fault(google: Google, request: Request) -> Reply:
        request.read()
        return reply

    return fault


def swallow(google: Google, request: Request) -> Reply:
    """Take the whole message, deliver it, and close without an answer."""
    data = request.read()
    upload = google.uploads.get(request.query.get("upload_id", ""))
    if upload is None:
        google._accept(data, Token("me@gmail.com", (SEND,), google.client_id))
    else:
        upload.data += data
        if len(upload.data) == upload.total:
            google._finish(upload)
    return CUT


def cut_before_answer(google: Google, request: Request) -> Reply:
    """Take the whole message, keep nothing, and close without an answer."""
    request.read()
    return CUT


def cut_after(octets: int) -> Fault:
    """Close after so many octets of a chunk; what fills 256 KiB is kept."""

    def fault(google: Google, request: Request) -> Reply:
        upload = google.uploads[request.query["upload_id"]]
        upload.data += request.read(octets)[: octets // QUANTUM * QUANTUM]
        return CUT

    return fault


def keep_only(octets: int) -> Fault:
    """Read a whole chunk and keep only its beginning."""

    def fault(google: Google, request: Request) -> Reply:
        upload = google.uploads[request.query["upload_id"]]
        upload.data += request.read()[:octets]
        return _incomplete(upload)

    return fault


def when_asked(reply: Reply) -> Fault:
    """Answer so when the client asks how far an upload came."""

    def fault(google: Google, request: Request) -> Reply:
        return reply

    fault.asked = True  # type: ignore[attr-defined]
    return fault
