"""Franking for asyncio: the same surface with ``await`` and ``async for``, a thin front over the Mailer in worker threads.

    async with franking.aio.connect("shop") as mailer:
        receipt = await mailer.send(message)
        async for result in mailer.send_many(messages):
            ...

Nothing is done twice here: composing, sessions, recovery and diagnosis are the Mailer's. Cancelling breaks off the session that was sending
and waits until the message's state is known: the ``CancelledError`` then has the Franking error as its ``__cause__``, or none where the
message was accepted before the cancellation reached it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from franking.errors import FrankingError

if TYPE_CHECKING:
    from email.message import EmailMessage

    from franking.account import Account
    from franking.address import Envelope
    from franking.bulk import SendResult
    from franking.mailer import Mailer
    from franking.message import Message
    from franking.provider import Receipt
    from franking.testsend import TestReport

    Sendable = Message | EmailMessage | bytes

__all__ = ["AsyncMailer", "connect", "send", "send_test"]

Result = TypeVar("Result")
_END = object()


def connect(account: str | Account | None = None, **options: Any) -> AsyncMailer:
    """Make an asynchronous mailer; ``options`` are those of ``franking.connect``. Nothing is opened, and no file read, until first used."""
    return AsyncMailer(account, options)


async def send(account: str | Account | None, message: Sendable, *, envelope: Envelope | None = None, **options: Any) -> Receipt:
    """Send one message and close. Raises as ``franking.send`` does."""
    async with connect(account, **options) as mailer:
        return await mailer.send(message, envelope=envelope)


async def send_test(account: str | Account | None = None, to: str | None = None, **options: Any) -> TestReport:
    """Send a test message; never raises for a delivery failure: the report says."""
    from franking import testsend

    return await asyncio.to_thread(testsend.send_test, account, to, **options)


class AsyncMailer:
    """Hold a ``Mailer`` and the threads that it works in: as many as it has connections. Belongs to one event loop."""

    def __init__(self, account: str | Account | None, options: dict[str, Any]) -> None:
        self._account, self._options = account, options
        self._mailer: Mailer | None = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=options.get("connections", 1), thread_name_prefix="franking")

    def _made(self) -> Mailer:
        """Make the mailer in a worker thread: reading settings is I/O."""
        from franking.mailer import connect as connect_mailer

        with self._making:
            if self._mailer is None:
                self._mailer = connect_mailer(self._account, **self._options)
            return self._mailer

    async def send(self, message: Sendable, *, envelope: Envelope | None = None) -> Receipt:
        """Send one message. Raises as ``Mailer.send`` does."""
        return await self._run(lambda mailer: mailer.send(message, envelope=envelope))

    async def check(self) -> None:
        """Open a session up to the login; proves that sending could start."""
        await self._run(lambda mailer: mailer.check())

    async def _run(self, act: Callable[[Mailer], Result]) -> Result:
        worker: list[int] = []

        def work() -> Result:
            worker.append(threading.get_ident())
            return act(self._made())

        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError as cancelled:
            if future.cancel() and not worker:
                raise  # it had not begun
            if self._mailer is not None and worker:
                self._mailer.abort(thread=worker[0])
            try:
                await _uncancelled(future)
            except FrankingError as state:
                raise cancelled from state
            raise

    async def send_many(self, messages: Iterable[Sendable] | AsyncIterable[Sendable], **options: Any) -> AsyncIterator[SendResult]:
        """Send any number of messages, drawn lazily; yield a ``SendResult`` for each. ``options`` are those of ``Mailer.send_many``.

        Leaving the loop early, or cancelling it, draws no more messages and breaks off what is under way.
        """
        loop = asyncio.get_running_loop()
        stop: threading.Event = options.pop("stop", None) or threading.Event()
        results: asyncio.Queue[Any] = asyncio.Queue(maxsize=max(16, 2 * int(options.get("window") or self._options.get("window", 1))))
        source = _drawn(messages, loop) if isinstance(messages, AsyncIterable) else messages

        def put(item: Any) -> None:
            asyncio.run_coroutine_threadsafe(results.put(item), loop).result()

        def work() -> None:
            try:
                for result in self._made().send_many(source, stop=stop, **options):
                    put(result)
            except BaseException as problem:  # noqa: BLE001  (handed to the task that reads)
                put(problem)
            finally:
                put(_END)

        future = loop.run_in_executor(None, work)
        ended = False
        try:
            while True:
                item = await results.get()
                if item is _END:
                    ended = True
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            if not ended:
                stop.set()
                if self._mailer is not None:
                    self._mailer.abort()
                while not future.done():
                    try:
                        await asyncio.wait_for(results.get(), 0.05)
                    except TimeoutError:
                        continue
            await _uncancelled(future)

    async def close(self) -> None:
        """Close every session."""
        mailer = self._mailer
        if mailer is not None:
            await asyncio.get_running_loop().run_in_executor(None, mailer.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncMailer:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


async def _uncancelled(future: asyncio.Future[Result]) -> Result:
    """Wait for a thread's end even while being cancelled again: its message's state must be known."""
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            continue
        except Exception:  # noqa: BLE001  (read below)
            break
    return future.result()


def _drawn(messages: AsyncIterable[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Draw from an asynchronous iterable inside a worker thread, one at a time."""
    source = aiter(messages)

    async def following() -> Any:
        return await anext(source, _END)

    while (item := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not _END:
        yield item
