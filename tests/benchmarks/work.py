"""The same work for several senders over one warm connection: ``with work(port) as run: run(count)``.

    python tests/benchmarks/work.py NAME SIZE PORT COUNT     does it once, for whoever counts from outside

What it cost is measured by ``processor.py`` (seconds) and ``instructions.py``.
"""

from __future__ import annotations

import contextlib
import smtplib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import franking
from benchmarks.peers import LINE, RECIPIENT, SENDER, ready
from servers.daemon import HOST

Run = Callable[[int], None]
KIB, MIB = 1 << 10, 1 << 20
WARM = 20  # messages before anything is counted


@contextlib.contextmanager
def _mailer(port: int, window: int) -> Iterator[franking.Mailer]:
    account = franking.Account(
        name="benchmark", provider="smtp", sender=SENDER, host=HOST, port=port, security="none", timeout=60
    )
    with franking.connect(account, window=window) as mailer:
        mailer.check()
        yield mailer


def _sent(mailer: franking.Mailer, messages: object) -> None:
    for result in mailer.send_many(messages):  # type: ignore[arg-type]
        if result.outcome != "accepted":
            raise RuntimeError(f"{result.outcome}: {result.error}")


@contextlib.contextmanager
def ready_list(port: int, size: int) -> Iterator[Run]:
    """A list of ready messages."""
    message = ready(0, size)
    with _mailer(port, 16) as mailer:
        yield lambda count: _sent(mailer, [message] * count)


@contextlib.contextmanager
def ready_generator(port: int, size: int) -> Iterator[Run]:
    """The same from a generator, which does not know how many are left."""
    message = ready(0, size)
    with _mailer(port, 16) as mailer:
        yield lambda count: _sent(mailer, (message for _ in range(count)))


def composed(number: int, size: int) -> franking.Message:
    text = (LINE.decode().replace("\r\n", "\n") * (size // len(LINE) + 1))[:size]
    return franking.Message(to=[RECIPIENT], subject=f"Invoice {number}", text=text)


@contextlib.contextmanager
def composed_generator(port: int, size: int) -> Iterator[Run]:
    """Messages that are composed while they are drawn."""
    with _mailer(port, 16) as mailer:
        yield lambda count: _sent(mailer, (composed(number, size) for number in range(count)))


@contextlib.contextmanager
def one_by_one(port: int, size: int) -> Iterator[Run]:
    """``send``, which waits for each receipt."""
    message = ready(0, size)
    with _mailer(port, 1) as mailer:

        def run(count: int) -> None:
            for _ in range(count):
                mailer.send(message)

        yield run


@contextlib.contextmanager
def with_smtplib(port: int, size: int) -> Iterator[Run]:
    """The standard library's ``sendmail`` of ready messages."""
    message = ready(0, size)
    with smtplib.SMTP(HOST, port, local_hostname="client.test", timeout=60) as client:
        client.ehlo()

        def run(count: int) -> None:
            for _ in range(count):
                client.sendmail(SENDER, [RECIPIENT], message)

        yield run


WORK: dict[str, Callable[[int, int], AbstractContextManager[Run]]] = {
    "list": ready_list,
    "generator": ready_generator,
    "composed": composed_generator,
    "send": one_by_one,
    "smtplib": with_smtplib,
}


def main() -> None:
    name, size, port, count = sys.argv[1], *map(int, sys.argv[2:])
    with WORK[name](port, size) as run:
        run(WARM if size < MIB else 1)
        run(count)


if __name__ == "__main__":
    main()
