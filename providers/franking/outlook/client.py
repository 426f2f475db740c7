"""One request to Microsoft Graph at a time, once, and what its response means. Which requests make a message is
``send.py`` and ``upload.py``.

Sources: learn.microsoft.com/graph/errors (branch on ``error.code``, the innermost that is known),
/graph/resolve-auth-errors (claims).
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from franking.api_session import ApiClient, Body
from franking.errors import FrankingError, SettingsError
from franking.net import http
from franking.outlook.facts import graph_root
from franking.text import bounded

if TYPE_CHECKING:
    from requests import Response

    from franking.account.account import Account
    from franking.auth.secret import Secret

__all__ = ["GraphClient"]

_log = logging.getLogger("franking.wire")


class GraphClient(ApiClient):
    """A kept-alive connection to Graph that acts for one mailbox, whose address is ``mailbox``."""

    service = "Microsoft Graph"
    throttles = frozenset(
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
    )  # Exchange's words, too; some come with status 400 or 403

    def __init__(self, account: Account, secret: Secret) -> None:
        owner = account.mailbox or (account.app_only and account.sender.address)
        self.mailbox = graph_root(account) + (f"/users/{quote(owner, safe='@')}" if owner else "/me")
        try:
            super().__init__(account, secret, self.mailbox)
        except ImportError:
            raise SettingsError(
                'Sending by Microsoft Graph needs one more package; run: pip install "franking[outlook]"'
            ) from None

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
    ) -> Response:
        """Make one request, as ``exchange`` does; ``kind`` is the body's.

        ``token=False`` for an upload's own address.
        """
        sent = {"client-request-id": str(uuid.uuid4()), "return-client-request-id": "true", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = kind
        if token:
            sent["Authorization"] = f"Bearer {self._secret.get()}"
        response = self.exchange(method, url, body, sent, expected=expected, final=final)
        response.headers.setdefault("client-request-id", sent["client-request-id"])
        return response

    def _attempt(self, method: str, url: str, body: Body, headers: Mapping[str, str], *, final: bool) -> Response:
        _log.debug("~C: %s %s HTTP/1.1 (%s octets)", method, urlsplit(url).path, len(body or b""))
        response = super()._attempt(method, url, body, headers, final=final)
        name = bounded(response.headers.get("request-id", ""), 100)
        _log.debug("~S: HTTP/1.1 %s %s request-id=%s", response.status_code, bounded(response.reason or "", 100), name)
        return response

    def _refusal(self, response: Response, *, final: bool) -> FrankingError:
        error = super()._refusal(response, final=final)
        seen = error.evidence
        if final and seen and seen.reason == "not-accepted" and response.content.strip():
            return self.unreadable(response, seen.text, seen.details)
        return error

    def _reason(self, error: Mapping[str, Any], response: Response) -> tuple[str | None, dict[str, Any]]:
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
        if reason is None and response.status_code < 300:
            reason = "not-accepted"  # seen for MIME that was too large: 200 without a word, and nothing was sent
        challenge = re.search(r'claims="([^"]{1,4000})"', response.headers.get("WWW-Authenticate", ""))
        if challenge:
            details["claims"] = challenge[1]
        return reason, details

    def discard(self, url: str) -> bool:
        """Remove a draft that is given up; True when it is gone. Never raises: what went wrong before is what
        counts.
        """
        from requests.exceptions import RequestException

        try:
            # ours may have been broken off
            with http.session(self._account.ca_file, timeout=min(self._account.timeout, 10.0)) as session:
                sent = {"Authorization": f"Bearer {self._secret.get()}"}
                return session.delete(url, headers=sent, stream=True).status_code in (204, 404)
        except (RequestException, FrankingError):
            return False
