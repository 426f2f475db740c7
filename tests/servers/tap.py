"""Between a fake issuer or API and its clients: it learns every secret that crosses the line, and answers once in the
fake's place.

What it learns comes from the requests and replies themselves, so that a test misses no secret that it did not think of.
``faults`` are the ways of going wrong that repeat what was sent, in every form and in every place where a server may
put words.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from servers.web import CUT, Reply, Request, WebServer

__all__ = ["FAULTS", "ISSUERS", "Seen", "Tap"]

IN_FORMS = {
    "code": "authorisation code",
    "code_verifier": "PKCE verifier",
    "client_secret": "client secret",
    "refresh_token": "refresh token",
    "token": "refresh token",
    "device_code": "device code",
    "assertion": "assertion",
    "client_assertion": "client assertion",
}
IN_QUERIES = {
    "state": "state",
    "code": "authorisation code",
    "authtoken": "upload address",
    "upload_id": "upload address",
}
IN_ANSWERS = {
    "access_token": "access token",
    "refresh_token": "refresh token",
    "id_token": "ID token",
    "device_code": "device code",
    "user_code": "user code",
}


@dataclass
class Seen:
    """One request: its raw text without a message's octets, the secrets in it, and how the fake itself would answer."""

    raw: str
    secrets: list[str]
    api: bool
    truly: Callable[[], Reply]

    @property
    def echo(self) -> str:
        """Repeat all of it: as it came, and each secret in plain, percent-encoded, in base64 and as HTML has it."""
        forms = (
            form
            for one in self.secrets
            for form in (
                one,
                quote(one, safe=""),
                base64.b64encode(one.encode()).decode(),
                base64.urlsafe_b64encode(one.encode()).decode(),
            )
        )
        return " | ".join((*forms, self.raw))


Fault = Callable[[Seen], Reply]


class Tap:
    """Look on at a fake; ``stand_in`` makes the next request to a path that matches meet a fault instead."""

    def __init__(self, server: WebServer) -> None:
        self.known: dict[str, set[str]] = defaultdict(set)
        self.met = 0
        self._fault: tuple[str, Fault, bool] | None = None
        self._answer = server.answer
        server.answer = self

    def stand_in(self, target: str, fault: Fault, *, once: bool = True) -> None:
        """``target`` is a regular expression for ``METHOD /path?query``."""
        self._fault, self.met = (target, fault, once), 0

    def forget(self) -> None:
        self._fault, self.met = None, 0
        self.known.clear()

    def __call__(self, request: Request) -> Reply:
        seen = self._seen(request)
        fault = self._fault
        if fault is not None and re.search(fault[0], seen.raw.partition("\n")[0]):
            self.met += 1
            if fault[2]:
                self._fault = None
            reply = fault[1](seen)
            request.read()
        else:
            reply = seen.truly()
        return reply

    def _truly(self, request: Request) -> Reply:
        reply = self._answer(request)
        self._learn_answer(reply)
        return reply

    def _seen(self, request: Request) -> Seen:
        query = urlencode(request.query)
        lines = [
            f"{request.method} {request.path}{'?' if query else ''}{query}",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        secrets = list(self._learn(request.query.items(), IN_QUERIES))
        kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            secrets += self._learn([("", credentials)], {"": "access token"})
        elif kind == "Basic":
            password = unquote(base64.b64decode(credentials).decode().partition(":")[2])
            secrets += self._learn([("", credentials), ("", password)], {"": "client secret"})
        if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            data = request.read()
            request.stream, request.left = io.BytesIO(data), len(data)
            secrets += self._learn(parse_qsl(data.decode()), IN_FORMS)
            lines += ["", data.decode()]
        api = request.path.startswith(("/v1.0/", "/upload/"))
        return Seen("\n".join(lines), secrets, api, lambda: self._truly(request))

    def _learn(self, pairs: Any, names: Mapping[str, str]) -> Iterator[str]:
        for name, value in pairs:
            if name in names and value:
                self.known[names[name]].add(value)
                yield value

    def _learn_answer(self, reply: Reply) -> None:
        if isinstance(reply.body, dict):
            list(
                self._learn(((name, value) for name, value in reply.body.items() if isinstance(value, str)), IN_ANSWERS)
            )
            list(self._learn(parse_qsl(urlsplit(str(reply.body.get("uploadUrl", ""))).query), IN_QUERIES))
            list(self._learn(dict(reply.body.get("fields") or {}).items(), IN_QUERIES))
        list(self._learn(parse_qsl(urlsplit(reply.headers.get("Location", "")).query), IN_QUERIES))


# -- what may go wrong -------------------------------------------------------------------------------------------------


def _words(seen: Seen) -> dict[str, str]:
    """Return the headers in which a server has room for words."""
    said = " ".join(seen.secrets)
    return {
        "request-id": said,
        "Retry-After": said,
        "Location": f"https://localhost:1/?{said}",
        "WWW-Authenticate": f'Bearer error="{said}", claims="{said}"',
    }


def refuses(status: int, error: str = "invalid_grant", **headers: str) -> Fault:
    """Refuse as the real service does, and repeat the whole request in the sentence."""

    def fault(seen: Seen) -> Reply:
        if not seen.api:
            return Reply(status, {"error": error, "error_description": f"AADSTS700082: {seen.echo}"}, headers)
        inner = {"message": seen.echo, "domain": "global", "reason": "badRequest"}
        return Reply(status, {"error": {"code": "ErrorAccessDenied", "message": seen.echo, "errors": [inner]}}, headers)

    return fault


def every_word(status: int) -> Fault:
    """Repeat the secrets in everything that may hold a word: codes, ids, claims, headers, the status line."""

    def fault(seen: Seen) -> Reply:
        said = " ".join(seen.secrets)
        names = (
            "suberror",
            "classification",
            "correlation_id",
            "trace_id",
            "timestamp",
            "claims",
            "error_subtype",
            "error_uri",
        )
        inner = {
            "code": said,
            "request-id": said,
            "client-request-id": said,
            "date": said,
            "innerError": {"code": said},
        }
        details = [{"reason": said, "domain": said}]
        api = {
            "code": said,
            "message": said,
            "status": said,
            "errors": [{"reason": said, "domain": said}],
            "details": details,
            "innerError": inner,
        }
        body = (
            {"error": api}
            if seen.api
            else {"error": said, "error_description": said, "error_codes": [said], **dict.fromkeys(names, said)}
        )
        return Reply(status, body, _words(seen), words=said)

    return fault


def page(status: int) -> Fault:
    """Answer as a proxy does, with a page that shows the request, and cuts off nothing."""

    def fault(seen: Seen) -> Reply:
        text = f"<html><title>Error</title><pre>{html.escape(seen.echo)}</pre>{seen.echo}</html>"
        return Reply(status, text.encode(), {"Content-Type": "text/html"})

    return fault


def cut_where_a_secret_is(status: int) -> Fault:
    """Answer with a page in which one secret after another lies across each border at which somebody may cut."""

    def fault(seen: Seen) -> Reply:
        longest = max(seen.secrets, key=len, default="")
        text = ""
        for border in (100, 200, 300, 500, 2_000, 4_000, 8_000, 16_000):
            text = text.ljust(border - len(longest) // 2, ".") + longest
        return Reply(status, text.encode(), {"Content-Type": "text/plain"})

    return fault


def half(seen: Seen) -> Reply:
    """Do what was asked, and lose the second half of the answer."""
    reply = seen.truly()
    data = json.dumps(reply.body).encode() if not isinstance(reply.body, bytes) else reply.body
    return Reply(reply.status, data[: len(data) // 2] or b"{", {**reply.headers, "Content-Type": "application/json"})


def repeats(seen: Seen) -> Reply:
    """Do what was asked, and repeat the secrets wherever there is room."""
    reply, said = seen.truly(), " ".join(seen.secrets)
    headers = {name: value for name, value in _words(seen).items() if name != "Location"} | dict(reply.headers)
    if not isinstance(reply.body, dict):
        return Reply(reply.status, reply.body, headers, words=said)
    body = {**reply.body, "note": said, "error_uri": said, "suberror": said, "token_type": f"Bearer {said}"}
    if "id" in body:
        body["id"] += "-" + seen.secrets[0]
    if isinstance(body.get("scope"), str):
        body["scope"] += " " + said
    return Reply(reply.status, body, headers, words=said)


def redirects(status: int) -> Fault:
    return lambda seen: Reply(
        status, b"", {"Location": f"https://localhost:1/elsewhere?{urlencode({'was': seen.echo})}"}
    )


ISSUERS: dict[str, Fault] = {
    "refused 400, the app": refuses(400, "invalid_client"),
    "refused 400, of the issuer's own": refuses(400, "temporarily_unavailable"),
}
"""What only an issuer says: an API has no such words."""

FAULTS: dict[str, Fault] = {
    "refused 400": refuses(400),
    "refused 401": refuses(401),
    "refused 403": refuses(403),
    "busy 429": refuses(429, **{"Retry-After": "7"}),
    "broken 500": refuses(500),
    "busy 503": refuses(503, **{"Retry-After": "7"}),
    "in every word 400": every_word(400),
    "in every word 401": every_word(401),
    "page 200": page(200),
    "page 502": page(502),
    "across borders 400": cut_where_a_secret_is(400),
    "half": half,
    "repeated in a success": repeats,
    "cut": lambda seen: CUT,
    "garbage": lambda seen: Reply(200, b"\xff\x00\x1b[2J" + seen.echo.encode(), {"Content-Type": "application/json"}),
    "redirected 302": redirects(302),
}
