"""A proxy that makes loopback as slow as a far server, and counts round trips. It reads nothing of what it carries.

A round trip is a moment at which the client had to wait for the server: the TCP connect, the greeting where the server
speaks first, and every flight of client bytes that follows server bytes. Opening a connection costs what it costs far
away: connected after one round trip, greeted after two.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"


@dataclass(slots=True)
class Trip:
    """What one connection did so far. ``flights`` are client bytes that came after server bytes; ``greeted``: the
    server spoke first.
    """

    flights: int = 0
    greeted: bool = False
    sent: int = 0
    received: int = 0
    _server_spoke: bool = True

    @property
    def round_trips(self) -> int:
        return 1 + self.greeted + self.flights

    def client(self, data: bytes) -> None:
        self.flights += self._server_spoke
        self._server_spoke = False
        self.sent += len(data)

    def server(self, data: bytes) -> None:
        self.greeted = self.greeted or self.sent == 0
        self._server_spoke = True
        self.received += len(data)


class Delay:
    """Listen on ``port`` and carry everything to ``target`` on this machine, ``one_way`` seconds later; a context
    manager.
    """

    def __init__(self, target: int, *, one_way: float = 0.0) -> None:
        self.target, self.one_way = target, one_way
        self.trips: list[Trip] = []
        self._loop = asyncio.new_event_loop()
        self._carrying: set[asyncio.Task[None]] = set()  # the loop itself holds no task
        self._writers: list[asyncio.StreamWriter] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay proxy", daemon=True)
        self._thread.start()
        self._server = self._wait(asyncio.start_server(self._accept, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        return len(self.trips)

    def close(self) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Delay:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:  # one may belong to a task that never began, or have more to write
            writer.transport.abort()
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trip = Trip()
        self.trips.append(trip)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.sleep(3 * self.one_way)  # SYN, SYN-ACK, ACK
            try:
                there, back = await asyncio.open_connection(HOST, self.target)
            except OSError:
                writer.close()
                return
            self._writers.append(back)
            try:
                await asyncio.gather(
                    self._direction(reader, back, trip.client), self._direction(there, writer, trip.server)
                )
            finally:
                back.close()
                writer.close()

    async def _direction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Any) -> None:
        """Carry one direction: read at once, write ``one_way`` later, in order. A count of the client's bytes happens
        when they are sent, one of the server's when they arrive at the client."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        leaving = count.__name__ == "client"

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                if (pause := due - self._loop.time()) > 0:
                    await asyncio.sleep(pause)
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof() if writer.can_write_eof() else writer.close()
                    return
                if not leaving:
                    count(data)
                writer.write(data)
                await writer.drain()

        delivering = asyncio.ensure_future(deliver())
        try:
            while data := await reader.read(1 << 18):
                if leaving:
                    count(data)
                queue.put_nowait((self._loop.time() + self.one_way, data))
            queue.put_nowait((self._loop.time() + self.one_way, b""))
            await delivering
        finally:
            delivering.cancel()
