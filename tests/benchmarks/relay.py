"""The relay beside aiosmtpd and Postfix, in the same run: 8 clients of one connection, one transaction at a time.

    python tests/benchmarks/relay.py            # --quick only shows that it runs

Each server is a process of its own; the clients are one more, which speaks the plain dialogue and nothing else.
Processor time is the server's alone (/proc/PID/stat), all of its threads and children together.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.outbox_peers import shop, smtp
from benchmarks.peers import SENDER, ready
from servers.daemon import Certificates, Unavailable, directory
from servers.ports import reserved_ports
from servers.postfix import Postfix

__all__ = ["measure"]

Rows = dict[str, dict[str, float]]
SILENT = 500
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

FRANKING = """
import sys
from franking.relay import Relay
import threading
relay = Relay("shop", wait=0, run=False)
relay.start()
print(relay.addresses[0][1], flush=True)
sys.stdin.read()
relay.stop()
"""
AIOSMTPD = """
import os, sys
from aiosmtpd.controller import Controller
where = {where!r}
class Handler:
    count = 0
    async def handle_DATA(self, server, session, envelope):
        if where:
            Handler.count += 1
            with open(os.path.join(where, str(Handler.count)), "wb") as file:
                file.write(envelope.content)
                file.flush()
                os.fsync(file.fileno())
        return "250 OK"
controller = Controller(Handler(), hostname="127.0.0.1", port=0)
controller.port = {port}
controller.start()
print(controller.port, flush=True)
sys.stdin.read()
controller.stop()
"""


class Client(asyncio.Protocol):
    """Send ``count`` messages, each in the plain dialogue."""

    def __init__(self, data: bytes, count: int) -> None:
        self.data, self.left = data, count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.steps = self.dialogue()

    def dialogue(self) -> Iterator[bytes]:
        yield b"EHLO client\r\n"
        while self.left:
            self.left -= 1
            yield f"MAIL FROM:<{SENDER}>\r\n".encode()
            yield b"RCPT TO:<jana@example.com>\r\n"
            yield b"DATA\r\n"
            yield self.data
        yield b"QUIT\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.reply = transport, b""

    def data_received(self, data: bytes) -> None:
        self.reply += data
        if self.reply[self.reply.rfind(b"\r\n", 0, -2) + 1 :].lstrip()[3:4] != b" " or not self.reply.endswith(b"\r\n"):
            return
        assert self.reply[:1] in b"23", self.reply
        self.reply = b""
        if (step := next(self.steps, None)) is not None:
            self.transport.write(step)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def clients(port: int, number: int, count: int) -> float:
    """Return the seconds that so many clients take."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = []
    for one in range(number):
        data = ready(one) + b".\r\n"
        made.append(await loop.create_connection(lambda data=data: Client(data, count), "127.0.0.1", port))  # type: ignore[misc]
    for _, protocol in made:
        await protocol.done
    return time.perf_counter() - started


def cpu(pid: int) -> float:
    """Return the processor seconds of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


@contextmanager
def program(text: str) -> Iterator[tuple[int, int]]:
    """Run a server; give its process and port."""
    child = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield child.pid, int(child.stdout.readline())
    finally:
        child.communicate()


@contextmanager
def postfix() -> Iterator[tuple[int, int]]:
    """Run a Postfix that accepts, writes and syncs every message, and keeps it (HOLD)."""
    plain, starttls, tls = reserved_ports(3)
    certificates = Certificates.make(directory("certificates"))
    held = "smtpd_data_restrictions = check_client_access static:HOLD\n"
    running = Postfix(certificates, plain=plain, starttls=starttls, tls=tls, settings=held)
    try:
        yield os.getpid(), plain  # whose processor time nobody asks for
    finally:
        running.stop()


def once(server: Callable[[], object], number: int, count: int) -> tuple[float, float]:
    """Return seconds, and the server's processor seconds for each message; the first messages do not count."""
    with server() as (pid, port):  # type: ignore[attr-defined]
        asyncio.run(clients(port, number, max(1, count // 10)))
        before = cpu(pid)
        seconds = asyncio.run(clients(port, number, count))
        return seconds, (cpu(pid) - before) / (number * count)


def beside_silent(count: int) -> float:
    """Return how many times as long a client's messages take while 500 connections say nothing."""
    with shop(smtp(1)), program(FRANKING) as (_, port):
        alone = others = float("inf")
        asyncio.run(clients(port, 1, max(1, count // 10)))
        for _ in range(3):
            alone = min(alone, asyncio.run(clients(port, 1, count)))
            silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(SILENT)]
            others = min(others, asyncio.run(clients(port, 1, count)))
            for each in silent:
                each.close()
    return others / alone


def starting(rounds: int) -> float:
    """Return how many times the processor time of ``franking --help`` a relay takes until it listens; without a runner,
    which begins just after that and would be counted in part.
    """
    import resource  # Windows has none

    command = [sys.executable, "-m", "franking_cli"]
    best = [float("inf"), float("inf")]
    with shop(smtp(1)) as here:
        compiled = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(here / "compiled")}
        for _ in range(rounds + 1):  # the first compiles
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, "--help"], stdout=subprocess.DEVNULL, env=compiled, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            shown = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            order = [*command, "relay", "run", "--no-run", "--json", "--listen", "127.0.0.1:0"]
            with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=compiled) as relay:
                assert relay.stdout is not None
                relay.stdout.readline()
                listens = scheduled(relay.pid)
                relay.terminate()
            best = [min(best[0], shown), min(best[1], listens)]
    return best[1] / best[0]


def scheduled(pid: int) -> float:
    """Return the processor seconds of a process's threads, to the nanosecond."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def measure(*, number: int = 8, count: int = 250, rounds: int = 3) -> Rows:
    """Measure everything; ratios."""
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("FRANKING_BENCHMARK_DIRECTORY")) as name:
        for _ in range(rounds):
            with shop(smtp(1)):
                times.setdefault("franking", []).append(once(lambda: program(FRANKING), number, count))
            for kind, where in (("aiosmtpd", ""), ("aiosmtpd, fsync", name)):
                text = AIOSMTPD.format(where=where, port=free_port())
                times.setdefault(kind, []).append(once(lambda text=text: program(text), number, count))  # type: ignore[misc]
            with suppress(Unavailable):
                times.setdefault("Postfix", []).append(once(postfix, number, count))
    best = {kind: (min(s for s, _ in one), min(c for _, c in one)) for kind, one in times.items() if one}
    found = {
        "times faster than aiosmtpd that writes and fsyncs": {
            "ratio": best["aiosmtpd, fsync"][0] / best["franking"][0]
        },
        "processor time beside aiosmtpd with an empty handler": {"ratio": best["franking"][1] / best["aiosmtpd"][1]},
        "microseconds of processor time": {"ratio": best["franking"][1] * 1e6},
        "messages a second": {"ratio": number * count / best["franking"][0]},
        "one client's time while 500 others say nothing": {"ratio": beside_silent(count)},
        "processor time until it listens beside franking --help": {"ratio": starting(rounds)},
    }
    if "Postfix" in best:
        found["times faster than Postfix that holds them"] = {"ratio": best["Postfix"][0] / best["franking"][0]}
    return found


if __name__ == "__main__":
    given = {"number": 2, "count": 10, "rounds": 1} if "--quick" in sys.argv else {}
    for what, row in measure(**given).items():
        print(f"{what}: {row['ratio']:.2f}")
