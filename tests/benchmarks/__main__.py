"""Franking beside other senders, on the same work in the same run: python tests/benchmarks [--quick] [--grow] [--write]

Prints Markdown: the budgets, throughput over sizes, distances and TLS, memory, composing, start-up. ``--write`` puts it
into docs/benchmarks.md and draws docs/benchmarks.png. ``--quick`` does a little of everything, to see that it runs; its
numbers mean nothing. ``--grow`` shows how cost grows instead (up to ``--most``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import api, compose, grid, grow, outbox, page, processor, relay, report, smtp, startup, task_queue
from benchmarks.peers import environment, peers

DOCS = Path(__file__).resolve().parents[2] / "docs"
TRIPS = "round_trips"
FIRST = {name: (TRIPS, "≤", float((8 if name.startswith("STARTTLS") else 6) + ("," in name))) for name in smtp.FIRST}
PINNED = {"one processor": 1, "two processors": 2}
BUDGETS: dict[str, dict[str, tuple[str, str, float]]] = {
    "throughput": {
        "PIPELINING, send_many, window 16": ("ratio", "≥", 4.0),
        "CHUNKING, send_many, window 16": ("ratio", "≥", 12.0),
        "CHUNKING, send_many, window 16, generator": ("ratio", "≥", 12.0),
    },
    "beside smtp-source": {"CHUNKING, send_many, window 16": ("ratio", "≥", 1.0)},
    "round trips": {
        "PIPELINING, send_many": (TRIPS, "≤", 1.1),
        "CHUNKING, send": (TRIPS, "≤", 1.1),
        "CHUNKING, send_many": (TRIPS, "≤", 1.1),
        "CHUNKING, send_many, window 16": (TRIPS, "≤", 0.15),
        "CHUNKING, send_many, window 16, generator": (TRIPS, "≤", 0.15),
    },
    **{
        f"processor time, {name}": {
            "2 KiB, list": ("of smtplib", "≤", 0.25),
            "2 KiB, generator": ("of smtplib", "≤", 0.25),
            "2 KiB, composed": ("of smtplib", "≤", 0.33),
            "2 KiB, send": ("of smtplib", "≤", 0.5),
            "100 KiB, list": ("of smtp-source", "≤", 1.5),
            "10 MiB, list": ("of smtp-source", "≤", 1.5),
        }
        for name in PINNED
    },
    "first message": FIRST,
    "composing": {
        "2 KiB, ASCII": ("ratio", "≥", 10.0),
        "2 KiB, Czech": ("ratio", "≥", 10.0),
        "file": ("ratio", "≥", 6.0),
        "file, MiB": ("ms", "≤", 8.0),
    },
    "file of 25 MB": {"time": ("ratio", "≥", 6.0), "peak memory": ("MiB", "≤", 8.0)},
    **{
        service: {
            "connections per worker": ("count", "≤", 1.0),
            "round trips per message": ("count", "≤", 1.1),
            "token refreshes": ("count", "≤", 1.0),
            "discovery downloads": ("count", "≤", 0.0),
            "25 MB, peak memory": ("MiB", "≤", 8.0),
        }
        for service in ("Gmail", "Graph")
    },
    "outbox": {
        "queue beside a bare commit": ("ratio", "≤", 1.5),
        "put_many, times faster than queue": ("ratio", "≥", 8.0),
        "queue, times faster than nullmailer": ("ratio", "≥", 5.0),
        "queue, times faster than Postfix": ("ratio", "≥", 10.0),
        "queue and delivery, times faster than nullmailer": ("ratio", "≥", 1.0),
        "queue and delivery, times faster than Postfix": ("ratio", "≥", 1.0),
        "delivery, window 1, beside send_many": ("ratio", "≥", 0.7),
        "delivery, window 16, beside send_many": ("ratio", "≥", 0.7),
        "a page of the list, many rows": ("ratio", "≤", 1.5),
        "claiming, many rows": ("ratio", "≤", 1.5),
        **{f"25 MB, peak memory, {route}": ("MiB", "≤", 8.0) for route in ("SMTP", "Gmail", "Graph")},
    },
    "relay": {
        "times faster than Postfix that holds them": ("ratio", "≥", 1.0),
        "times faster than aiosmtpd that writes and fsyncs": ("ratio", "≥", 3.0),
        "processor time beside aiosmtpd with an empty handler": ("ratio", "≤", 0.6),
    },
    "task queue": {
        "mail over a round trip of 20 ms": ("ratio", "≥", 0.9),  # of a task that only sleeps as long
        "the store, a message": (TRIPS, "≤", 3.0),
    },
    "settings page": {
        "first page, ms more than an empty one": ("ms", "≤", 3.0),
        "page, style and script": ("KiB", "≤", 60.0),
    },
    "start-up": {
        "import franking": ("ratio", "≤", 1.3),
        "franking --help": ("ratio", "≤", 1.15),
        "franking-sendmail --version": ("ratio", "≤", 4.0),
        "franking-sendmail -t": ("ratio", "≤", 1.3),
    },
}


def budgets(*, quick: bool) -> str:
    """Measure every budget; give the table."""
    few = {"messages": 5, "rounds": 1, "far_messages": 2, "round_trip": 0.004, "file_size": 100_000}
    sent = smtp.measure(**few) if quick else smtp.measure()  # type: ignore[arg-type]
    rows = sent["throughput"]
    if "smtp-source -d (C)" in rows:
        theirs = rows["smtp-source -d (C)"]["per_s"]
        sent["beside smtp-source"] = {name: {"ratio": row["per_s"] / theirs} for name, row in rows.items()}
    for name, number in PINNED.items():
        sent[f"processor time, {name}"] = processor.measure(
            processors=number, rounds=1 if quick else 7, fewer=100 if quick else 1
        )
    sent["file of 25 MB"] = sent.pop("file")
    sent["composing"] = compose.measure(messages=2, rounds=1, file_size=100_000) if quick else compose.measure()
    sent |= api.measure(messages=8, connections=2, file_size=4_000_000) if quick else api.measure()
    sent["outbox"] = (
        outbox.measure(messages=5, rounds=1, round_trip=0.002, rows=10, file_size=400_000)
        if quick
        else outbox.measure()
    )
    sent["relay"] = relay.measure(number=2, count=5, rounds=1) if quick else relay.measure()
    sent["task queue"] = task_queue.measure(messages=5, processes=2, rounds=1) if quick else task_queue.measure()
    sent["settings page"] = page.measure(count=3) if quick else page.measure()
    sent["start-up"] = startup.measure(rounds=1 if quick else 20)
    return report.budgets(sent, BUDGETS)


def measured(*, quick: bool, plot: Path | None) -> str:
    """Measure everything; give the Markdown."""
    around = environment()
    found = peers()
    rates = grid.measure(found, grid.cells(quick=quick))
    picture: tuple[str, ...] = ()
    if plot is not None:
        picture = (f"![Messages per second as multiples of smtplib's]({plot.name})",)
        report.plot(rates, found, plot, ("2 KiB, 0 ms", "2 KiB, 50 ms", "10 MiB, 0 ms"))
    return "\n\n".join(
        (
            *picture,
            "### Budgets\n\n" + budgets(quick=quick),
            "### Messages per second, plain (multiples of smtplib)\n\n" + report.throughput(rates, found, tls=False),
            "### Messages per second, TLS (multiples of smtplib)\n\n" + report.throughput(rates, found, tls=True),
            "### Where this was measured\n\n" + report.versions(found, around),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a little of everything: shows only that it runs")
    parser.add_argument("--grow", action="store_true", help="how cost grows: messages and connections")
    parser.add_argument("--most", type=int, default=1_000_000, help="messages that --grow goes up to (1000000)")
    parser.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md, with the plot")
    given = parser.parse_args()
    if given.grow:
        name, text = "grow", grow.table(1000, (1, 2), 200) if given.quick else grow.table(given.most)
    else:
        name, text = "measured", measured(quick=given.quick, plot=DOCS / "benchmarks.png" if given.write else None)
    print(text)
    if given.write:
        report.put(DOCS / "benchmarks.md", name, text)


if __name__ == "__main__":
    main()
