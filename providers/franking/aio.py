"""Franking for asyncio: the same surface with ``await`` and ``async for``, a thin front over the Mailer in worker
threads.

    async with franking.aio.connect("shop") as mailer:
        receipt = await mailer.send(message)
        async for result in mailer.send_many(messages):
            ...

Nothing is done twice here: composing, sessions, recovery and diagnosis are the Mailer's. Cancelling breaks off the
session that was sending, and waits the moment that it takes until the message's state is known: ``result_of(error)``
tells it, also of the ``TimeoutError`` that ``asyncio.timeout`` makes of a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import CancelledError as SourceCancelled
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from franking.errors import ConnectError, FrankingError, SettingsError
from franking.provider import Receipt
from franking.redaction import veiled
from franking.sending.background import AGAIN, Call, once, run, threads, told
from franking.sending.connect import account_for, explained
from franking.sending.connect import connect as connect_mailer
from franking.sending.queue import SendResult

if TYPE_CHECKING:
    from datetime import datetime
    from email.message import EmailMessage
    from pathlib import Path

    from franking.account.account import Account
    from franking.auth.secret import Secret
    from franking.auth.store import SecretStore
    from franking.discovery.lookup import Resolver
    from franking.message.address import Envelope
    from franking.message.message import Message
    from franking.outbox.entry import OutboxEntry
    from franking.provider import Observer
    from franking.sending.limit_places import SharedLimits
    from franking.sending.mailer import Mailer
    from franking.sending.retry import Policy
    from franking.sending.testsend import TestReport

    Sendable = Message | EmailMessage | bytes

__all__ = ["AsyncMailer", "connect", "result_of", "send", "send_test"]

Result = TypeVar("Result")
_END = object()


def connect(
    account: str | Account | None = None,
    *,
    connections: int = 1,
    window: int = 1,
    rate: float | None = None,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
    limits: str | Path | SharedLimits | None = None,
    limits_required: bool | None = None,
) -> AsyncMailer:
    """Make an asynchronous mailer; everything as in ``franking.connect``.

        async with franking.aio.connect("shop") as mailer:
            receipt = await mailer.send(message)

    Nothing is opened, and no file read, until first used: a wrong account shows then (``SettingsError``). ``observer``
    is called in worker threads.
    """
    secret, limits = veiled(secret), veiled(limits)
    return AsyncMailer(
        account,
        connections=connections,
        window=window,
        rate=rate,
        secret=secret,
        observer=observer,
        store=store,
        limits=limits,
        limits_required=limits_required,
    )


async def send(
    account: str | Account | None,
    message: Sendable,
    *,
    envelope: Envelope | None = None,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
) -> Receipt:
    """Send one message and close; everything as in ``franking.send``.

        receipt = await franking.aio.send("shop", message)

    Raises as ``franking.send`` does.
    """
    secret = veiled(secret)

    def act(call: Call[Receipt]) -> Receipt:
        with explained():
            chosen = account_for(account, message)
        with connect_mailer(chosen, secret=secret, observer=observer, store=store) as mailer:
            return call.uses(mailer).send(message, envelope=envelope)

    return await once(act, message)


async def send_test(
    account: str | Account | None = None,
    to: str | None = None,
    *,
    secret: str | Secret | None = None,
    observer: Observer | None = None,
    store: SecretStore | None = None,
    language: str = "en",
    domain_check: bool = True,
    resolver: Resolver | None = None,
) -> TestReport:
    """Send a test message; everything as in ``franking.send_test``.

        print(await franking.aio.send_test("shop", to="me@example.cz"))

    Raises no delivery failure: the report says.
    """
    secret = veiled(secret)

    def act(call: Call[TestReport]) -> TestReport:
        from franking.sending import testsend

        return testsend.send_test(
            account,
            to,
            secret=secret,
            observer=observer,
            store=store,
            made=call.uses,
            language=language,
            domain_check=domain_check,
            resolver=resolver,
        )

    return await once(act, None)


def result_of(error: BaseException) -> SendResult | None:
    """Return what became of the message whose sending ended with this error, or None where it concerned none.

    ``outcome`` is ``accepted`` (it went through before the cancellation), ``failed`` (surely not accepted) or
    ``unknown``. Takes a ``CancelledError``, the ``TimeoutError`` made of one, or a ``FrankingError``.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FrankingError):
            return told(None, seen)
        found = getattr(seen, "franking_result", None)
        if isinstance(found, SendResult):
            return found
        seen = seen.__cause__ or seen.__context__
    return None


class AsyncMailer:
    """Hold a ``Mailer`` and the threads that it works in: as many as it has connections.

        async with franking.aio.connect("shop", connections=2) as mailer:
            async for result in mailer.send_many(messages):
                print(result.outcome)

    Tasks may share it.
    """

    def __init__(
        self,
        account: str | Account | None = None,
        *,
        connections: int = 1,
        window: int = 1,
        rate: float | None = None,
        secret: str | Secret | None = None,
        observer: Observer | None = None,
        store: SecretStore | None = None,
        limits: str | Path | SharedLimits | None = None,
        limits_required: bool | None = None,
    ) -> None:
        secret, limits = veiled(secret), veiled(limits)
        self._window = window
        self._make = partial(
            connect_mailer,
            account,
            connections=connections,
            window=window,
            rate=rate,
            secret=secret,
            observer=observer,
            store=store,
            limits=limits,
            limits_required=limits_required,
        )
        self._mailer: Mailer | None = None
        self._making = threading.Lock()
        self._closed = False
        self._threads = threads(max(connections, 1))

    def _made(self) -> Mailer:
        """Make the mailer, in a worker thread: reading settings is I/O."""
        with self._making:
            self._refuse_closed()
            if self._mailer is None:
                self._mailer = self._make()
            return self._mailer

    def _refuse_closed(self) -> None:
        if self._closed:
            raise SettingsError("This mailer is closed; connect again.")

    async def send(self, message: Sendable, *, envelope: Envelope | None = None) -> Receipt:
        """Send one message. Raises as ``Mailer.send`` does."""
        self._refuse_closed()

        def act(call: Call[Receipt]) -> Receipt:
            return call.uses(self._made()).send(message, envelope=envelope)

        return await run(self._threads, act, message)

    async def queue(
        self,
        message: Sendable,
        *,
        key: str | None = None,
        not_before: datetime | float | None = None,
        give_up: float | None = None,
        envelope: Envelope | None = None,
    ) -> OutboxEntry:
        """Put a message into the outbox; it is on disk when this returns. Everything as in ``Mailer.queue``."""
        self._refuse_closed()

        def act(call: Call[OutboxEntry]) -> OutboxEntry:
            mailer = self._made()  # nothing leaves, so there is nothing to break off
            return mailer.queue(message, key=key, not_before=not_before, give_up=give_up, envelope=envelope)

        return await run(self._threads, act, None)

    async def check(self) -> None:
        """Open a session up to the login; proves that sending could start. Raises as ``Mailer.send`` does."""
        self._refuse_closed()

        def act(call: Call[None]) -> None:
            call.uses(self._made()).check()

        await run(self._threads, act, None)

    async def send_many(
        self,
        messages: Iterable[Sendable] | AsyncIterable[Sendable],
        *,
        connections: int | None = None,
        window: int | None = None,
        rate: float | None = None,
        policy: Policy | None = None,
        started: Callable[[int, str], None] | None = None,
        stop: threading.Event | None = None,
        unread: Callable[[SendResult], object] | None = None,
    ) -> AsyncIterator[SendResult]:
        """Send any number of messages, drawn lazily; yield a ``SendResult`` for each. Everything as in
        ``Mailer.send_many``.

        A plain iterable is drawn in a worker thread, an asynchronous one in this event loop. While nobody reads
        results, no more messages are drawn. Leaving the loop early, or being cancelled, breaks off what is under way:
        ``unread`` is called with each result that was not read by then, and a message without a result was surely not
        sent.
        """
        stop = stop or threading.Event()
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[Any] = asyncio.Queue()
        room = threading.Semaphore(max(16, 2 * (window or self._window)))
        left = threading.Event()  # nobody makes room any more
        source: Any = _Drawn(messages, loop) if isinstance(messages, AsyncIterable) else messages

        def put(item: Any) -> None:
            if not left.is_set():
                room.acquire()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(results.put_nowait, item)

        def work() -> None:
            try:
                for result in self._made().send_many(
                    source,
                    connections=connections,
                    window=window,
                    rate=rate,
                    policy=policy,
                    started=started,
                    stop=stop,
                ):
                    put(result)
            except BaseException as problem:  # noqa: BLE001  (handed to the task that reads)
                put(problem)
            finally:
                put(_END)

        thread = threading.Thread(target=work, name="franking send_many", daemon=True)
        with explained():
            thread.start()
        ended = False
        try:
            while (item := await results.get()) is not _END:
                room.release()
                if isinstance(item, BaseException):
                    raise item
                yield item
            ended = True
        finally:
            if isinstance(source, _Drawn):
                source.close()
            if not ended:
                left.set()
                room.release()
                stop.set()
                ended = await self._drained(results, stop, unread)
            if ended:
                thread.join()  # putting the end was the last thing that it did

    async def _drained(
        self, results: asyncio.Queue[Any], stop: threading.Event, unread: Callable[[SendResult], object] | None
    ) -> bool:
        """Break a ``send_many`` off and take its last results; return whether it has ended.

        If it has not, it is opening a session that nobody will use.
        """
        reading = asyncio.ensure_future(results.get())
        while True:
            nothing_left = self._mailer is not None and self._mailer.abort(stop=stop)
            with contextlib.suppress(asyncio.CancelledError):  # what became of the messages must be known first
                await asyncio.wait({reading}, timeout=AGAIN)
            if reading.done():
                item = reading.result()
                if item is _END:
                    return True
                if isinstance(item, SendResult) and unread is not None:
                    unread(item)
                reading = asyncio.ensure_future(results.get())
            elif nothing_left:
                reading.cancel()
                return False

    async def close(self) -> None:
        """Close every session."""
        self._closed = True
        if self._mailer is not None:
            close = self._mailer.close
            try:
                await once(lambda call: close(), None)
            except ConnectError:  # no thread can be started
                close()
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncMailer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Drawn:
    """An asynchronous iterable, drawn one at a time from a worker thread."""

    def __init__(self, messages: AsyncIterable[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._source, self._loop = aiter(messages), loop
        self._lock = threading.Lock()
        self._waiting: Future[Any] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._closed:
                raise StopIteration
            self._waiting = asyncio.run_coroutine_threadsafe(self._following(), self._loop)
        try:
            item = self._waiting.result()
        except SourceCancelled:
            raise StopIteration from None
        if item is _END:
            raise StopIteration
        return item

    async def _following(self) -> Any:
        return await anext(self._source, _END)

    def close(self) -> None:
        """Draw no more, and give up waiting for the next one."""
        with self._lock:
            self._closed = True
            if self._waiting is not None:
                self._waiting.cancel()
