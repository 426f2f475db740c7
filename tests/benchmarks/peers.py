"""Other people's mail senders, and Franking, made to do the same work: many ready messages over one open connection.

A peer is a context manager that opens a connection and gives a function which sends a batch. What cannot reuse a
connection, or starts a process for each batch, has that in its ``note``. A peer that is not installed is left out, and
said to be.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import franking
from servers.daemon import HOST

SENDER, RECIPIENT = "info@example.cz", "jana@example.com"
HEAD = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nSubject: ready\r\n"
LINE = b"Dear customer, this is a line of some seventy characters in plain text.\r\n"
Send = Callable[[Sequence[bytes]], object]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sink is; ``ca`` = implicit TLS with this authority."""

    port: int
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    version: str
    open: Callable[[Place], AbstractContextManager[Send]]
    note: str = ""
    tls: bool = True


def ready(number: int, size: int = 2048) -> bytes:
    """Make a ready message of ``size`` octets: nothing is left to compose."""
    head = f"{HEAD}Message-ID: <{number}.benchmark@example.cz>\r\n\r\n".encode()
    return (head + LINE * (size // len(LINE) + 1))[: size - 2] + b"\r\n"


def _mailer(place: Place, window: int) -> franking.Mailer:
    settings = {"security": "tls", "ca_file": str(place.ca)} if place.ca else {"security": "none"}
    account = franking.Account(
        name="benchmark", provider="smtp", sender=SENDER, host="localhost", port=place.port, **settings
    )
    return franking.connect(account, window=window)


@contextlib.contextmanager
def _franking_send(place: Place) -> Iterator[Send]:
    with _mailer(place, 1) as mailer:
        mailer.check()
        yield lambda batch: [mailer.send(message) for message in batch]


def _franking_many(window: int) -> Callable[[Place], AbstractContextManager[Send]]:
    @contextlib.contextmanager
    def opened(place: Place) -> Iterator[Send]:
        with _mailer(place, window) as mailer:
            mailer.check()

            def send(batch: Sequence[bytes]) -> None:
                for result in mailer.send_many(batch):
                    if result.outcome != "accepted":
                        raise RuntimeError(f"{result.outcome}: {result.error}")

            yield send

    return opened


@contextlib.contextmanager
def _smtplib(place: Place) -> Iterator[Send]:
    if place.ca:
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            "localhost",
            place.port,
            local_hostname="client.test",
            timeout=60,
            context=ssl.create_default_context(cafile=str(place.ca)),
        )
    else:
        client = smtplib.SMTP("localhost", place.port, local_hostname="client.test", timeout=60)
    with client:
        client.ehlo()
        yield lambda batch: [client.sendmail(SENDER, [RECIPIENT], message) for message in batch]


@contextlib.contextmanager
def _aiosmtplib(place: Place) -> Iterator[Send]:
    import aiosmtplib

    context = ssl.create_default_context(cafile=str(place.ca)) if place.ca else None
    with asyncio.Runner() as runner:
        client = aiosmtplib.SMTP(
            hostname="localhost",
            port=place.port,
            local_hostname="client.test",
            use_tls=bool(place.ca),
            start_tls=False,
            tls_context=context,
            timeout=60,
        )
        runner.run(client.connect())

        async def send(batch: Sequence[bytes]) -> None:
            for message in batch:
                await client.sendmail(SENDER, [RECIPIENT], message)

        yield lambda batch: runner.run(send(batch))
        runner.run(client.quit())


@contextlib.contextmanager
def _django(place: Place) -> Iterator[Send]:
    from django.conf import settings

    import django

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8", USE_TZ=True)
        django.setup()
    from django.core.mail import EmailMessage
    from django.core.mail.backends.smtp import EmailBackend

    backend = EmailBackend(
        host="localhost", port=place.port, username="", password="", use_tls=False, use_ssl=bool(place.ca), timeout=60
    )
    if place.ca:
        backend.ssl_context = ssl.create_default_context(cafile=str(place.ca))
    backend.open()

    def send(batch: Sequence[bytes]) -> None:
        bodies = [message.partition(b"\r\n\r\n")[2].decode().replace("\r\n", "\n") for message in batch]
        sent = backend.send_messages([EmailMessage("ready", body, SENDER, [RECIPIENT]) for body in bodies])
        if sent != len(batch):
            raise RuntimeError(f"Django sent {sent} of {len(batch)}")

    yield send
    backend.close()


NODEMAILER = """
const nodemailer = require('nodemailer'), lines = require('readline').createInterface({input: process.stdin});
const [port, ca, sender, recipient] = process.argv.slice(1);
const transport = nodemailer.createTransport({host: 'localhost', port, secure: !!ca, ignoreTLS: !ca,
  pool: true, maxConnections: 1, maxMessages: Infinity, name: 'client.test',
  tls: ca ? {ca: require('fs').readFileSync(ca)} : {}});
const send = raw => transport.sendMail({envelope: {from: sender, to: [recipient]}, raw});
lines.on('line', async line => {
  const {file, sizes} = JSON.parse(line), all = require('fs').readFileSync(file), work = [];
  let at = 0;
  for (const size of sizes) { work.push(send(all.subarray(at, at + size))); at += size; }
  await Promise.all(work);
  console.log('done');
});
lines.on('close', () => transport.close());
"""


@contextlib.contextmanager
def _nodemailer(place: Place) -> Iterator[Send]:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "batch")
        command = ["node", "-e", NODEMAILER, "--", str(place.port), str(place.ca or ""), SENDER, RECIPIENT]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None

        def send(batch: Sequence[bytes]) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            file.write_bytes(b"".join(batch))
            process.stdin.write(json.dumps({"file": str(file), "sizes": [len(message) for message in batch]}) + "\n")
            process.stdin.flush()
            if process.stdout.readline().strip() != "done":
                raise RuntimeError("nodemailer failed")

        try:
            send([ready(0)])  # opens the connection
            yield send
        finally:
            process.communicate(timeout=20)


SMTP_SOURCE = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")


@contextlib.contextmanager
def _smtp_source(place: Place) -> Iterator[Send]:
    def send(batch: Sequence[bytes]) -> None:
        options = ["-d", "-s", "1", "-m", str(len(batch)), "-l", str(len(batch[0])), "-f", SENDER, "-t", RECIPIENT]
        subprocess.run([str(SMTP_SOURCE), *options, f"{HOST}:{place.port}"], check=True)

    yield send


@contextlib.contextmanager
def _msmtp(place: Place) -> Iterator[Send]:
    options = [
        "--host=localhost",
        f"--port={place.port}",
        "--auth=off",
        f"--from={SENDER}",
        "--domain=client.test",
        "--file=/dev/null",
    ]
    options += ["--tls=on", "--tls-starttls=off", f"--tls-trust-file={place.ca}"] if place.ca else ["--tls=off"]

    def send(batch: Sequence[bytes]) -> None:
        for message in batch:
            subprocess.run(["msmtp", *options, RECIPIENT], input=message, check=True)

    yield send


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def peers() -> list[Peer]:
    """Find every sender on this machine; an empty ``version`` means that it is not installed. Franking comes first,
    then smtplib.
    """
    own, python = franking.__version__, ".".join(map(str, sys.version_info[:3]))
    mailer = _output("node", "-p", "require('nodemailer/package.json').version") if shutil.which("node") else ""
    postfix = _output("/usr/sbin/postconf", "-h", "mail_version") or ("?" if SMTP_SOURCE else "")
    return [
        Peer("franking, send_many, window 16", own, _franking_many(16)),
        Peer("franking, send_many", own, _franking_many(1)),
        Peer("franking, send", own, _franking_send),
        Peer("smtplib", python, _smtplib),
        Peer("aiosmtplib", _installed("aiosmtplib"), _aiosmtplib),
        Peer("Django", _installed("django"), _django, "composes each message, as it takes no ready ones"),
        Peer("nodemailer", mailer, _nodemailer, "found by $NODE_PATH; reads each batch from a file"),
        Peer(
            "smtp-source -d",
            postfix if SMTP_SOURCE else "",
            _smtp_source,
            "C; a process and a connection per batch",
            tls=False,
        ),
        Peer(
            "msmtp",
            _output("msmtp", "--version").removeprefix("msmtp version "),
            _msmtp,
            "C; a process and a connection per message",
        ),
    ]


def environment() -> dict[str, str]:
    """Describe the machine: what ratios depend on, and nothing that names it."""
    model = ""
    with contextlib.suppress(OSError):
        model = next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line[:10] == "model name"
            ),
            "",
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    return {
        "system": f"{os.uname().sysname} {os.uname().release.partition('-')[0]} {os.uname().machine}"
        if hasattr(os, "uname")
        else sys.platform,
        "processors": f"{os.cpu_count()} × {model or 'unknown'}",
        "memory": f"{memory:.0f} GiB",
        "Python": ".".join(map(str, sys.version_info[:3])),
        "load when it began": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }
