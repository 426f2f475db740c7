"""The outbox beside other people's queues, in the same run: nullmailer and Postfix, as a program uses them, and the
memory that a large file takes on its way through the outbox.

nullmailer is unpacked, not installed (.ci/install-servers): it excludes Postfix as a package.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import franking
from benchmarks.peers import RECIPIENT, SENDER, ready
from franking.account.editing import save
from servers.daemon import HOST, Certificates, Unavailable, directory, find
from servers.ports import reserved_ports
from servers.postfix import Postfix
from servers.services import SERVICES
from servers.sink import Sink

__all__ = ["beside", "memory", "shop"]

Rows = dict[str, dict[str, float]]
Act = Callable[[], object]
Queue = tuple[Callable[[bytes], object], Act]
"""What puts one message in, and what waits until all of them are delivered."""

ELSEWHERE = RECIPIENT.replace("example.com", "example.org")

PEAK = """
import sys
sys.path[:0] = {path!r}
import franking
from benchmarks.compose import highest
def through(file):
    with franking.connect("shop") as mailer:
        mailer.queue(franking.Message(to=["jana@example.com"], subject="File", text="Here it is.", attachments=[file]))
    box = franking.Outbox()
    assert box.run(once=True).outcomes == {{"accepted": 1}}
    box.close()
through({small!r})
open('/proc/self/clear_refs', 'w').write('5')  # what signing in once needed more does not hide anything
idle = highest()
through({large!r})
print(highest() - idle)
"""


@contextmanager
def shop(account: franking.Account) -> Iterator[Path]:
    """Give a directory with this account, and nothing else in it."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        places = {"FRANKING_CONFIG": str(here / "accounts.toml"), "FRANKING_STATE_DIR": str(here / "state")}
        with mock.patch.dict(os.environ, places):
            save(account)
            yield here


def smtp(port: int, **more: int) -> franking.Account:
    return franking.Account(name="shop", provider="smtp", sender=SENDER, host=HOST, port=port, security="none", **more)


@contextmanager
def _franking(sink: Sink) -> Iterator[Queue]:
    with shop(smtp(sink.port)), franking.connect("shop") as mailer:
        box = franking.Outbox()
        envelope = franking.Envelope(SENDER, [ELSEWHERE])
        yield lambda data: mailer.queue(data, envelope=envelope), lambda: box.run(once=True)
        box.close()


@contextmanager
def _nullmailer(sink: Sink) -> Iterator[Queue]:
    queue, deliver = (find(f"nullmailer-{one}", under="/nullmailer/usr/sbin") for one in ("queue", "send"))
    protocol = find("smtp", under="/nullmailer/usr/lib/nullmailer")
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        for folder in ("conf", "protocols", "queue/queue", "queue/tmp", "queue/failed"):
            (here / folder).mkdir(parents=True)
        os.mkfifo(here / "queue" / "trigger")
        (here / "mailname").write_text("example.cz\n")
        (here / "conf" / "remotes").write_text(f"{HOST} smtp --port={sink.port}\n")
        for program, place in ((queue, here / "put"), (protocol, here / "protocols" / "smtp")):
            place.write_bytes(program.read_bytes())  # without its set-user-id: with it, no other place is taken
            place.chmod(0o755)
        environment = {**os.environ, "NULLMAILER_TEST_PREFIX": str(here)}
        head = f"{SENDER}\n{ELSEWHERE}\n\n".encode()

        def put(data: bytes) -> None:
            subprocess.run([here / "put"], input=head + data.replace(b"\r\n", b"\n"), env=environment, check=True)

        def all_gone() -> None:
            running = subprocess.Popen([deliver], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while any((here / "queue" / "queue").iterdir()):
                time.sleep(0.002)
            running.kill()
            running.wait()

        yield put, all_gone


@contextmanager
def _postfix(sink: Sink) -> Iterator[Queue]:
    plain, starttls, tls = reserved_ports(3)
    certificates = Certificates.make(directory("certificates"))
    postfix = Postfix(certificates, plain=plain, starttls=starttls, tls=tls, relay=sink.port)
    command = [Path("/usr/sbin/sendmail"), "-f", SENDER, ELSEWHERE]
    environment = {**os.environ, "MAIL_CONFIG": str(postfix.directory / "config")}
    try:
        yield (
            lambda data: subprocess.run(command, input=data, env=environment, check=True),
            lambda: postfix.settle(maildrop=True),
        )
    finally:
        postfix.stop()


QUEUES: dict[str, Callable[[Sink], AbstractContextManager[Queue]]] = {
    "franking": _franking,
    "nullmailer": _nullmailer,
    "Postfix": _postfix,
}


def beside(messages: int, rounds: int) -> Rows:
    """Return how many times faster a message is put in, and put in and delivered, than with each of the others that
    are here.
    """
    best: dict[str, list[float]] = {}
    with Sink() as sink:
        for name, opened in QUEUES.items():
            try:
                with opened(sink) as (put, all_gone):
                    put(ready(0))
                    all_gone()
                    best[name] = [float("inf")] * 2
                    for number in range(rounds):
                        began = time.perf_counter()
                        for each in range(messages):
                            put(ready(number * messages + each))
                        middle = time.perf_counter()
                        all_gone()
                        times = (middle - began, time.perf_counter() - began)
                        best[name] = [min(pair) for pair in zip(best[name], times, strict=True)]
            except Unavailable as why:
                print(why, file=sys.stderr)
    mine = best.pop("franking")
    found: Rows = {}
    for name, (put_in, in_all) in best.items():
        found[f"queue, times faster than {name}"] = {"ratio": put_in / mine[0]}
        found[f"queue and delivery, times faster than {name}"] = {"ratio": in_all / mine[1]}
    return found


def memory(file_size: int) -> Rows:
    """Return the MiB by which a process grows that puts a large file in and delivers it, on each route."""
    found: Rows = {}
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        small, large = here / "small.bin", here / "large.bin"
        small.write_bytes(b"")
        large.write_bytes(os.urandom(file_size))

        def peak() -> dict[str, float]:
            script = PEAK.format(path=sys.path, small=str(small), large=str(large))
            ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
            return {"MiB": float(ended.stdout)}

        with Sink() as sink, shop(smtp(sink.port)):
            found["25 MB, peak memory, SMTP"] = peak()
        for service, started in SERVICES.items():
            (here / service).mkdir()
            with started(here / service) as described, shop(described.account):
                os.environ["FRANKING_STATE_DIR"] = str(described.store.directory)
                found[f"25 MB, peak memory, {service}"] = peak()
    return found
