"""One request to Microsoft Graph at a time, once, and what its answer means. Which requests make a message, ``send.py``
and ``upload.py`` know.

Sources: learn.microsoft.com/graph/errors (branch on ``error.code``, the innermost that is known),
/graph/resolve-auth-errors (claims).
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from franking.account.account import Account
from franking.api_session import reach
from franking.auth.secret import Secret
from franking.errors import ConnectError, Evidence, FrankingError, OutcomeUnknown, SettingsError
from franking.net import http, http_errors
from franking.outlook.facts import graph_root
from franking.provider import Observer
from franking.text import bounded, json_object, page_text

if TYPE_CHECKING:
    import requests

__all__ = ["SERVICE", "Answer", "Body", "Wire", "odd"]

SERVICE = "Microsoft Graph"

# a connection that rested longer may be dying, and Graph's first request on it would then be in doubt
IDLE_SECONDS = 60.0

THROTTLES = frozenset(
    {
        "ApplicationThrottled",
        "TooManyRequests",
        "activityLimitReached",
        "ErrorTooManyRequests",
        "ErrorExceededMessageLimit",
        "ErrorExceededHourlyMessageLimit",
        "ErrorExceededMaxRecipientLimit",
        "ErrorSubmissionQuotaExceeded",
        "ErrorRecipientSubmissionQuotaExceeded",
        "ErrorServerBusy",
    }
)
"""Graph's and Exchange's words for "less, or later"; some come with status 400 or 403."""

_log = logging.getLogger("franking.wire")

Body = http.Streamed | bytes | None


class Answer:
    """A success: status, headers, and the JSON object in the body (empty where there is none)."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json = json_object(content) or {}


class Wire:
    """A kept-alive connection to Graph that acts for one mailbox."""

    def __init__(self, account: Account, secret: Secret) -> None:
        try:
            self._session: requests.Session = http.session(
                account.ca_file, timeout=account.timeout, patience=account.final_timeout
            )
        except ImportError:
            raise SettingsError(
                'Sending by Microsoft Graph needs one more package; run: pip install "franking[outlook]"'
            ) from None
        self._account = account
        self._secret = secret
        self._timeout: float = account.timeout
        self._final_timeout: float = account.final_timeout
        self._used = time.monotonic()
        self.in_doubt = False  # the request that sends had left, and nothing contradicted it since
        owner = account.mailbox or (account.sender.address if account.app_only else None)
        self.mailbox = graph_root(account) + (f"/users/{quote(owner, safe='@')}" if owner else "/me")

    def reach(self, observer: Observer) -> None:
        """Open the connection. Raises ``ConnectError`` or ``TLSError`` with evidence."""
        reach(self._session, self.mailbox, SERVICE, observer)

    def rested(self) -> None:
        """Begin a new message: a connection that rested too long is let go."""
        self.in_doubt = False
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._session.close()  # what is kept alive goes; the session itself stays usable

    def ask(
        self,
        method: str,
        url: str,
        body: Body = None,
        *,
        kind: str = "application/json",
        expected: tuple[int, ...],
        final: bool = False,
        headers: Mapping[str, str] | None = None,
        token: bool = True,
        timeout: float | None = None,
    ) -> Answer:
        """Make one request; ``final`` is the one that makes Graph accept the message. ``token=False`` for an upload's
        own address.

        Raises a ``SendError`` by the verdicts of ``franking.http`` for every status that is not ``expected``.
        """
        from requests.exceptions import RequestException

        bearer = self._secret.get() if token else ""
        sent = {"client-request-id": str(uuid.uuid4()), "return-client-request-id": "true", **(headers or {})}
        sent |= {"Content-Type": kind} if body is not None else {}
        sent |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        place = urlsplit(url).path
        _log.debug("~C: %s %s HTTP/1.1 (%s octets)", method, place, len(body) if body is not None else 0)
        wait = timeout or (self._final_timeout if final else self._timeout)
        try:
            response = self._session.request(
                method, url, data=body, headers=sent, stream=True, timeout=(timeout or self._timeout, wait)
            )
            content = http.body(response)
            self.in_doubt = final
        except RequestException as problem:
            left = body.handed_over if isinstance(body, http.Streamed) else not http_errors.never_left(problem)
            raise http_errors.broken(
                problem, service=SERVICE, url=url, handed_over=final and left, step="message"
            ) from None
        except BaseException:  # Ctrl-C
            self.in_doubt = final and (body.handed_over if isinstance(body, http.Streamed) else True)
            raise
        finally:
            self._used = time.monotonic()
        answered = dict(response.headers.items())
        _log.debug(
            "~S: HTTP/1.1 %s %s request-id=%s",
            response.status_code,
            bounded(response.reason or "", 100),
            bounded(answered.get("request-id", ""), 100),
        )
        if response.status_code in expected:
            return Answer(
                response.status_code, {"client-request-id": sent["client-request-id"], **_lower(answered)}, content
            )
        error = self._verdict(response.status_code, answered, content, final=final)
        self.in_doubt = error.possibly_sent
        raise error

    def _verdict(self, status: int, headers: Mapping[str, str], content: bytes, *, final: bool) -> FrankingError:
        error = (json_object(content) or {}).get("error")
        error = error if isinstance(error, Mapping) else {}
        said = error.get("message") if isinstance(error.get("message"), str) else page_text(content)
        reason, details = _reason(error)
        if status < 300 and reason is None:
            if final and content.strip():
                return OutcomeUnknown(
                    f"{SERVICE}'s answer cannot be read; it may have accepted the message.",
                    evidence=Evidence(
                        "http", code=status, text=bounded(str(said)), reason="unreadable-answer", details=details
                    ),
                )
            reason = "not-accepted"  # seen for MIME that was too large: 200 without a word, and nothing was sent
        challenge = re.search(r'claims="([^"]{1,4000})"', {**_lower(headers)}.get("www-authenticate", ""))
        if challenge:
            details["claims"] = challenge[1]
        return http_errors.verdict(
            status,
            headers,
            service=SERVICE,
            text=bounded(str(said)),
            reason=reason,
            final=final,
            details=details,
            throttled=THROTTLES,
        )

    def discard(self, url: str) -> bool:
        """Remove a draft that is given up; True when it is gone. Never raises: what went wrong before is what
        counts.
        """
        from requests.exceptions import RequestException

        try:
            # ours may have been broken off
            with http.session(self._account.ca_file, timeout=min(self._timeout, 10.0)) as session:
                sent = {"Authorization": f"Bearer {self._secret.get()}"}
                return session.delete(url, headers=sent, stream=True).status_code in (204, 404)
        except (RequestException, FrankingError):
            return False

    def abort(self) -> None:
        http.abort(self._session)

    def close(self) -> None:
        self._session.close()


def odd(what: str) -> ConnectError:
    """Make the error of an answer that does not fit the protocol."""
    return ConnectError(
        f"{SERVICE} {what}.",
        step="message",
        evidence=Evidence("http", text=f"{SERVICE} {what}", reason="upload-protocol"),
    )


def _reason(error: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Find the most specific code of an error, and the ids that Microsoft's support asks for."""
    reason: str | None = None
    details: dict[str, Any] = {}
    level: Any = error
    for _ in range(10):
        if not isinstance(level, Mapping):
            break
        if isinstance(level.get("code"), str) and level["code"]:
            reason = bounded(level["code"], 100)
        for name in ("request-id", "client-request-id", "date"):
            if isinstance(level.get(name), str):
                details[name.replace("-", "_")] = bounded(level[name], 100)
        level = level.get("innerError", level.get("innererror"))
    return reason, details


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
