"""The http object beneath Google's client library: one attempt, no redirects, our TLS context, a bare access token.

Every response that is no success becomes one of our errors here, before the library sees it: it would repeat, log or
print some of them. Which requests make a message is ``send.py``.

Source: developers.google.com/workspace/gmail/api/guides/uploads (resumable protocol), …/guides/handle-errors (reasons).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from franking.api_session import ApiClient, json_of
from franking.errors import FrankingError
from franking.net import http
from franking.text import bounded

if TYPE_CHECKING:
    from requests import Response

    from franking.account.account import Account
    from franking.auth.secret import Secret

__all__ = ["GmailClient"]


class GmailClient(ApiClient):
    """The http object of google-api-python-client: each kind of request that it makes of an upload has a method."""

    service = "Gmail"
    throttles = frozenset(
        {
            "rateLimitExceeded",
            "userRateLimitExceeded",
            "quotaExceeded",
            "dailyLimitExceeded",
            "concurrentLimitExceeded",
            "RATE_LIMIT_EXCEEDED",
        }
    )  # they also come with status 403

    def __init__(self, account: Account, secret: Secret) -> None:
        super().__init__(account, secret, account.api_endpoint)

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> tuple[Any, bytes]:
        """Make one request, as httplib2 does, but once and with our errors."""
        import httplib2

        sent = {name.lower(): value for name, value in (headers or {}).items()}
        length = int(sent.pop("content-length", 0))
        for name in ("accept-encoding", "user-agent"):
            sent.pop(name, None)
        if self._ours(uri):
            sent["authorization"] = f"Bearer {self._secret.get()}"
        if method == "PUT":
            response = self._put(uri, body, length, sent)
        elif "uploadType=resumable" in uri:
            response = self._start(uri, sent)
        else:
            response = self._post(uri, body, sent)
        found = httplib2.Response({name.lower(): value for name, value in response.headers.items()})
        found.status, found.reason = response.status_code, response.reason
        return found, response.content

    def _post(self, uri: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a whole message."""
        pieces = (body[at : at + http.PIECE] for at in range(0, len(body), http.PIECE))
        streamed = http.Streamed(pieces, len(body), self.progress.running)
        return self._confirmed(self.exchange("POST", uri, streamed, headers, expected=(200, 201), final=True))

    def _start(self, uri: str, headers: Mapping[str, str]) -> Response:
        """Ask for the address of a resumable upload."""
        response = self.exchange("POST", uri, None, headers, expected=(200,))
        if urlsplit(response.headers.get("Location", "")).scheme != "https":
            raise self.odd("gave no address for the upload")
        return response

    def _put(self, uri: str, body: Any, length: int, headers: Mapping[str, str]) -> Response:
        """Send a chunk (``bytes 0-262143/1000000``), or ask how far an upload came (``bytes */1000000``)."""
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", headers["content-range"])
        assert found is not None
        first, last, total = (int(number or -1) for number in found.groups())
        pieces = iter(lambda: body.read(http.PIECE), b"")
        streamed = body and http.Streamed(pieces, length, lambda done: self.progress.running(first + done))
        before = self.in_doubt
        response = self.exchange("PUT", uri, streamed, headers, expected=(200, 201, 308), final=last + 1 == total)
        if response.status_code != 308:
            return self._confirmed(response)
        self.in_doubt = before  # it wants more, so that this request decided nothing
        self.in_doubt = self._everything_came(response.headers.get("Range"), total)
        if self.in_doubt:
            raise self.odd("has the whole upload and does not say that it is done")
        # the library would carry the rest of the message there, to any host; the protocol knows no such thing
        response.headers.pop("Location", None)
        return response

    def _everything_came(self, kept: str | None, total: int) -> bool:
        """Return whether the Range of a 308 names every octet.

        Raises ``ConnectError`` where it claims what cannot be.
        """
        if kept is None:
            return False
        found = re.fullmatch(r"(?:bytes=)?0-(\d{1,12})", kept)
        if found is None or int(found[1]) >= total:
            raise self.odd("counts the upload in a way that cannot be")
        return int(found[1]) + 1 == total

    def _confirmed(self, response: Response) -> Response:
        """Return a success that names the message."""
        self.in_doubt = True
        name = json_of(response).get("id")
        if not isinstance(name, str) or not name:
            raise self.unreadable(response, response.content.decode(errors="replace"))
        return response

    def _ours(self, uri: str) -> bool:
        """Return whether a URI may see the token: an upload's address may be another host's, and is its own key."""
        one, other = urlsplit(uri), urlsplit(self._url)
        return (one.scheme, one.netloc) == (other.scheme, other.netloc)

    def _refusal(self, response: Response, *, final: bool) -> FrankingError:
        when = re.search(rb"Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)", response.content)
        if when and "Retry-After" not in response.headers:  # Gmail tells it in words, without the header
            with suppress(ValueError):
                moment = datetime.datetime.fromisoformat(when[1].decode())
                response.headers["Retry-After"] = format_datetime(moment, usegmt=True)
        return super()._refusal(response, final=final)

    def _reason(self, error: Mapping[str, Any], response: Response) -> tuple[str | None, dict[str, Any]]:
        first = next(_mappings(error.get("errors")), {})
        info = next((one for one in _mappings(error.get("details")) if one.get("reason")), {})
        words = {"status": error.get("status"), "info": info.get("reason"), "domain": first.get("domain")}
        details = {key: bounded(word, 100) for key, word in words.items() if isinstance(word, str)}
        reason = first.get("reason") or info.get("reason") or error.get("status")
        if not isinstance(reason, str):
            return None, details
        return bounded(reason, 100), details


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, Mapping))
