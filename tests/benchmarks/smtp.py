"""SMTP beside the standard library in the same run: messages per second, round trips, a large file. python
tests/benchmarks/smtp.py [--json]

The server is a sink in a process of its own (tests/servers/sink.py), on another processor where there is one. Ratios
and counts are what matters (the budgets stand beside them), as times depend on the machine. Far servers are played by a
proxy that delays everything (tests/servers/delay.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import smtplib
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import franking
from benchmarks.compose import side_by_side
from benchmarks.peers import RECIPIENT, SENDER, SMTP_SOURCE, ready
from servers.daemon import HOST, Certificates
from servers.delay import Delay, Trip
from servers.sink import Sink

Rows = dict[str, dict[str, float]]


def mailer(port: int, *, window: int = 1, **settings: Any) -> franking.Mailer:
    given: dict[str, Any] = {"host": HOST, "port": port, "security": "none", **settings}
    secret = given.pop("secret", None)
    return franking.connect(
        franking.Account(name="benchmark", provider="smtp", sender=SENDER, **given), secret=secret, window=window
    )


@contextlib.contextmanager
def stdlib(port: int) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(HOST, port, local_hostname="client.test", timeout=60) as client:
        yield client


@contextlib.contextmanager
def pinned(**settings: Any) -> Iterator[Sink]:
    """Start a sink on a processor of its own, this process on another, where that can be had."""
    with Sink(**settings) as sink:
        before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if len(before) > 1:
            one, other = sorted(before)[:2]
            os.sched_setaffinity(sink.process.pid, {other})
            os.sched_setaffinity(0, {one})
        try:
            yield sink
        finally:
            if before:
                os.sched_setaffinity(0, before)


# — messages per second —


def throughput(messages: int, rounds: int) -> Rows:
    """Messages per second over one reused connection, ready messages of 2 KiB."""
    batch = [ready(number) for number in range(messages)]
    found: Rows = {}
    for name, without in (("PIPELINING", ("CHUNKING",)), ("CHUNKING", ())):
        with (
            pinned(without=without) as sink,
            stdlib(sink.port) as client,
            mailer(sink.port) as one,
            mailer(sink.port, window=16) as wide,
        ):

            def other(_: int, client: smtplib.SMTP = client) -> None:
                for message in batch:
                    client.sendmail(SENDER, [RECIPIENT], message)

            def single(_: int, one: franking.Mailer = one) -> None:
                for message in batch:
                    one.send(message)

            def many(_: int, mailer: franking.Mailer = one) -> None:
                assert all(result.outcome == "accepted" for result in mailer.send_many(batch))

            def windowed(_: int, mailer: franking.Mailer = wide) -> None:
                assert all(result.outcome == "accepted" for result in mailer.send_many(batch))

            def generated(_: int, mailer: franking.Mailer = wide) -> None:
                assert all(result.outcome == "accepted" for result in mailer.send_many(each for each in batch))

            for kind, run in (
                ("send", single),
                ("send_many", many),
                ("send_many, window 16", windowed),
                ("send_many, window 16, generator", generated),
            ):
                mine, theirs = side_by_side(run, other, rounds)
                found[f"{name}, {kind}"] = {
                    "per_s": messages / mine,
                    "stdlib_per_s": messages / theirs,
                    "ratio": theirs / mine,
                }
            if SMTP_SOURCE and name == "CHUNKING":
                command = [
                    SMTP_SOURCE,
                    "-d",
                    "-s",
                    "1",
                    "-m",
                    str(messages),
                    "-l",
                    "2048",
                    "-f",
                    SENDER,
                    "-t",
                    RECIPIENT,
                    f"{HOST}:{sink.port}",
                ]
                mine, theirs = side_by_side(
                    lambda _, command=command: subprocess.run(command, check=True), other, rounds
                )  # type: ignore[misc]
                found["smtp-source -d (C)"] = {
                    "per_s": messages / mine,
                    "stdlib_per_s": messages / theirs,
                    "ratio": theirs / mine,
                }
    return found


# — round trips —


def per_message(run: Callable[[], object], messages: int, trip: Trip) -> float:
    before = trip.round_trips
    run()
    return (trip.round_trips - before) / messages


def round_trips(messages: int, round_trip: float) -> Rows:
    """Round trips per message on an open connection, counted on the wire: a busy machine changes times, not counts."""
    batch = [ready(number) for number in range(messages)]
    found: Rows = {}
    for name, without in (("PIPELINING", ("CHUNKING",)), ("CHUNKING", ())):
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(Sink(without=without))
            proxy = stack.enter_context(Delay(sink.port, one_way=round_trip / 2))
            client = stack.enter_context(stdlib(proxy.port))
            one, wide = stack.enter_context(mailer(proxy.port)), stack.enter_context(mailer(proxy.port, window=16))
            client.sendmail(SENDER, [RECIPIENT], ready(0))
            one.check()
            wide.check()
            other, single, windowed = proxy.trips  # in the order of connecting
            theirs = per_message(
                lambda: [client.sendmail(SENDER, [RECIPIENT], each) for each in batch],  # noqa: B023
                messages,
                other,
            )
            runs = {
                "send": (lambda: [one.send(each) for each in batch], single),  # noqa: B023
                "send_many": (lambda: list(one.send_many(batch)), single),  # noqa: B023
                "send_many, window 16": (lambda: list(wide.send_many(batch)), windowed),  # noqa: B023
                "send_many, window 16, generator": (
                    lambda: list(wide.send_many(each for each in batch)),  # noqa: B023
                    windowed,
                ),
            }
            for kind, (run, trip) in runs.items():
                found[f"{name}, {kind}"] = {
                    "round_trips": per_message(run, messages, trip),
                    "stdlib_round_trips": theirs,
                }
    return found


FIRST = {  # name: (sink without, TLS 1.2 only, account settings)
    "STARTTLS": ((), False, {"security": "starttls"}),
    "TLS": ((), False, {"security": "tls"}),
    "STARTTLS, PIPELINING alone": (("CHUNKING",), False, {"security": "starttls"}),
    "TLS, PIPELINING alone": (("CHUNKING",), False, {"security": "tls"}),
    "STARTTLS, TLS 1.2": ((), True, {"security": "starttls"}),
    "TLS, TLS 1.2": ((), True, {"security": "tls"}),
    "STARTTLS, long token": ((), False, {"security": "starttls", "auth": "xoauth2", "secret": "t" * 2000}),
    "TLS, long token": ((), False, {"security": "tls", "auth": "xoauth2", "secret": "t" * 2000}),
}


def first_message(round_trip: float, names: Iterable[str] = tuple(FIRST)) -> Rows:
    """Round trips from TCP connect to the first message accepted, with a login, counted on the wire."""
    found: Rows = {}
    with tempfile.TemporaryDirectory() as directory:
        certificates = Certificates.make(Path(directory))
        trust = ssl.create_default_context(cafile=str(certificates.ca))
        for name in names:
            without, tls12, settings = FIRST[name]
            implicit = settings["security"] == "tls"
            with contextlib.ExitStack() as stack:
                sink = stack.enter_context(
                    Sink(without=without, certificates=(certificates.chain, certificates.key), tls12=tls12)
                )
                proxy = stack.enter_context(Delay(sink.tls_port if implicit else sink.port, one_way=round_trip / 2))
                given = {"username": "jan", "secret": "secret", "ca_file": str(certificates.ca), **settings}
                with mailer(proxy.port, **given) as ours:
                    ours.send(ready(0))
                    mine = proxy.trips[0].round_trips
                theirs = _stdlib_first(proxy, trust, implicit=implicit)
            found[name] = {"round_trips": mine, "stdlib_round_trips": theirs}
    return found


def _stdlib_first(proxy: Delay, trust: ssl.SSLContext, *, implicit: bool) -> int:
    made = len(proxy.trips)
    with contextlib.ExitStack() as stack:
        if implicit:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                HOST, proxy.port, local_hostname="client.test", timeout=60, context=trust
            )
            stack.enter_context(client)
        else:
            client = stack.enter_context(smtplib.SMTP(HOST, proxy.port, local_hostname="client.test", timeout=60))
            client.starttls(context=trust)
        client.login("jan", "secret")
        client.sendmail(SENDER, [RECIPIENT], ready(0))
        return proxy.trips[made].round_trips


# — one large file —


def our_file(port: int, path: Path) -> None:
    message = franking.Message(to=[RECIPIENT], subject="File", text="Here it is.", attachments=[path])
    with mailer(port) as one:
        one.send(message)


def their_file(port: int, path: Path) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "File"
    message.set_content("Here it is.")
    message.add_attachment(path.read_bytes(), maintype="application", subtype="octet-stream", filename=path.name)
    with stdlib(port) as client:
        client.send_message(message)


PEAK = """
import sys
sys.path[:0] = {path!r}
from benchmarks import smtp
from benchmarks.compose import highest
from pathlib import Path
smtp.{function}({port}, Path({small!r}))
idle = highest()
smtp.{function}({port}, Path({large!r}))
print(highest() - idle)
"""


def large_file(size: int, rounds: int) -> Rows:
    """One message with a file: seconds for the whole delivery, and MiB above the same process after a small message."""
    found: Rows = {}
    with tempfile.TemporaryDirectory() as directory, pinned() as sink:
        large, small = Path(directory, "large.bin"), Path(directory, "small.bin")
        large.write_bytes(os.urandom(size))
        small.write_bytes(b"")
        mine, theirs = side_by_side(
            lambda _: our_file(sink.port, large), lambda _: their_file(sink.port, large), rounds
        )
        found["time"] = {"ms": mine * 1000, "stdlib_ms": theirs * 1000, "ratio": theirs / mine}
        if sys.platform == "linux":
            found["peak memory"] = {
                "MiB": _peak("our_file", sink.port, small, large),
                "stdlib_MiB": _peak("their_file", sink.port, small, large),
            }
    return found


def _peak(function: str, port: int, small: Path, large: Path) -> float:
    script = PEAK.format(path=sys.path, function=function, port=port, small=str(small), large=str(large))
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def measure(
    *,
    messages: int = 2000,
    rounds: int = 5,
    far_messages: int = 48,
    round_trip: float = 0.05,
    file_size: int = 25_000_000,
) -> dict[str, Rows]:
    """Measure everything."""
    return {
        "throughput": throughput(messages, rounds),
        "round trips": round_trips(far_messages, round_trip),
        "first message": first_message(round_trip),
        "file": large_file(file_size, max(1, rounds // 2)),
    }


BUDGETS = {
    "throughput": {
        "PIPELINING, send_many": "≥ 4",
        "CHUNKING, send_many, window 16": "≥ 12, and above smtp-source",
        "CHUNKING, send_many, window 16, generator": "≥ 12",
    },
    "round trips": {
        "PIPELINING, send_many": "≤ 1.1",
        "CHUNKING, send": "≤ 1.1",
        "CHUNKING, send_many": "≤ 1.1",
        "CHUNKING, send_many, window 16": "≤ 0.15",
        "CHUNKING, send_many, window 16, generator": "≤ 0.15",
    },
    "first message": {
        name: f"≤ {8 if name.startswith('STARTTLS') else 6}{'' if ',' not in name else ' + 1'}" for name in FIRST
    },
    "file": {"time": "≥ 6", "peak memory": "≤ 8 MiB"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    found = measure()
    if as_json:
        print(json.dumps(found))
        return
    for part, rows in found.items():
        print(f"\n{part:36}{'franking':>12}{'stdlib':>12}{'ratio':>8}  budget")
        for name, row in rows.items():
            mine, theirs, *_ = row.values()
            ratio = f"{row['ratio']:8.2f}" if "ratio" in row else " " * 8
            print(f"  {name:34}{mine:12.2f}{theirs:12.2f}{ratio}  {BUDGETS[part].get(name, '')}")


if __name__ == "__main__":
    main()
