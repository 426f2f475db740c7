"""HTTP as Franking wants it, for both API providers: our way to connect, our TLS, one attempt, no redirects.

``session`` makes the connection pool, ``read`` reads a response and takes out what it repeats of our secrets,
``Streamed`` is a request's body of known length that knows whether it was handed over. What a failure means for a
message is ``http_errors.py``. No provider is known here, and no ``requests`` is imported before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from franking.net import tcp, tls
from franking.net.http_errors import Unconnected
from franking.net.response import PATIENCE, BoundedResponse, unpacked, without_secrets

if TYPE_CHECKING:
    import requests

__all__ = ["BODY_LIMIT", "PIECE", "Changed", "Streamed", "abort", "reach", "read", "session"]


PIECE = 65_536
"""Octets of a request's body that are handed to the socket at once."""

BODY_LIMIT = 65_536
"""Octets of a response's body that are read; error bodies of Google and Microsoft have about 1,000."""


def session(ca_file: str | None, *, timeout: float, patience: float = PATIENCE) -> requests.Session:
    """Make a requests session: HTTPS only, ``tls.context(ca_file)``, no retries, no redirects, ``trust_env`` off but
    HTTPS_PROXY/NO_PROXY honoured.

    Looking the name up, connecting and the TLS handshake take ``timeout`` seconds each at most, and so does every
    request without progress unless it names its own; a response that has begun ends within ``patience``. The
    environment's CA bundle variables (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) and ``verify=False`` neither replace nor
    weaken our context; .netrc is not read.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidProxyURL
    from requests.utils import get_environ_proxies
    from urllib3.connection import HTTPSConnection
    from urllib3.connectionpool import HTTPSConnectionPool

    context = tls.context(ca_file)
    longest = max(patience, timeout)

    class Response(BoundedResponse):
        patience = longest

    class Connection(HTTPSConnection):
        response_class = Response
        stage = "connect"  # what is going on while no connection has come about
        debuglevel = 0  # a program that sets http.client's own to 1 would see our tokens printed

        def connect(self) -> None:
            self.stage = "connect"
            try:
                if made.aborted:
                    raise ConnectionAbortedError(errno.ECONNABORTED, "broken off")
                made.connections.add(self)
                super().connect()
            except OSError as problem:
                proxy = self.proxy and self.stage != "tls" and f"{self.proxy.host}:{self.proxy.port}"
                raise Unconnected(self.stage, proxy or None) from problem

        def _new_conn(self) -> socket.socket:
            place = tcp.Place(self._dns_host, self.port, "tls")
            seconds: Any = self.timeout  # the request's own, or that of who opens it ahead
            tcp.connect(place, tcp.resolve(place, timeout=seconds), self._own, timeout=seconds)
            if self.proxy is None:
                self.stage = "tls"
            return self.sock

        def _own(self, sock: socket.socket) -> None:
            sock.settimeout(self.timeout)
            self.sock = sock
            if made.aborted:  # while no socket was there to break off
                raise ConnectionAbortedError(errno.ECONNABORTED, "broken off")

        def _tunnel(self) -> None:
            super()._tunnel()
            self.stage = "tls"

        @property
        def is_connected(self) -> bool:
            return self.sock is not None and _alive(self.sock)

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

        def reach(self) -> str:
            connection: Any = self._get_conn()
            connection.timeout = timeout
            try:
                if self.proxy is not None and connection.is_closed:
                    self._prepare_proxy(connection)
                self._validate_conn(connection)
                return str(connection.sock.version())
            except BaseException:
                connection.close()
                raise
            finally:
                self._put_conn(connection)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **settings: Any) -> None:
            super().init_poolmanager(*args, **settings, ssl_context=context)
            self._ours(self.poolmanager)

        def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
            if proxy.lower().startswith("socks"):
                raise InvalidProxyURL("a SOCKS proxy is not spoken to; HTTPS_PROXY must name an HTTP proxy")
            settings["proxy_ssl_context"] = context
            return self._ours(super().proxy_manager_for(proxy, **settings, ssl_context=context))

        def _ours(self, pools: Any) -> Any:
            pools.pool_classes_by_scheme = {**pools.pool_classes_by_scheme, "https": Pool}
            return pools

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            # requests would load certifi's bundle into our context here
            conn.cert_reqs = "CERT_REQUIRED"

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            return super().build_connection_pool_key_attributes(request, True, cert)

    class Session(requests.Session):
        connections: ClassVar[WeakSet[Any]] = WeakSet()  # the class is this session's alone
        aborted = False

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
    del made.adapters["http://"]
    made.headers["User-Agent"] = "franking"
    made.headers["Accept-Encoding"] = "identity"  # a small response must stay small
    logging.getLogger("urllib3.connectionpool").addFilter(_without_query)
    return made


def _alive(sock: Any) -> bool:
    """Return whether the other side has left a resting connection open.

    urllib3 takes every unread octet for an end, and a TLS 1.3 server's session tickets for that reason too: a
    connection opened by ``reach`` would never be used.
    """
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1)  # takes in tickets; an octet that nobody asked for is as bad as an end
    except ssl.SSLWantReadError:
        return True
    except (OSError, ValueError):  # ValueError: the TLS layer is off already
        return False
    finally:
        sock.settimeout(timeout)
    return False


def reach(session: requests.Session, url: str) -> str:
    """Open the connection that the next request to ``url`` will use, send nothing, and return the TLS
    version (``TLSv1.3``).

    ``session`` is one of ours. Raises what the transport raises: hand it to ``http_errors.from_exception``.
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
    for connection in list(ours.connections):
        sock = connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # the plain socket's shutdown: SSLSocket's would take the encryption off under a thread that is sending;
                # TLS within a proxy's TLS is no socket and holds one
                socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


def _without_query(record: logging.LogRecord) -> bool:
    # urllib3 logs whole targets at DEBUG, and the query of an upload URL is a bearer secret
    if isinstance(record.args, tuple):
        record.args = tuple(re.sub(r"\?.*", "?…", part) if isinstance(part, str) else part for part in record.args)
    return True


class Changed(ValueError):
    """The chunks of a body did not add up to the length that was announced: what they are made of changed meanwhile."""


class Streamed:
    """The body of one request: chunks made while they are sent, with a length known before.

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
        done = 0
        chunks = filter(None, self._chunks)
        for chunk in chunks:
            done += len(chunk)
            # before the last octet leaves: a body that was cut off would be taken for the whole
            if done > self._length or (done == self._length and any(chunks)):
                raise Changed(f"a body of {self._length} octets turned out longer")
            self.handed_over = done == self._length
            yield chunk
            if self._progress is not None:
                self._progress(done)
        if done != self._length:
            raise Changed(f"a body of {self._length} octets ended after {done}")


def read(response: requests.Response) -> requests.Response:
    """Read the beginning of a response that was asked for with ``stream=True``: ``content`` has at most ``BODY_LIMIT``
    octets.

    What it repeats of the request's secrets is taken out, of its headers too. A longer response's connection is closed
    instead of being reused. Raises what the transport raises.
    """
    from requests.exceptions import ChunkedEncodingError
    from urllib3.exceptions import HTTPError

    content = b""
    try:
        # not unpacked, as urllib3 would however often it was packed: a hundred octets can become gigabytes
        for chunk in response.raw.stream(8_192, decode_content=False):
            content += chunk
            if len(content) > BODY_LIMIT:
                response.close()
                break
    except (HTTPError, ValueError) as problem:  # urllib3 takes a chunk's length on trust, a negative one too
        raise ChunkedEncodingError(problem) from None
    plain = unpacked(content[:BODY_LIMIT], response.headers, BODY_LIMIT)
    response._content = without_secrets(response, plain)
    return response
