"""A strict stand-in for Microsoft on loopback: Entra ID's sign-in endpoints here, Graph's mail in ``graph.py``, both on
one HTTPS server.

It refuses what Entra ID refuses, with the documented bodies (AADSTS numbers, trace and correlation ids): PKCE, redirect
URI, one resource for each token, codes used twice, rotated refresh tokens. ``browser`` plays the person at the sign-in
page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from servers.graph import Graph
from servers.web import Authority, Reply, Request, WebServer

__all__ = ["CLIENT", "GRAPH", "OUTLOOK", "TENANT", "Microsoft", "Token"]

CLIENT = "11111111-2222-3333-4444-555555555555"
TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GRAPH = "https://graph.microsoft.com"
OUTLOOK = "https://outlook.office.com"
_RESOURCES = (GRAPH, OUTLOOK, "https://outlook.office365.com")
_PAGE = (
    "<html><body>AADSTS50011: The redirect URI '{}' specified in the request does not match the redirect URIs "
    "configured for the application '{}'. Make sure the redirect URI sent in the request matches one "
    "added to your application in the Azure portal.</body></html>"
)
_OIDC = {"openid", "profile", "offline_access", "email"}


@dataclass
class Token:
    """What an access token stands for."""

    resource: str
    scopes: tuple[str, ...]
    user: str | None  # None for app-only
    expires: float


@dataclass
class _Code:
    challenge: str
    redirect_uri: str
    nonce: str
    scopes: set[str]
    user: str


@dataclass
class _Device:
    scopes: set[str]
    approved: bool = False
    declined: bool = False


@dataclass
class Problem:
    """A refusal as Entra ID words it."""

    error: str
    number: int
    text: str = "Something was refused."
    suberror: str = ""
    status: int = 400
    extra: dict[str, Any] = field(default_factory=dict)

    def reply(self) -> Reply:
        trace, correlation, stamp = str(uuid.uuid4()), str(uuid.uuid4()), "2026-11-21 10:00:00Z"
        body = {
            "error": self.error,
            "error_description": (
                f"AADSTS{self.number}: {self.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
            ),
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
            **({"suberror": self.suberror} if self.suberror else {}),
            **self.extra,
        }
        return Reply(self.status, body)


class Microsoft:
    """Entra ID and Graph; use as a context manager. Settings are attributes that a test changes before it acts."""

    def __init__(self, directory: Path, *, authority: Authority | None = None) -> None:
        self.ca = authority or Authority(directory)
        self.user = "jan@contoso.com"
        self.public_client_flows = True
        self.redirect_uris = {"http://localhost"}
        self.personal_accounts = True  # among those that the app admits
        self.secret: str | None = None
        self.certificate: bytes | None = None
        self.rotate = True  # an old refresh token dies when it is used
        self.expires_in = 3600
        self.declines = False
        self.declines_codes = False
        self.approves = False  # device codes are typed at once
        self.admin_only: set[str] = set()  # names of scopes that need an administrator
        self.unknown_scopes: set[str] = set()  # names of scopes that the tenant does not have
        self.consented: set[str] = set()
        self.interval = 1
        self.device_message: str | None = (
            "To sign in, use a web browser to open the page https://localhost/link and enter the code {code}."
        )
        self.polls: list[str] = []
        self.answers: list[tuple[str, Reply]] = []  # (path ending, reply): given once each instead of the real answer
        self.token_requests: list[str] = []
        self.tokens: dict[str, Token] = {}
        self.secrets: set[str] = set()  # all that must never be seen anywhere
        self.refresh_tokens: dict[str, str] = {}
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self._lock = threading.Lock()
        self.server = WebServer(self._answer, self.ca)
        self.url = self.server.url
        self.authority = f"{self.url}/{TENANT}"
        self.graph = Graph(self, directory)

    def __enter__(self) -> Microsoft:
        self.server.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.__exit__(*exc)

    # -- for tests -----------------------------------------------------------------------------------------------------

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of an account that lives here."""
        return {
            "client_id": CLIENT,
            "authority": self.authority,
            "graph_endpoint": self.url,
            "ca_file": self.ca.ca_file,
            "timeout": 10,
            **more,
        }

    def issue(self, *scopes: str, user: str | None = "", resource: str = GRAPH) -> str:
        """Issue an access token, about as long as a real one; by default for the user."""
        token = "EwB" + secrets.token_urlsafe(1_500)
        self.tokens[token] = Token(resource, scopes, self.user if user == "" else user, time.time() + self.expires_in)
        self.secrets.add(token)
        return token

    def approve(self) -> None:
        """Let the person type the device code."""
        for device in self._devices.values():
            device.approved = True

    def decline(self) -> None:
        for device in self._devices.values():
            device.declined = True

    def browser(self, url: str) -> requests.Response | None:
        """Play browser and person: open the sign-in page, decide, and carry the answer to the redirect URI (None where
        that is dead).
        """
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, verify=self.ca.ca_file, allow_redirects=False, timeout=10)
            if answer.status_code == 302:
                return session.get(answer.headers["Location"], timeout=10)
            form = answer.json()
            return session.post(form["action"], data=form["fields"], timeout=10)

    def address_line(self, url: str) -> str:
        """Return what the browser's address line shows after the sign-in, when the redirect URI leads nowhere."""
        answer = requests.get(url, verify=self.ca.ca_file, allow_redirects=False, timeout=10)
        return answer.headers["Location"]

    # -- the wire ------------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            for index, (ending, reply) in enumerate(self.answers):
                if request.path.endswith(ending):
                    del self.answers[index]
                    request.read()
                    return reply
        if request.path.startswith(("/v1.0/", "/upload/")):
            return self.graph.answer(request)
        tenant, _, rest = request.path.strip("/").partition("/")
        verbs: dict[str, Callable[[Request], Reply]] = {
            "oauth2/v2.0/authorize": self._authorize,
            "oauth2/v2.0/token": self._token,
            "oauth2/v2.0/devicecode": self._devicecode,
        }
        if rest in (".well-known/openid-configuration", "v2.0/.well-known/openid-configuration"):
            return self._discovery(tenant)
        with self._lock:
            return verbs[rest](request) if rest in verbs else Reply(404)

    def _discovery(self, tenant: str) -> Reply:
        if tenant not in (TENANT, "common", "consumers", "organizations"):
            return Problem("invalid_tenant", 90002, f"Tenant '{tenant}' not found.").reply()
        base = f"{self.url}/{tenant}"
        return Reply(
            200,
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "response_modes_supported": ["query", "fragment", "form_post"],
            },
        )

    def _authorize(self, request: Request) -> Reply:
        asked = request.query
        redirect = urlsplit(asked["redirect_uri"])
        if asked["client_id"] != CLIENT:
            return Reply(400, b"AADSTS700016: Application was not found in the directory.")
        if f"{redirect.scheme}://{redirect.hostname}{redirect.path}" not in self.redirect_uris:  # the port is free
            return Reply(400, _PAGE.format(asked["redirect_uri"], CLIENT).encode())
        scopes = set(asked["scope"].split())
        problem = None
        if (
            asked.get("response_type") != "code"
            or asked.get("code_challenge_method") != "S256"
            or not asked.get("code_challenge")
        ):
            problem = Problem("invalid_request", 9002325, "Proof Key for Code Exchange is required.")
        elif not asked.get("nonce") or "openid" not in scopes:
            problem = Problem("invalid_request", 900144, "The request must contain: 'nonce'.")
        elif self._names(scopes) & self.unknown_scopes:
            problem = Problem(
                "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid."
            )
        elif self._names(scopes) & self.admin_only:
            problem = Problem(
                "access_denied", 90094, "Admin consent is required for the permissions requested by this application."
            )
        elif asked.get("prompt") == "none":
            text = "A silent sign-in request was sent but no user is signed in."
            problem = Problem("login_required", 50058, text)
        elif self.declines:
            problem = Problem("access_denied", 65004, "User declined to consent to access the app.")
        fields = {"state": asked["state"], "session_state": str(uuid.uuid4())}
        if problem is not None:
            body = problem.reply().body
            fields |= {"error": body["error"], "error_description": body["error_description"]}
        else:
            self.consented |= self._names(scopes)
            code = "0.A" + secrets.token_urlsafe(600)
            self.secrets.add(code)
            self._codes[code] = _Code(asked["code_challenge"], asked["redirect_uri"], asked["nonce"], scopes, self.user)
            fields = {"code": code, **fields}  # in this order, as Entra ID does
        if asked.get("response_mode") == "form_post":
            return Reply(200, {"action": asked["redirect_uri"], "fields": fields})
        return Reply(302, headers={"Location": f"{asked['redirect_uri']}/?{urlencode(fields)}"})

    def _devicecode(self, request: Request) -> Reply:
        asked = request.form()
        scopes = set(asked["scope"].split())
        problem = self._one_resource(scopes)
        if asked.get("client_id") != CLIENT:
            problem = Problem("unauthorized_client", 700016, "Application was not found in the directory.")
        elif not self.personal_accounts and request.path.startswith("/consumers/"):
            text = "Application is configured for use by Azure Active Directory users only."
            problem = Problem("unauthorized_client", 9002332, text)
        elif self._names(scopes) & self.unknown_scopes:
            problem = Problem("invalid_scope", 70011, "The provided value for the input parameter 'scope' is invalid.")
        if problem:
            return problem.reply()
        code, user_code = secrets.token_urlsafe(120), "CANARYCODE"
        self.secrets.add(code)
        self._devices[code] = _Device(set(asked["scope"].split()), approved=self.approves)
        body = {
            "user_code": user_code,
            "device_code": code,
            "verification_uri": "https://localhost/link",
            "expires_in": 900,
            "interval": self.interval,
        }
        if self.device_message is not None:
            body["message"] = self.device_message.format(code=user_code)
        return Reply(200, body)

    def _token(self, request: Request) -> Reply:
        asked = request.form()
        self.token_requests.append(asked["grant_type"])
        if asked.get("client_id") != CLIENT:
            return Problem(
                "unauthorized_client", 700016, "Application with identifier was not found in the directory."
            ).reply()
        grants: dict[str, Callable[[dict[str, str]], Reply]] = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            "client_credentials": self._by_client,
            "urn:ietf:params:oauth:grant-type:device_code": self._by_device,
        }
        return grants[asked["grant_type"]](asked)

    def _by_code(self, asked: dict[str, str]) -> Reply:
        known = self._codes.pop(asked["code"], None)
        if known is None:
            return Problem("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.").reply()
        self.secrets.add(asked["code_verifier"])
        digest = base64.urlsafe_b64encode(hashlib.sha256(asked["code_verifier"].encode()).digest()).decode().rstrip("=")
        if digest != known.challenge:
            return Problem("invalid_grant", 501481, "The Code_Verifier does not match the code_challenge.").reply()
        if asked["redirect_uri"] != known.redirect_uri:
            return Problem("invalid_grant", 50011, "The redirect URI does not match.").reply()
        return self._tokens(asked, set(asked["scope"].split()), known.user, nonce=known.nonce)

    def _by_refresh_token(self, asked: dict[str, str]) -> Reply:
        user = self.refresh_tokens.get(asked["refresh_token"])
        if user is None:
            return Problem(
                "invalid_grant", 700082, "The refresh token has expired due to inactivity.", "bad_token"
            ).reply()
        scopes = set(asked["scope"].split())
        missing = self._names(scopes) - self.consented
        if missing:
            return Problem(
                "invalid_grant",
                65001,
                "The user or administrator has not consented to use the application.",
                "consent_required",
            ).reply()
        if self.rotate:
            del self.refresh_tokens[asked["refresh_token"]]
        return self._tokens(asked, scopes, user)

    def _by_client(self, asked: dict[str, str]) -> Reply:
        if self.secret is not None and "client_secret" in asked:
            if asked["client_secret"] != self.secret:
                text = (
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client "
                    "secret value, not the client secret ID."
                )
                return Problem("invalid_client", 7000215, text, status=401).reply()
        elif self.certificate is not None and "client_assertion" in asked:
            import jwt
            from cryptography import x509

            certificate = x509.load_pem_x509_certificate(self.certificate)
            claims = jwt.decode(
                asked["client_assertion"],
                certificate.public_key(),
                algorithms=["PS256"],
                audience=f"{self.url}/{TENANT}/oauth2/v2.0/token",
            )
            assert claims["sub"] == claims["iss"] == CLIENT
            self.secrets.add(asked["client_assertion"])
        else:
            return Problem(
                "invalid_client", 7000216, "'client_assertion', 'client_secret' or 'request' is required.", status=401
            ).reply()
        if not asked["scope"].endswith("/.default"):
            return Problem("invalid_scope", 1002012, "The provided value for scope is not valid.").reply()
        resource = asked["scope"].removesuffix("/.default")
        token = self.issue("roles", user=None, resource=resource)
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "ext_expires_in": self.expires_in,
                "access_token": token,
            },
        )

    def _by_device(self, asked: dict[str, str]) -> Reply:
        device = self._devices.get(asked["device_code"])
        if device is None:
            return Problem("invalid_grant", 70019, "Verification code expired.").reply()
        if not self.public_client_flows:
            text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            return Problem("invalid_client", 7000218, text, status=401).reply()
        self.polls.append(asked["device_code"])
        if device.declined or self.declines_codes:
            return Problem("authorization_declined", 70021, "The end user denied the authorization request.").reply()
        if not device.approved:
            return Problem(
                "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending."
            ).reply()
        self.consented |= self._names(device.scopes)
        del self._devices[asked["device_code"]]
        return self._tokens(asked, device.scopes, self.user)

    def _tokens(self, asked: dict[str, str], scopes: set[str], user: str, *, nonce: str | None = None) -> Reply:
        problem = self._one_resource(scopes)
        if problem:
            return problem.reply()
        (resource,) = {f"https://{urlsplit(scope).netloc}" for scope in scopes - _OIDC}
        names = sorted(self._names(scopes))
        refresh = "1.AX" + secrets.token_urlsafe(900)
        self.refresh_tokens[refresh] = user
        self.secrets.add(refresh)
        now = int(time.time())
        claims = {
            "aud": CLIENT,
            "iss": f"{self.url}/{TENANT}/v2.0",
            "iat": now,
            "exp": now + 3600,
            "preferred_username": user,
            "tid": TENANT,
            "oid": "5c7e9d31-84ab-4f60-9d2e-b1a6c3f8e702",
            "sub": "subject",
            **({"nonce": nonce} if nonce else {}),
        }
        body = {
            "token_type": "Bearer",
            "scope": " ".join(f"{resource}/{name}" for name in names),
            "expires_in": self.expires_in,
            "ext_expires_in": self.expires_in,
            "access_token": self.issue(*names, user=user, resource=resource),
            "refresh_token": refresh,
            "id_token": ".".join((_b64({"alg": "none"}), _b64(claims), "")),
            "client_info": _b64({"uid": "00000000-0000-0000-0000-000000000001", "utid": TENANT}),
        }
        return Reply(200, body)

    @staticmethod
    def _names(scopes: set[str]) -> set[str]:
        return {scope.rpartition("/")[2] for scope in scopes - _OIDC}

    @staticmethod
    def _one_resource(scopes: set[str]) -> Problem | None:
        resources = {f"https://{urlsplit(scope).netloc}" for scope in scopes - _OIDC}
        if not resources <= set(_RESOURCES):
            return Problem("invalid_resource", 500011, "The resource principal was not found in the tenant.")
        if len(resources) != 1:
            return Problem(
                "invalid_scope",
                28000,
                "The provided value for the input parameter scope is not valid: it has more than one resource.",
            )
        return None


def _b64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of a sign-in URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
