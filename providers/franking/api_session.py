"""What both API routes share: a client that makes one request at a time, and a session that sends one message at a
time.

How HTTP goes, and what a failure of it means, is the package ``net``; which requests make a message is each provider's
``send.py``. No provider is known here.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message as Parsed
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from franking.errors import ConnectError, Evidence, FrankingError, MessageError, OutcomeUnknown, discreet
from franking.message.address import Address, Envelope
from franking.message.content import Content
from franking.message.headers import read_addresses
from franking.net import http, http_errors
from franking.provider import Observer, Receipt, Step
from franking.session_guard import SessionGuard
from franking.text import bounded, json_object, page_text, size_in_words

if TYPE_CHECKING:
    from requests import Response

    from franking.provider import Account, Secret

__all__ = ["Accepted", "ApiClient", "ApiSession", "Body", "Outgoing", "Progress", "header_of", "json_of"]

IDLE_SECONDS = 10.0
"""A connection that rested longer may be half open, and what is sent on it in doubt for ``final_timeout``; SMTP asks
first after as long.
"""

Body = http.Streamed | bytes | None


class ApiClient(ABC):
    """A kept-alive connection to an API: one attempt for each request, and every failure one of our errors.

    ``in_doubt``: the whole of a message has left, and nothing contradicted it since. ``progress`` is the message's that
    is under way.
    """

    service: ClassVar[str]
    throttles: ClassVar[frozenset[str]]  # the service's own words for "less, or later"
    progress: Progress

    def __init__(self, account: Account, secret: Secret, url: str) -> None:
        self._account = account
        self._secret = secret
        self._url = url
        self._session = http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout)
        self._used = time.monotonic()
        self.in_doubt = False

    def reach(self, observer: Observer) -> None:
        """Open the connection, so that a ``check`` proves it and its failure is known before anything of a message
        leaves; where that fails, close the client.

        Tells the observer the step ``connect``, and ``tls`` where that failed. Raises ``ConnectError`` or ``TLSError``
        with evidence.
        """
        from urllib3.exceptions import HTTPError

        started = time.perf_counter()
        place = urlsplit(self._url).netloc
        with ExitStack() as stack:
            stack.callback(self.close)
            observer(Step("connect", "running", detail=place))
            try:
                version = http.reach(self._session, self._url)
            except (OSError, HTTPError, ValueError) as problem:
                error = http_errors.from_exception(problem, service=self.service, url=self._url)
                if error.step == "tls":
                    observer(Step("connect", "ok", _since(started), place))
                observer(Step(error.step or "connect", "failed", _since(started), error.message))
                raise error from None
            observer(Step("connect", "ok", _since(started), f"{place}, {version}"))
            stack.pop_all()

    def begin(self) -> None:
        """Begin a new message: nothing is in doubt, and a connection that rested too long is let go."""
        self.in_doubt = False
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._session.close()  # what is kept alive goes; the session itself stays usable

    def exchange(
        self,
        method: str,
        url: str,
        body: Body,
        headers: Mapping[str, str],
        *,
        expected: tuple[int, ...],
        final: bool = False,
    ) -> Response:
        """Make one request; ``final`` is the one that makes the service accept the message.

        Raises a ``SendError`` by the rules of ``http_errors`` for every status that is not ``expected``.
        """
        response = self._attempt(method, url, body, headers, final=final)
        if response.status_code in expected:
            return response
        last = final and _handed_over(body)
        error = self._refusal(response, final=last)
        if last:
            self.in_doubt = error.possibly_sent
        raise error

    def _attempt(self, method: str, url: str, body: Body, headers: Mapping[str, str], *, final: bool) -> Response:
        from requests.exceptions import RequestException

        wait = self._account.final_timeout if final else self._account.timeout
        try:
            times = (self._account.timeout, wait)
            return http.read(self._session.request(method, url, data=body, headers=headers, stream=True, timeout=times))
        except RequestException as problem:
            left = final and _handed_over(body) and not http_errors.never_left(problem)
            raise http_errors.from_exception(
                problem, service=self.service, url=url, handed_over=left, step="message"
            ) from None
        finally:  # also after Ctrl-C
            self.in_doubt = self.in_doubt or (final and _handed_over(body))
            self._used = time.monotonic()

    def _refusal(self, response: Response, *, final: bool) -> FrankingError:
        """Return the error that a response is; ``final`` where the whole of the message had left."""
        error = json_of(response).get("error")
        if not isinstance(error, Mapping):
            error = {}
        text = error.get("message")
        if not isinstance(text, str):
            text = page_text(response.content)
        reason, details = self._reason(error, response)
        return http_errors.from_response(
            response.status_code,
            response.headers,
            service=self.service,
            text=text,
            reason=reason,
            final=final,
            details=details,
            throttled=self.throttles,
        )

    @abstractmethod
    def _reason(self, error: Mapping[str, Any], response: Response) -> tuple[str | None, dict[str, Any]]:
        """Return the service's own word for what went wrong, and what else it says for machines."""

    def unreadable(self, response: Response, text: str, details: Mapping[str, Any] | None = None) -> OutcomeUnknown:
        """Return the error of a success that proves nothing."""
        return OutcomeUnknown(
            f"{self.service}'s answer cannot be read; it may have accepted the message.",
            evidence=Evidence(
                "http", code=response.status_code, text=bounded(text), reason="unreadable-answer", details=details or {}
            ),
        )

    def odd(self, what: str) -> ConnectError:
        """Return the error of a response that does not fit the protocol."""
        text = f"{self.service} {what}"
        return ConnectError(f"{text}.", step="message", evidence=Evidence("http", text=text, reason="upload-protocol"))

    def abort(self) -> None:
        http.abort(self._session)

    def close(self) -> None:
        self._session.close()


def json_of(response: Response) -> dict[str, Any]:
    """Return the JSON object in a response's body; empty where there is none."""
    return json_object(response.content) or {}


def _handed_over(body: Body) -> bool:
    """Return whether the whole of a request may have left: known of a streamed body, assumed of any other."""
    return not isinstance(body, http.Streamed) or body.handed_over


class Accepted(NamedTuple):
    """What a service said when it accepted a message, and what was lost on the way."""

    provider_id: str
    reply: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that the service will take, of ``size`` octets."""

    content: Content = field(repr=False, compare=False)
    size: int

    @property
    def total(self) -> int:
        """Return the octets that the progress counts."""
        return self.size


C = TypeVar("C", bound=ApiClient)
M = TypeVar("M", bound=Outgoing)


class ApiSession(ABC, Generic[C, M]):
    """Send messages over one kept-alive HTTPS connection."""

    quiet_after_fork = True
    route: ClassVar[str]
    most_recipients: ClassVar[int]
    most_recipients_words: ClassVar[str]

    def __init__(self, account: Account, client: C, observer: Observer) -> None:
        self._account = account
        self._client = client
        self._observer = observer
        self._guard = SessionGuard()
        self._aborted = threading.Event()

    def _pause(self, seconds: float) -> bool:
        """Wait; true where the session was aborted meanwhile."""
        return self._aborted.wait(seconds)

    def send(self, envelope: Envelope, content: Content) -> Receipt:
        """Hand one message over. Raises ``MessageError`` before anything leaves, and a ``SendError`` by the rules of
        ``http_errors``.

        An interruption (Ctrl-C) leaves with ``possibly_sent`` on it.
        """
        with discreet, self._guard, self._interruptible():
            self._client.begin()
            self._check_count(envelope)
            header = self._check_recipients(envelope, content)
            message = self._prepare(content)
            self._client.progress = progress = Progress(self._observer, message.total)
            accepted = self._carry_out(message, progress)
            return Receipt(
                message_id=content.message_id,
                route=self.route,
                reply=accepted.reply,
                provider_id=accepted.provider_id,
                accepted=envelope.recipients,
                bytes=message.size,
                ms=progress.ms,
                warnings=(*accepted.warnings, *self._sender_unused(envelope, header)),
                account=self._account.name,
            )

    @abstractmethod
    def _prepare(self, content: Content) -> M:
        """Choose how a message goes. Raises ``MessageError`` for what the service would refuse."""

    @abstractmethod
    def _deliver(self, message: M) -> Accepted:
        """Make the requests that make a message."""

    def _carry_out(self, message: M, progress: Progress) -> Accepted:
        progress.running(0)
        try:
            accepted = self._deliver(message)
        except FrankingError as problem:
            progress.failed(problem)
            raise
        except http.Changed as problem:  # the chunks did not add up to the size that was announced
            wrong = MessageError(
                f"The message changed while it was sent: {problem}.", evidence=Evidence("message", reason="changed")
            )
            progress.failed(wrong)
            raise wrong from None
        progress.accepted(accepted.reply)
        return accepted

    def _check_count(self, envelope: Envelope) -> None:
        count = len(envelope.recipients)
        if count > self.most_recipients:
            raise MessageError(
                f"The message has {count} recipients; {self.most_recipients_words}. Send it in parts.",
                field="to",
                evidence=Evidence(
                    "message", reason="too-many-recipients", details={"count": count, "limit": self.most_recipients}
                ),
            )

    def _check_recipients(self, envelope: Envelope, content: Content) -> Parsed:
        """Return the parsed header; refuse an envelope whose recipients are not those of To, Cc and Bcc.

        An API delivers to the header's, and knows no Resent-To. Raises ``MessageError``.
        """
        header = HeaderParser().parsestr(header_of(content).decode("utf-8", "replace"))
        fields = [
            (name, " ".join(str(value).split())) for name in ("to", "cc", "bcc") for value in header.get_all(name, [])
        ]
        written = {_folded(address.address) for name, value in fields for address in read_addresses(value, name)}
        differing = sorted(written ^ {_folded(address) for address in envelope.recipients})
        if differing:
            raise MessageError(
                f"{self._client.service} delivers to the addresses in To, Cc and Bcc, and the envelope names others: "
                f"{', '.join(differing[:5])}. Use the route smtp for an envelope of its own.",
                evidence=Evidence("message", reason="envelope-differs", details={"differing": tuple(differing[:20])}),
            )
        return header

    def _sender_unused(self, envelope: Envelope, header: Parsed) -> tuple[str, ...]:
        """Return a warning that an API takes no envelope sender, where it is neither the account's nor the header's."""
        known = [self._account.sender, *read_addresses(str(header.get("From", "")), "from")]
        if envelope.sender and Address(envelope.sender).wire.lower() in {address.wire.lower() for address in known}:
            return ()
        service = self._client.service
        return (f"the envelope sender {envelope.sender!r} is not used: {service} sends in the name of the mailbox",)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Write ``possibly_sent`` on what breaks into a send from outside: Ctrl-C, or whatever a signal's handler
        raises.
        """
        try:
            yield
        except FrankingError:
            raise
        except BaseException as broken:
            with suppress(AttributeError):
                broken.possibly_sent = self._client.in_doubt  # type: ignore[attr-defined]
            raise

    def close(self) -> None:
        self._client.close()

    def abort(self) -> None:
        """Break the connection off, from any thread; a send under way ends with an error that says whether it may have
        been accepted.
        """
        if self._guard.ours:
            self._aborted.set()
            self._client.abort()


def header_of(content: Content) -> bytes:
    """Return a message's header, Bcc included, without the empty line that ends it."""
    head = b""
    chunks: Any = content.chunks(bcc=True)
    with closing(chunks):
        for chunk in chunks:
            head += chunk
            if b"\r\n\r\n" in head:
                break
    return head.partition(b"\r\n\r\n")[0]


def _folded(address: str) -> str:
    local, _, domain = Address(address).wire.rpartition("@")
    return f"{local}@{domain.lower()}"


def _since(started: float) -> float:
    """Return the milliseconds since a moment of ``time.perf_counter``."""
    return (time.perf_counter() - started) * 1000


class Progress:
    """Tell an observer how a message gets on, at most once for each hundredth part of ``total`` octets."""

    def __init__(self, observer: Observer, total: int) -> None:
        self._observer, self._total = observer, total
        self._started = time.perf_counter()
        self._told = -1

    @property
    def ms(self) -> float:
        """Return the milliseconds since the message began."""
        return _since(self._started)

    def running(self, done: int) -> None:
        done = min(done, self._total)
        if self._told < 0 or done == self._total or abs(done - self._told) >= max(1, self._total // 100):
            self._told = done
            self._observer(Step("message", "running", self.ms, done=done, total=self._total))

    def accepted(self, reply: str) -> None:
        self._whole()
        self._observer(Step("accepted", "ok", self.ms, reply))

    def failed(self, problem: FrankingError) -> None:
        if problem.step == "accepted":
            self._whole()
        self._observer(Step(problem.step or "message", "failed", self.ms, problem.message))

    def _whole(self) -> None:
        self._observer(Step("message", "ok", self.ms, size_in_words(self._total), done=self._total, total=self._total))
