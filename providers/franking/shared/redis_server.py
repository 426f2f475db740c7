"""One Redis, asked by scripts: each runs whole or not at all, by the server's clock. It knows no script in particular.

    server = RedisServer("redis://…", timeout=10)
    TAKE = Script("local now = redis.call('TIME') …")
    server.run(TAKE, [server.name("limit:", mailbox)], [5, "w1"])           # one round trip
    server.run_all([TAKE.call([…], […]), CLAIM.call([…], […])])             # one round trip too
    server.say(TAKE, […], […])                                              # none: its answer is read later

Texts come back as ``str``, numbers as ``int``; a script hands fractions over as texts (Lua's numbers lose them).
Threads share a server: each borrows a connection for a moment. A forked child opens its own. Nothing is tried twice
here: redis-py's own repetitions would double a script. Where the answer was lost, ``may_have_happened(error)`` is true
(``failures.py``), and whoever asked decides, by asking what is there. A script that the server has forgotten was surely
not run, and goes again with its text.

redis-py is imported when the first connection is opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from franking.errors import FrankingError, SettingsError, discreet
from franking.net.deadline import within
from franking.redaction import Redactor, Veiled, veiled
from franking.shared import address, failures
from franking.shared.reaching import reached
from franking.shared.redis_link import Link, Unread

if TYPE_CHECKING:
    import redis

__all__ = ["Call", "RedisServer", "Script"]

TIMEOUT = 30.0

_OPTIONS = ("ca_file", "db", "ssl_certfile", "ssl_keyfile")

# an error's first word (in Redis 6 a script's error has it in the middle): not now, whatever it is asked
_BUSY = re.compile(
    r"\b(READONLY|LOADING|OOM|MOVED|ASK|BUSY|MISCONF|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS)\b"
    r"|max number of clients"
)
_REFUSED = re.compile(r"\b(NOAUTH|WRONGPASS|DENIED|AUTH)\b|invalid (password|username)")
_NO_RIGHTS = re.compile(r"\bNOPERM\b|ACL failure")
_CLUSTER = re.compile(r"\bCROSSSLOT\b|hash to the same slot")
_NO_SCRIPTS = re.compile(r"unknown command|Write commands not allowed after non deterministic")
_BAD_FILE = re.compile(r"\[(X509|PEM)\b|\[SSL\] PEM lib|KEY_VALUES_MISMATCH|NO_CERTIFICATE")

# redis-py takes the first word away, and makes a class of it
_WORDS = {
    "AskError": "ASK",
    "AuthenticationError": "NOAUTH",
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}


class Call(NamedTuple):
    """A script with what it is run on."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int | float]


class Script:
    """A script in Lua."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], args: Sequence[str | int | float] = ()) -> Call:
        """Return the call of this script with keys and arguments."""
        return Call(self, keys, args)


class RedisServer:
    """Ask one Redis server: by its address, or by a redis-py client of which the address and the login are taken.

    ``timeout`` bounds each attempt to connect and each answer, in seconds. ``prefix`` begins the name of every key.
    ``step`` is what errors say of when they happened. Raises ``SettingsError`` for an address that is none.
    """

    def __init__(
        self,
        client_or_url: str | Veiled[str] | redis.Redis,
        *,
        timeout: float = TIMEOUT,
        prefix: str = "franking:",
        step: str = "secret",
    ) -> None:
        client_or_url = veiled(client_or_url)
        self.timeout, self.prefix, self.step = timeout, prefix, step
        self._client: Any = None
        self._url: Veiled[str] | None = None
        with discreet:
            if isinstance(client_or_url, Veiled):
                self._url = client_or_url
                self._options = self._checked()
            else:
                self._client = client_or_url
            self.where, self._hidden = self._shown(), self._secrets()
        self._idle: deque[Link] = deque()
        weakref.finalize(self, _close, self._idle)

    def __repr__(self) -> str:
        return f"RedisServer({self.where!r})"

    @property
    def protected(self) -> bool:
        """Return whether nobody on the way can listen: TLS, or a server on this machine."""
        if self._url is not None:
            parts = urlsplit(self.where)
            return parts.scheme == "rediss" or failures.loopback(parts.hostname or "")
        pool = self._client.connection_pool
        host = pool.connection_kwargs.get("host", "")
        return "SSL" in pool.connection_class.__name__ or failures.loopback(str(host))

    def name(self, *parts: str) -> str:
        """Return the name of a key: the prefix and the parts."""
        return self.prefix + "".join(parts)

    def run(self, script: Script, keys: Sequence[str] = (), args: Sequence[str | int | float] = ()) -> Any:
        """Run one script and return what it returns."""
        return self.run_all([Call(script, keys, args)])[0]

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts one after the other, in one round trip, and return what each returns.

        Each is whole by itself; another client may come between two. Raises the first one's error after all have run.
        """
        with discreet:
            link = self._borrow()
            with link.lock:
                answers = self._exchange(link, [_words(link, call) for call in calls])
                forgotten = [number for number, answer in enumerate(answers) if _of_kind(answer, "NoScriptError")]
                if forgotten:  # somebody flushed the scripts
                    again = [_words(link, calls[number], whole=True) for number in forgotten]
                    for number, answer in zip(forgotten, self._exchange(link, again), strict=True):
                        answers[number] = answer
            self._idle.append(link)
            return [self._answer(answer) for answer in answers]

    def say(
        self, script: Script, keys: Sequence[str] = (), args: Sequence[str | int | float] = ()
    ) -> Callable[[], Any] | None:
        """Send a script without waiting for its answer; return what waits for it, and raises what ``run`` would. None:
        no connection is open just now, and nothing was sent.
        """
        with discreet:
            if not self._idle:
                return None
            link = self._borrow()
            unread = Unread(link)
            with link.lock:
                self._exchange(link, [_words(link, Call(script, keys, args))], unread)
            self._idle.append(link)
            return partial(self._heard, unread)

    def _heard(self, unread: Unread) -> Any:
        """Wait for an answer that may have been read with another one."""
        with discreet:
            with unread.link.lock:
                if not unread.done:
                    self._exchange(unread.link, [])
            if unread.problem is not None:
                raise copy(unread.problem)
            return self._answer(unread.answer)

    def ask(self, *words: str) -> Any:
        """Give one command by its words and return the answer: for what a check wants to know."""
        with discreet:
            link = self._borrow()
            with link.lock:
                answer = self._exchange(link, [words])[0]
            self._idle.append(link)
            return self._answer(answer)

    def close(self) -> None:
        """Close the connections that nobody uses just now; what they were still to answer is heard before."""
        with discreet:
            while self._idle:
                self._drop(self._idle.pop())

    # -- its address -------------------------------------------------------------------------------------------------

    def _shown(self) -> str:
        if self._url is not None:
            return address.shown(self._url.reveal())
        known = self._client.connection_pool.connection_kwargs
        return str(known.get("path") or f"redis://{known.get('host', 'localhost')}:{known.get('port', 6379)}")

    def _secrets(self) -> Redactor:
        """Return what takes the password out of what is said: an old server repeats the whole of a command."""
        if self._url is not None:
            return address.secrets_of(self._url.reveal())
        password = self._client.connection_pool.connection_kwargs.get("password")
        return Redactor([password] if isinstance(password, str) and password else [])

    # -- one connection ----------------------------------------------------------------------------------------------

    def _exchange(self, link: Link, commands: Sequence[tuple[Any, ...]], unread: Unread | None = None) -> list[Any]:
        """Send commands together and read their answers, refusals among them; what ends the connection is raised. The
        answer that is to stay ``unread`` is not waited for.
        """
        import redis

        try:
            if commands:
                link.send(commands)
            if unread is not None:
                link.unread.append(unread)
                return []
            link.catch_up()
            return [link.read() for _ in commands]
        except (redis.exceptions.RedisError, OSError) as problem:
            error = self._lost(problem, unknown=True)
        except BaseException as strike:  # an interruption: what was not read would be taken for the next answer
            link.close(self._lost(ConnectionError(f"{type(strike).__name__} broke in"), unknown=True))
            raise
        link.close(error)
        raise error  # out here, where the library's own error is not its context: its frames hold the password

    def _borrow(self) -> Link:
        """Return a connection that is open as far as can be seen."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if link.quiet:
                return link
            self._drop(link)
        return self._open()

    def _drop(self, link: Link) -> None:
        """Close a connection that is over; what was answered before its end is heard."""
        with link.lock:
            if link.unread and link.pid == os.getpid():
                with suppress(FrankingError):
                    self._exchange(link, [])
            link.close(self._lost(ConnectionError("it was closed"), unknown=True))

    def _open(self) -> Link:
        error: FrankingError
        try:
            import redis
        except ImportError:
            raise failures.extra_missing("redis", "redis", step=self.step) from None
        if self._url is not None:
            self._check_files()
        try:
            connection = self._made()
            # the login has its time too
            within(self.timeout + 1, connection.connect, name="franking-redis")
            return Link(connection)
        except (redis.exceptions.RedisError, OSError) as problem:
            error = self._lost(problem, unknown=False)
        except (TypeError, ValueError) as problem:
            error = failures.misfit(str(problem), step=self.step, server=self.where, hidden=self._hidden)
        raise error

    def _made(self) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        kind: Any
        if self._url is None:
            pool = self._client.connection_pool
            kind = pool.connection_class
            known = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_OF_POOLS)}
        else:
            (kind, with_tls), known = _racing(), dict(self._options)
            parts = urlsplit(self._url.reveal())
            known |= {"host": parts.hostname or "localhost", "port": parts.port or 6379}
            known |= {name: unquote(text) for name in ("username", "password") if (text := getattr(parts, name))}
            if parts.scheme == "rediss":
                kind = with_tls
                known["ssl_check_hostname"] = True  # not redis-py's default in all versions
        known |= {"socket_timeout": self.timeout, "socket_connect_timeout": self.timeout, "health_check_interval": 0}
        known |= {"decode_responses": True, "encoding": "utf-8", "protocol": 2}
        known |= {"retry": Retry(NoBackoff(), 0), "retry_on_timeout": False, "retry_on_error": []}
        return kind(**known)

    def _checked(self) -> dict[str, Any]:
        """Return the options of the address under redis-py's names."""
        assert self._url is not None
        address.check(self._url.reveal(), step=self.step)
        parts = urlsplit(self._url.reveal())
        options: dict[str, Any] = {}
        try:
            parts.port  # noqa: B018  (it is looked at only now)
            if parts.path.strip("/"):
                options["db"] = int(parts.path.strip("/"))
        except ValueError:
            problem = "the port or the number of the database (redis://host:6379/0) is no number"
            raise failures.misfit(problem, step=self.step) from None
        for name, value in parse_qsl(parts.query):
            if name not in _OPTIONS:
                known = ", ".join(_OPTIONS)
                raise failures.misfit(f"{name!r} is no option of a Redis address; there are {known}", step=self.step)
            options["ssl_ca_certs" if name == "ca_file" else name] = value
        if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in options):
            raise failures.misfit("certificates belong to an address with TLS: rediss://", step=self.step)
        return options

    def _check_files(self) -> None:
        """Raise ``SettingsError`` where a file that the address names cannot be read: trying again would not help."""
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            try:
                with Path(self._options.get(name, os.devnull)).open("rb"):
                    pass
            except OSError as problem:
                why = f"{problem.filename}, which the address names, cannot be read: {problem.strerror}"
                raise failures.misfit(why, step=self.step, server=self.where) from None

    # -- what an error means -----------------------------------------------------------------------------------------

    def _answer(self, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            return answer
        raise self._refusal(_said(answer))

    def _refusal(self, words: str) -> FrankingError:
        """Return the error of a server that answered with these words, and did nothing."""
        if _REFUSED.search(words):
            return failures.refused(self.where, words, step=self.step, hidden=self._hidden)
        if _BUSY.search(words):
            return failures.busy(self.where, words, step=self.step, hidden=self._hidden)
        if _NO_RIGHTS.search(words):
            return failures.no_rights(self.where, words, step=self.step, hidden=self._hidden)
        if _CLUSTER.search(words):
            return self.unfit(f"it is a Redis Cluster ({words})")
        if _NO_SCRIPTS.search(words):
            return self.unfit(f"it runs no scripts; a Sentinel names a Redis and is none ({words})")
        return failures.refused(self.where, words, step=self.step, hidden=self._hidden)

    def unfit(self, why: str) -> SettingsError:
        """Return the error of a server of a kind that will not do."""
        return failures.unfit(self.where, why, step=self.step, hidden=self._hidden)

    def _lost(self, problem: Exception, *, unknown: bool) -> FrankingError:
        """Return the error of a connection that did not come about or that has ended; the server may have said why."""
        words = _said(problem)
        # an answer, such as that there is no such database, would be the same each time
        if _of_kind(problem, "ResponseError") or any(one.search(words) for one in (_REFUSED, _BUSY, _NO_RIGHTS)):
            return self._refusal(words)
        if "CERTIFICATE_VERIFY_FAILED" in words or _BAD_FILE.search(words):
            why = f"{self.where}: {words}"
            return failures.misfit(why, step=self.step, server=self.where, hidden=self._hidden)
        return failures.away(self.where, words, step=self.step, unknown=unknown, hidden=self._hidden)


def _words(link: Link, call: Call, *, whole: bool = False) -> tuple[Any, ...]:
    """Return a call's command: with the script's text the first time, in the same flight; then by its hash."""
    how = ("EVALSHA", call.script.sha)
    if whole or call.script.sha not in link.known:
        link.known.add(call.script.sha)
        how = ("EVAL", call.script.text)
    return (*how, len(call.keys), *call.keys, *call.args)


_OF_POOLS = ("maint_", "orig_", "event_", "oss_", "himport_", "cache")
"""What a pool writes into the settings of its connections for itself."""


@cache
def _racing() -> tuple[Any, Any]:
    """Return connections, without TLS and with it, for which all addresses of a name together get the time that
    redis-py gives to each.
    """
    from redis.connection import Connection, SSLConnection

    class Racing(Connection):
        def _connect(self) -> socket.socket:
            return reached(self.host, int(self.port), self.socket_connect_timeout or TIMEOUT)

    return Racing, type("RacingWithTLS", (SSLConnection, Racing), {})


def _of_kind(answer: object, name: str) -> bool:
    return type(answer).__name__ == name


def _close(idle: deque[Link]) -> None:
    while idle:  # of a parent's, redis-py lets go without a word to the server
        idle.pop().connection.disconnect()


def _said(problem: Exception) -> str:
    """Return the server's words, or the library's."""
    said = " ".join(str(problem).split())
    word = _WORDS.get(type(problem).__name__)
    if word and word not in said:
        said = f"{word} {said}"
    return said or type(problem).__name__
