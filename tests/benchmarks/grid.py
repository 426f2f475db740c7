"""Throughput of every sender over sizes, distances and TLS: one cell after the other, and within a cell all take
turns.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peer, Place, Send, ready
from servers.daemon import Certificates
from servers.delay import Delay
from servers.sink import Sink

SIZES = {"2 KiB": 2048, "100 KiB": 100 << 10, "10 MiB": 10 << 20}


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of work: ``messages`` of ``size`` octets in a batch, ``rounds`` times, to a server ``round_trip``
    seconds away.
    """

    size: str
    round_trip: float
    tls: bool
    messages: int
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.size}, {self.round_trip * 1000:.0f} ms{', TLS' if self.tls else ''}"


def cells(*, quick: bool) -> list[Cell]:
    """Return all kinds of work, as many messages each as take some seconds."""
    near = {"2 KiB": 500, "100 KiB": 60, "10 MiB": 2}
    far = {"2 KiB": 32, "100 KiB": 6, "10 MiB": 1}
    found = []
    for tls in (False, True):
        for size in SIZES:
            found.append(Cell(size, 0.0, tls, 4 if quick else near[size], 1 if quick else 7))
            found.append(Cell(size, 0.002 if quick else 0.05, tls, 2 if quick else far[size], 1))
    return [cell for cell in found if not (quick and cell.size == "10 MiB")]


def measure(peers: list[Peer], work: list[Cell]) -> dict[str, dict[str, float]]:
    """Return messages per second by cell and peer: the median of the rounds."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        made = Certificates.make(Path(directory))
        with Sink(certificates=(made.chain, made.key)) as sink:
            for cell in work:
                found[cell.name] = _cell(peers, cell, sink, made.ca)
    return found


def _cell(peers: list[Peer], cell: Cell, sink: Sink, ca: Path) -> dict[str, float]:
    batch = [ready(number, SIZES[cell.size]) for number in range(cell.messages)]
    with contextlib.ExitStack() as stack:
        port = sink.tls_port if cell.tls else sink.port
        if cell.round_trip:
            port = stack.enter_context(Delay(port, one_way=cell.round_trip / 2)).port
        place = Place(port, ca if cell.tls else None)
        senders: dict[str, Send] = {}
        for peer in peers:
            if peer.version and (peer.tls or not cell.tls):
                senders[peer.name] = stack.enter_context(peer.open(place))
        rates: dict[str, list[float]] = {name: [] for name in senders}
        for _ in range(cell.rounds):
            for name, send in senders.items():
                # a process per message: a few tell enough
                part = batch[: max(1, len(batch) // 25)] if name == "msmtp" else batch
                started = time.perf_counter()
                send(part)
                rates[name].append(len(part) / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}
