"""Dialogues as devices and libraries speak them, line by line: printers, Java, .NET, an alarm system. Each is written
down in its own words; what it needs is a reply that it understands.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from franking.relay.users import hashed
from relay.conftest import Watched, save
from servers.smtp import SmtpServer, wait_until

Start = Callable[..., Watched]
PASSWORD = "a2b3c4d5e6f7g2h3"


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


@dataclass(frozen=True)
class Device:
    """What a device says, each with the beginning of the reply that it waits for (None: it does not wait)."""

    name: str
    dialogue: list[tuple[bytes, bytes | None]]
    arrives: bytes
    mended: set[str] = field(default_factory=set)
    tls: bool = False


SCAN = (
    b'From: "Scanner" <printer@novak.cz>\r\nTo: jana@example.com\r\nSubject: Scanned from a device\r\n'
    b"MIME-Version: 1.0\r\nContent-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"JVBERi0xLjQK\r\n.\r\n"
)
FROM_JAVA = (
    b"Date: Sun, 29 Nov 2026 10:00:00 +0100 (CET)\r\nFrom: printer@novak.cz\r\nTo: jana@example.com\r\n"
    b"Message-ID: <1.2.3@tomcat.local>\r\nSubject: =?UTF-8?Q?V=C3=BDpis?=\r\n\r\nhi"
)
FROM_DOTNET = (
    b'MIME-Version: 1.0\r\nFrom: "SQL Server" <printer@novak.cz>\r\nTo: jana@example.com\r\n'
    b"Date: 29 Nov 2026 10:00:00 +0100\r\nSubject: Job failed\r\nContent-Type: text/plain; charset=us-ascii\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n..hidden\r\n\r\n.\r\n"
)
FROM_ALARM = (
    b"From: printer@novak.cz\nSubject: Poplach v kuch\xe1ni\nContent-Type: text/plain; charset=windows-1250\n\n"
    b"Dve\xf8e otev\xf8eny\n.\nQUIT\n"
)
XEROX = Device(  # it compares the challenges letter by letter, and waits for each reply
    "Xerox WorkCentre",
    [
        (b"EHLO [192.168.1.50]\r\n", b"250-"),
        (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
        (b64("printer") + b"\r\n", b"334 UGFzc3dvcmQ6\r\n"),
        (b64(PASSWORD) + b"\r\n", b"235 "),
        (b"MAIL FROM: <printer@novak.cz>\r\n", b"250 "),
        (b"RCPT TO: <jana@example.com>\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (SCAN, b"250 "),
        (b"QUIT\r\n", b"221 "),
    ],
    b"JVBERi0xLjQK",
    {"space-after-colon", "date", "message-id"},
)
HP = Device(  # a host name with an underscore, the name on AUTH's own line
    "HP LaserJet",
    [
        (b"EHLO NPI_A1B2C3\r\n", b"250-"),
        (b"AUTH LOGIN " + b64("printer") + b"\r\n", b"334 UGFzc3dvcmQ6"),
        (b64(PASSWORD) + b"\r\n", b"235 "),
        (b"MAIL FROM:<printer@novak.cz>\r\n", b"250 "),
        (b"RCPT TO:<jana@example.com>\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (SCAN, b"250 "),
        (b"QUIT\r\n", None),
    ],
    b"JVBERi0xLjQK",
    {"helo-name"},
)
RICOH = Device(  # HELO alone, no angle brackets, RSET before each message
    "Ricoh Aficio",
    [
        (b"HELO RNP002673\r\n", b"250 "),
        (b"RSET\r\n", b"250 "),
        (b"MAIL FROM:printer@novak.cz\r\n", b"250 "),
        (b"RCPT TO:jana@example.com\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (SCAN, b"250 "),
        (b"QUIT\r\n", b"221 "),
    ],
    b"JVBERi0xLjQK",
    {"no-brackets"},
)
KONICA = Device(  # STARTTLS, EHLO with nothing, AUTH PLAIN, QUIT without waiting
    "Konica Minolta bizhub",
    [
        (b"EHLO\r\n", b"250-"),
        (b"STARTTLS\r\n", b"220 "),
        (b"EHLO\r\n", b"250-"),
        (b"AUTH PLAIN " + b64(f"\0printer\0{PASSWORD}") + b"\r\n", b"235 "),
        (b"MAIL FROM:<printer@novak.cz> SIZE=400\r\n", b"250 "),
        (b"RCPT TO:<jana@example.com>\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (SCAN, b"250 "),
        (b"QUIT\r\n", None),
    ],
    b"JVBERi0xLjQK",
    {"helo-name"},
    tls=True,
)
JAVA = Device(  # Jakarta Mail 2: NOOP as isConnected(), EHLO with the machine's name, AUTH LOGIN step by step
    "Jakarta Mail",
    [
        (b"EHLO tomcat.local\r\n", b"250-"),
        (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6"),
        (b64("printer") + b"\r\n", b"334 "),
        (b64(PASSWORD) + b"\r\n", b"235 "),
        (b"NOOP\r\n", b"250 "),
        (b"MAIL FROM:<printer@novak.cz>\r\n", b"250 "),
        (b"RCPT TO:<jana@example.com>\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (FROM_JAVA, None),
        (b"\r\n.\r\n", b"250 "),
        (b"QUIT\r\n", b"221 "),
    ],
    b"=?UTF-8?Q?V=C3=BDpis?=",
)
DOTNET = Device(  # AUTH login in lower case with the name on the same line, no QUIT at all
    ".NET System.Net.Mail",
    [
        (b"EHLO SQLSERVER01\r\n", b"250-"),
        (b"AUTH login " + b64("printer") + b"\r\n", b"334 UGFzc3dvcmQ6"),
        (b64(PASSWORD) + b"\r\n", b"235 "),
        (b"MAIL FROM:<printer@novak.cz>\r\n", b"250 "),
        (b"RCPT TO:<jana@example.com>\r\n", b"250 "),
        (b"DATA\r\n", b"354 "),
        (FROM_DOTNET, b"250 "),
    ],
    b"\r\n.hidden\r\n",
    {"message-id"},
)
ALARM = Device(  # bare LF everywhere, 8-bit text in Windows' code page, everything at once
    "an alarm system",
    [
        (b"HELO alarm\nMAIL FROM: printer@novak.cz\nRCPT TO: jana@example.com\nDATA\n", None),
        (FROM_ALARM, b"220 "),
    ],
    b"Dve\xf8e otev\xf8eny\r\n",
    {"bare-lf", "eight-bit", "date", "message-id", "no-brackets"},
)
DEVICES = [XEROX, HP, RICOH, KONICA, JAVA, DOTNET, ALARM]


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_a_device_gets_its_mail_through(device: Device, relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port, more='[routes]\n"@novak.cz" = "shop"\n')
        users = {"printer": {"password": hashed(PASSWORD, chosen=False), "from": ["printer@novak.cz"]}}
        tls = "starttls" if device.tls else "none"
        box = relay("shop", listen=[{"address": "127.0.0.1:0", "tls": tls}], users=users)
        sock: socket.socket = socket.create_connection(box.address, timeout=20)
        heard = b""
        for said, waits in [(b"", b"220 "), *device.dialogue]:
            sock.sendall(said)
            if waits is None:
                continue
            heard = b""
            while not heard.endswith(b"\r\n") or heard[heard.rfind(b"\r\n", 0, -2) + 2 :][3:4] == b"-":
                heard += sock.recv(4096)
            if device is not ALARM:
                assert heard.startswith(waits), (said, heard)
            if said == b"STARTTLS\r\n":
                sock = ssl._create_unverified_context().wrap_socket(sock)
        wait_until(lambda: box.told("message"))
        sock.close()
        wait_until(lambda: server.messages)
    (told,) = box.told("message")
    assert told["outcome"] == "accepted"
    assert device.mended <= set(told["mended"])
    assert device.arrives in server.messages[0].data
    assert b"\xe1" not in server.messages[0].data.partition(b"\r\n\r\n")[0]
