"""The http object beneath Google's client library: one attempt, no redirects, our TLS context, a bare access token.

Every answer that is no success becomes one of our errors here, before the library sees it: it would repeat, log or
print some of them. Whether the last octet of a message had left, and whether anything contradicted it since, is known
here alone (``outcome``).

Source: developers.google.com/workspace/gmail/api/guides/uploads (resumable protocol), …/guides/handle-errors (reasons).
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.api_session import Progress, reach
from franking.auth.secret import Secret
from franking.errors import ConnectError, Evidence, FrankingError, OutcomeUnknown
from franking.net import http, http_errors
from franking.provider import Observer
from franking.text import bounded, json_object, page_text

if TYPE_CHECKING:
    import requests

__all__ = ["PIECE", "SERVICE", "Wire", "odd"]

SERVICE = "Gmail"
PIECE = 65_536  # octets handed to the socket at once
IDLE_SECONDS = 60.0  # a connection that rested longer may be dying; Google's live about four minutes

THROTTLES = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "dailyLimitExceeded",
        "concurrentLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
    }
)
"""Gmail's words for "less, or later"; they also come with status 403."""


class Wire:
    """The http object of google-api-python-client: every answer that is no success becomes one of our errors here."""

    def __init__(self, account: Account, secret: Secret) -> None:
        self._session: requests.Session = http.session(
            account.ca_file, timeout=account.timeout, patience=account.final_timeout
        )
        self._endpoint: str = account.api_endpoint
        self._secret = secret
        self._token = secret.get()
        self._timeout: float = account.timeout
        self._final_timeout: float = account.final_timeout
        self._used = time.monotonic()
        self._told: Progress | None = None
        self.in_doubt = False  # the whole of a message had left, and nothing contradicted it since

    def reach(self, observer: Observer) -> None:
        """Open the connection. Raises ``ConnectError`` or ``TLSError`` with evidence."""
        reach(self._session, self._endpoint, SERVICE, observer)

    def begin(self, told: Progress) -> None:
        """Begin a new message."""
        self._told, self.in_doubt = told, False
        self._token = self._secret.get()  # the one before may have ended since
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._session.close()  # what is kept alive goes; the session itself stays usable

    def outcome(self, problem: FrankingError) -> FrankingError:
        """Say what a failed upload means: unknown where the last octet had left and nothing contradicted it since."""
        if not self.in_doubt or isinstance(problem, OutcomeUnknown):
            return problem
        return OutcomeUnknown(
            f"Gmail got the whole message and did not confirm it; it may have been accepted. ({problem.message})",
            evidence=problem.evidence,
        )

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> tuple[Any, bytes]:
        """Make one request, as httplib2 does, but once and with our errors."""
        import httplib2
        from requests.exceptions import RequestException

        send = {
            name.lower(): value
            for name, value in (headers or {}).items()
            if name.lower() not in ("accept-encoding", "user-agent")
        }
        span = _span(send.get("content-range", ""))
        starts = "uploadType=resumable" in uri and method == "POST"
        final = (method == "POST" and not starts) or (span is not None and span[1] + 1 == span[2])
        streamed = _streamed(body, int(send.pop("content-length", "0") or 0), self._progress(span[0] if span else 0))
        if self._ours(uri):
            send["authorization"] = f"Bearer {self._token}"
        before = self.in_doubt
        try:
            response = self._session.request(
                method,
                uri,
                data=streamed,
                headers=send,
                stream=True,
                timeout=(self._timeout, self._final_timeout if final else self._timeout),
            )
            content = http.body(response)
        except RequestException as problem:
            handed_over = final and streamed is not None and streamed.handed_over
            raise http_errors.broken(
                problem, service=SERVICE, url=uri, handed_over=handed_over, step="message"
            ) from None
        finally:  # also after Ctrl-C
            self.in_doubt = self.in_doubt or (final and streamed is not None and streamed.handed_over)
            self._used = time.monotonic()
        status, last = response.status_code, final and streamed is not None and streamed.handed_over
        if status in (200, 201) and not starts:
            found = (json_object(content) or {}).get("id")
            self.in_doubt = True
            if not isinstance(found, str) or not found:
                raise OutcomeUnknown(
                    "Gmail's answer cannot be read; it may have accepted the message.",
                    evidence=Evidence(
                        "http", code=status, text=bounded(content.decode(errors="replace")), reason="unreadable-answer"
                    ),
                )
        elif status == 200 and starts:
            _check_address(response.headers.get("Location", ""))
        elif status == 308 and method == "PUT":
            self.in_doubt = before  # it wants more, so that this request decided nothing
            self.in_doubt = _reached(response.headers.get("Range"), send["content-range"])
            if self.in_doubt:
                raise odd("has the whole upload and does not say that it is done")
        else:
            error = self._verdict(response, content, final=last)
            if last:
                self.in_doubt = isinstance(error, OutcomeUnknown)
            raise error
        said = {name.lower(): value for name, value in response.headers.items()}
        if status == 308:
            said.pop(
                "location", None
            )  # the library would carry the rest of the message there, to any host; the protocol knows no such thing
        answer = httplib2.Response(said)
        answer.status, answer.reason = status, response.reason
        return answer, content

    def _verdict(self, response: requests.Response, content: bytes, *, final: bool) -> FrankingError:
        error = (json_object(content) or {}).get("error")
        error = error if isinstance(error, Mapping) else {}
        text = error.get("message") if isinstance(error.get("message"), str) else page_text(content)
        said = bounded(str(text))
        headers = dict(response.headers.items())
        when = re.search(r"Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)", said)
        if when and "Retry-After" not in headers:  # Gmail tells it in words, without the header
            headers["Retry-After"] = _http_date(when[1])
        reason, details = _reason(error)
        return http_errors.verdict(
            response.status_code,
            headers,
            service=SERVICE,
            text=said,
            reason=reason,
            final=final,
            details=details,
            throttled=THROTTLES,
        )

    def _progress(self, offset: int) -> Callable[[int], None]:
        told = self._told
        return lambda given: told.running(offset + given) if told else None

    def _ours(self, uri: str) -> bool:
        """Return whether a URI may see the token: an upload's address may be another host's, and is its own key."""
        one, other = urlsplit(uri), urlsplit(self._endpoint)
        return (one.scheme, one.netloc) == (other.scheme, other.netloc)

    def abort(self) -> None:
        http.abort(self._session)

    def close(self) -> None:
        self._session.close()


def _streamed(body: Any, length: int, progress: Callable[[int], None]) -> http.Streamed | None:
    if not body:
        return None
    if isinstance(body, bytes):
        return http.Streamed((body[at : at + PIECE] for at in range(0, len(body), PIECE)), len(body), progress)
    return http.Streamed(iter(lambda: body.read(PIECE), b""), length, progress)


def _span(content_range: str) -> tuple[int, int, int] | None:
    """Read ``bytes 0-262143/1000000`` as first, last and total; None for a question (``bytes */1000000``)."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _reached(answered: str | None, sent: str) -> bool:
    """Return whether a 308 says that every octet came. Raises ``ConnectError`` where it claims what cannot be."""
    total = int(sent.rpartition("/")[2])
    if answered is None:
        return False
    found = re.fullmatch(r"(?:bytes=)?0-(\d{1,12})", answered)
    if found is None or int(found[1]) >= total:
        raise odd("counts the upload in a way that cannot be")
    return int(found[1]) + 1 == total


def _check_address(location: str) -> None:
    if urlsplit(location).scheme != "https":
        raise odd("gave no address for the upload")


def odd(what: str) -> ConnectError:
    return ConnectError(
        f"Gmail {what}.", step="message", evidence=Evidence("http", text=f"Gmail {what}", reason="upload-protocol")
    )


def _reason(error: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Find Google's own word for an error, and what else it says for machines."""
    first = next((one for one in _list(error.get("errors")) if isinstance(one, Mapping)), {})
    info = next((one for one in _list(error.get("details")) if isinstance(one, Mapping) and one.get("reason")), {})
    words = {"status": error.get("status"), "info": info.get("reason"), "domain": first.get("domain")}
    details = {key: bounded(word, 100) for key, word in words.items() if isinstance(word, str)}
    reason = first.get("reason") or info.get("reason") or error.get("status")
    return (bounded(reason, 100) if isinstance(reason, str) else None), details


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _http_date(iso: str) -> str:
    return format_datetime(datetime.datetime.fromisoformat(iso), usegmt=True)
