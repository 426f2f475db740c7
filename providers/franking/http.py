"""HTTP as Franking wants it, for both API providers: our TLS, one attempt, no redirects; and what an HTTP failure means for a message.

``session`` makes the connection pool, ``body`` reads an answer and takes out what it repeats of our secrets, ``Streamed`` a body of known length that knows whether it was handed over, ``broken`` and
``verdict`` turn what went wrong into our errors. No provider is known here, and no ``requests`` is imported before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakSet

from franking import answers, echoes, tls
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    Refused,
    Throttled,
    TLSError,
)

if TYPE_CHECKING:
    import requests

__all__ = [
    "ANSWER_LIMIT",
    "Changed",
    "Streamed",
    "abort",
    "body",
    "bounded",
    "broken",
    "never_left",
    "reach",
    "retry_after",
    "session",
    "verdict",
]

ANSWER_LIMIT = 65_536
"""Octets of an answer that are read; error bodies of Google and Microsoft have about 1,000."""

TEXT_LIMIT = 2_000
"""Characters of another side's words that are kept in evidence."""

LONGEST_WAIT = 24 * 3600.0
"""Seconds; a Retry-After beyond a day is a broken clock or a joke."""


def session(ca_file: str | None, *, timeout: float, patience: float = answers.PATIENCE) -> requests.Session:
    """Make a requests session: ``tls.context(ca_file)``, no retries, no redirects, ``trust_env`` off but HTTPS_PROXY/NO_PROXY honoured.

    Every request has ``timeout`` (seconds without progress) unless it names its own; an answer that has begun ends within ``patience``.
    The environment's CA bundle variables (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) and ``verify=False`` neither replace nor weaken our context;
    .netrc is not read.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies
    from urllib3.connection import HTTPSConnection
    from urllib3.connectionpool import HTTPSConnectionPool

    context = tls.context(ca_file)

    longest = max(patience, timeout)

    class Answer(answers.Answer):
        patience = longest

    class Line(HTTPSConnection):
        response_class = Answer
        debuglevel = 0  # a program that sets http.client's own to 1 would see our tokens printed

        def connect(self) -> None:
            if made.aborted:
                raise ConnectionAbortedError(errno.ECONNABORTED, "broken off")
            made.lines.add(self)
            super().connect()

        @property
        def is_connected(self) -> bool:
            return _alive(self.sock) if isinstance(self.sock, ssl.SSLSocket) else super().is_connected

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Line

        def reach(self) -> str:
            line: Any = self._get_conn()
            try:
                if self.proxy is not None and line.is_closed:
                    self._prepare_proxy(line)
                self._validate_conn(line)
                return str(line.sock.version())
            except BaseException:
                line.close()
                raise
            finally:
                self._put_conn(line)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **settings: Any) -> None:
            super().init_poolmanager(*args, **settings, ssl_context=context)
            self._ours(self.poolmanager)

        def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
            ours = {} if proxy.lower().startswith("socks") else {"proxy_ssl_context": context}
            return self._ours(super().proxy_manager_for(proxy, **settings, **ours, ssl_context=context))

        def _ours(self, pools: Any) -> Any:
            pools.pool_classes_by_scheme = {**pools.pool_classes_by_scheme, "https": Pool}
            return pools

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            # requests would load certifi's bundle into our context here
            conn.cert_reqs = "CERT_REQUIRED"

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            return super().build_connection_pool_key_attributes(request, True, cert)

    class Session(requests.Session):
        def __init__(self) -> None:
            super().__init__()
            self.lines: WeakSet[Any] = WeakSet()
            self.aborted = False

        def request(self, method: Any, url: Any, *args: Any, **settings: Any) -> Any:
            if settings.get("timeout") is None:
                settings["timeout"] = timeout
            settings["allow_redirects"] = False
            settings["verify"] = True
            if settings.get("proxies") is None:
                settings["proxies"] = get_environ_proxies(str(url))
            return super().request(method, url, *args, **settings)

    made = Session()
    made.trust_env = False
    made.mount("https://", Adapter(max_retries=0))
    made.mount("http://", Adapter(max_retries=0))
    made.headers["User-Agent"] = "franking"
    made.headers["Accept-Encoding"] = "identity"  # a small answer must stay small
    logging.getLogger("urllib3.connectionpool").addFilter(_without_query)
    return made


def _alive(line: ssl.SSLSocket) -> bool:
    """Look whether the other side has closed a resting connection.

    urllib3 takes every unread octet for an end, and a TLS 1.3 server's session tickets for that reason too: a connection opened by
    ``reach`` would never be used.
    """
    timeout = line.gettimeout()
    try:
        line.settimeout(0)
        line.recv(1)  # takes in tickets; an octet that nobody asked for is as bad as an end
    except ssl.SSLWantReadError:
        return True
    except (OSError, ValueError):  # ValueError: the TLS layer is off already
        return False
    finally:
        line.settimeout(timeout)
    return False


def reach(session: requests.Session, url: str) -> str:
    """Open the connection that the next request to ``url`` will use, send nothing, and give the TLS version (``TLSv1.3``).

    ``session`` is one of ours. Raises what the transport raises: hand it to ``broken``.
    """
    import requests
    from requests.utils import get_environ_proxies

    adapter: Any = session.get_adapter(url)
    prepared = requests.Request("GET", url).prepare()
    pool = adapter.get_connection_with_tls_context(prepared, True, proxies=get_environ_proxies(url))
    adapter.cert_verify(pool, url, True, None)
    return str(pool.reach())


def abort(session: requests.Session) -> None:
    """Break off every connection of one of our sessions, from any thread, and let it make no new ones."""
    ours: Any = session
    ours.aborted = True
    for line in list(ours.lines):
        if line.sock is not None:
            with contextlib.suppress(OSError):
                # the plain socket's shutdown: SSLSocket's would take the encryption off under a thread that is sending
                socket.socket.shutdown(line.sock, socket.SHUT_RDWR)


def _without_query(record: logging.LogRecord) -> bool:
    # urllib3 logs whole targets at DEBUG, and the query of an upload URL is a bearer secret
    if isinstance(record.args, tuple):
        record.args = tuple(re.sub(r"\?.*", "?…", part) if isinstance(part, str) else part for part in record.args)
    return True


class Changed(ValueError):
    """Say that a body's chunks did not add up to the length that was announced: what they are made of changed meanwhile."""


class Streamed:
    """Be the body of one request: chunks made while they are sent, with a length known before.

    ``handed_over`` turns true just before the last octet is given away: from then on the other side may have the whole.
    ``progress`` is told the octets given away so far. Raises ``Changed`` where the chunks do not add up to ``length``.
    """

    def __init__(self, chunks: Iterable[bytes], length: int, progress: Callable[[int], None] | None = None) -> None:
        self._chunks = chunks
        self._length = length
        self._progress = progress
        self.handed_over = False

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        given = 0
        for chunk in self._chunks:
            if not chunk:
                continue
            given += len(chunk)
            if given > self._length:
                raise Changed(f"a body of {self._length} octets turned out longer")
            self.handed_over = given == self._length
            yield chunk
            if self._progress is not None:
                self._progress(given)
        if given != self._length:
            raise Changed(f"a body of {self._length} octets ended after {given}")


def body(response: requests.Response) -> bytes:
    """Read the beginning of an answer that was asked for with ``stream=True``, at most ``ANSWER_LIMIT`` octets.

    What it repeats of the request's secrets is taken out, of its headers too. A longer answer's connection is closed instead of being
    reused. Raises what the transport raises.
    """
    from requests.exceptions import ChunkedEncodingError

    try:
        read = b"".join(_up_to(response.iter_content(8_192), ANSWER_LIMIT))
    except ValueError as problem:  # urllib3 takes a chunk's length on trust, a negative one too
        raise ChunkedEncodingError(problem) from None
    if len(read) > ANSWER_LIMIT:
        response.close()
    return echoes.cleaned(response, answers.unpacked(read[:ANSWER_LIMIT], response.headers, ANSWER_LIMIT))


def _up_to(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    read = 0
    for chunk in chunks:
        yield chunk
        read += len(chunk)
        if read > limit:
            return


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """Keep the beginning of another side's words, white space collapsed and other control characters made visible."""
    words = " ".join(text[: 4 * limit].split())
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def retry_after(value: str | None, *, clock: Callable[[], float] = time.time) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110 §10.2.3), as seconds from now: 0 to one day; None where it says nothing."""
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        seconds = float(text) if len(text) < 20 else LONGEST_WAIT
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock()
        except (ValueError, OverflowError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


_SURELY_NOT = (501, 507)  # not implemented; no room, which Exchange says of a full mailbox


def verdict(
    status: int,
    headers: Mapping[str, str],
    *,
    service: str,
    text: str = "",
    reason: str | None = None,
    final: bool = True,
    details: Mapping[str, Any] | None = None,
    throttled: Collection[str] = (),
    clock: Callable[[], float] = time.time,
) -> FrankingError:
    """Say what an answer that is no success means for the message.

    ``final`` marks the request that would have made ``service`` accept the message: after its body a 5xx leaves open whether it
    did (``OutcomeUnknown``). 429, 503 with Retry-After, and the ``reason`` words in ``throttled`` are surely not accepted
    (``Throttled``), 401 is a token that a newer one may replace (``LoginError``), everything else is ``Refused``, temporary for 408
    and for 5xx before the final request.
    """
    wait = retry_after(headers.get("Retry-After"), clock=clock)
    said = bounded(text)
    facts = {**(details or {}), **({"retry_after": wait} if wait is not None else {})}
    evidence = Evidence("http", code=status, text=said, reason=reason, details=facts)
    words = f"{service} answered {status}" + (f" {reason}" if reason else "") + (f": {said}" if said else "")
    words = words if words.endswith((".", "!", "?", "…")) else words + "."
    step = "accepted" if final else "message"
    if status == 401:
        return LoginError(words, token_refused=True, evidence=evidence)
    if status == 429 or (status == 503 and wait is not None) or (reason is not None and reason in throttled):
        return Throttled(words, retry_after=wait, step=step, evidence=evidence)
    unclear = status >= 500 and status not in _SURELY_NOT
    if unclear and final:
        return OutcomeUnknown(f"{words} It may have been accepted all the same.", step=step, evidence=evidence)
    return Refused(words, step=step, temporary=status == 408 or unclear, evidence=evidence)


def broken(
    problem: BaseException, *, service: str, url: str, handed_over: bool = False, proxied: bool = False, step: str | None = None
) -> FrankingError:
    """Say what a broken or impossible connection means for the message.

    ``problem`` is what requests, urllib3 or http.client raised. ``handed_over`` says that the whole of a final request had left: then
    only the answer is missing, and the outcome is unknown. The error names host and port, never a path or a query.
    """
    parts = urlsplit(url)
    place = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port or 443, **({"proxy": True} if proxied else {})}
    kind, reason, said, details = _seen(list(_causes(problem)))
    evidence = Evidence(kind, text=said, reason=reason, details={**place, **details})
    where = f"{service} ({place['host']})"
    if handed_over:
        unknown = f"{where} got the message and did not answer ({reason}); it may have been accepted."
        return OutcomeUnknown(unknown, step="accepted", evidence=evidence)
    if kind == "tls":
        return TLSError(f"The encrypted connection to {where} could not be made: {said}.", step=step or "tls", evidence=evidence)
    if reason == "timeout":
        return ConnectTimeout(f"{where} was silent for too long.", step=step or "connect", evidence=evidence)
    words = f"{where} could not be reached: {_WORDS.get(reason, 'the connection broke off')}."
    return ConnectError(words, step=step or ("resolve" if kind == "dns" else "connect"), evidence=evidence)


def never_left(problem: BaseException) -> bool:
    """Tell whether a request without a body surely never left: no connection came about."""
    names = {type(link).__name__ for link in _causes(problem)}
    return bool(names & {"NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError", "SSLCertVerificationError"})


_WORDS = {
    "refused": "nothing answers on that port",
    "unreachable": "the network leads nowhere",
    "not-found": "there is no such name",
    "no-dns": "the name could not be looked up",
    "no-address": "the name has no address",
    "proxy": "the proxy refused to help",
}


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Go from an SDK's exception down to what the operating system said; they nest by cause, by argument and by ``reason``."""
    seen: set[int] = set()
    current: BaseException | None = problem
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        nested = [current.__cause__, getattr(current, "reason", None), *reversed(current.args), current.__context__]
        current = next((one for one in nested if isinstance(one, BaseException)), None)


_RESOLVE = {
    getattr(socket, "EAI_NONAME", None): "not-found",
    getattr(socket, "EAI_NODATA", None): "no-address",
    getattr(socket, "EAI_ADDRFAMILY", None): "no-address",
    getattr(socket, "EAI_AGAIN", None): "no-dns",
    getattr(socket, "EAI_FAIL", None): "no-dns",
}


def _seen(chain: list[BaseException]) -> tuple[str, str, str, dict[str, Any]]:
    """Find the most telling link of the chain: kind, reason, the operating system's words and details for the evidence.

    Only the words of system errors are kept: those of requests and urllib3 quote whole URLs.
    """
    for link in reversed(chain):
        said = bounded(str(link), 300)
        if isinstance(link, ssl.SSLCertVerificationError):
            return "tls", link.reason or "certificate", said, {"verify_code": link.verify_code, "verify_message": link.verify_message}
        if isinstance(link, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return "connect", "closed", said, {}
        if isinstance(link, ssl.SSLError):
            return "tls", link.reason or "handshake", said, {}
        if isinstance(link, socket.gaierror):
            return "dns", _RESOLVE.get(link.errno, "not-found"), said, {"errno": link.errno}
        if isinstance(link, http.client.RemoteDisconnected | http.client.IncompleteRead):
            return "connect", "closed", "closed", {}
        if isinstance(link, ConnectionRefusedError):
            return "connect", "refused", said, {"errno": link.errno}
        if isinstance(link, TimeoutError):
            return "connect", "timeout", said, {}
        if isinstance(link, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            return "connect", "reset", said, {"errno": link.errno}
        if type(link) is OSError:
            tunnel = said.startswith("Tunnel connection failed")  # http.client's words for a proxy's refusal of CONNECT
            return "connect", "proxy" if tunnel else "unreachable", said, {} if tunnel else {"errno": link.errno}
    names = {type(link).__name__ for link in chain}
    for kind, reason, known in (
        ("connect", "timeout", {"ReadTimeoutError", "ConnectTimeoutError", "ReadTimeout", "ConnectTimeout"}),
        ("dns", "bad-name", {"InvalidURL", "LocationParseError", "UnicodeError"}),
        ("connect", "proxy", {"ProxyError", "InvalidProxyURL"}),
    ):
        if names & known:
            return kind, reason, reason, {}
    return "connect", "closed", "closed", {}
