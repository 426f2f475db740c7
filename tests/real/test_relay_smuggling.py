"""What somebody tries to smuggle in arrives as text, at three next hops: one message goes in, one comes out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from franking.relay import Relay
from servers.exim import Exim
from servers.opensmtpd import OpenSMTPD
from servers.postfix import Postfix

# what SMTP servers have taken for the end of a message (CVE-2023-51764, -51765, -51766), and a few more
ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\n\x0b.\r\n", b"\r\r\n.\r\r\n",
    b"\n\r\n.\n", b"\r\n..\n", b"\n..\r\n",
]  # fmt: skip


def test_one_message_goes_in_and_one_comes_out(postfix: Postfix, exim: Exim, opensmtpd: OpenSMTPD) -> None:
    hops = [(postfix.plain_port, postfix.inbox), (exim.port, exim.inbox), (opensmtpd.port, opensmtpd.inbox)]
    for hop, (port, inbox) in enumerate(hops):
        Path(os.environ["FRANKING_CONFIG"]).write_text(
            '[accounts.shop]\nprovider = "smtp"\nfrom = "info@example.cz"\n'
            f'host = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
        )
        with Relay("shop", wait=20) as relay:
            for number, end in enumerate(ENDS):
                name = f"{hop}-{number}"
                inner = (
                    b"MAIL FROM:<info@example.cz>\r\nRCPT TO:<jana@example.com>\r\nDATA\r\n"
                    b"Message-ID: <inner-%b@example.cz>\r\nSubject: inner\r\n\r\nsmuggled" % name.encode()
                )
                message = (
                    b"From: info@example.cz\r\nTo: jana@example.com\r\nMessage-ID: <outer-%b@example.cz>\r\n"
                    b"Subject: outer\r\n\r\nhello%b%b\r\n.\r\n" % (name.encode(), end, inner)
                )
                with socket.create_connection(relay.addresses[0], timeout=30) as sock:
                    heard = sock.makefile("rb")
                    heard.readline()
                    for line in (b"MAIL FROM:<info@example.cz>", b"RCPT TO:<jana@example.com>", b"DATA"):
                        sock.sendall(line + b"\r\n")
                        assert heard.readline()[:1] in b"23"
                    sock.sendall(message)
                    assert heard.readline().startswith(b"250 2.0.0 accepted"), end
                    sock.sendall(b"QUIT\r\n")
                    assert heard.readline().startswith(b"221"), end  # nothing else was answered
                arrived = inbox.find(f"<outer-{name}@example.cz>")
                assert b"smuggled" in arrived
                assert inbox.copies(f"<outer-{name}@example.cz>") == 1
        assert not [name for name in inbox.names() if "inner-" in name]


@pytest.mark.timeout(60)
def test_beyond_loopback_in_a_network_of_its_own(tmp_path: Path) -> None:
    """An address that others could reach: nobody without a login, no login without TLS, an allowed network may."""
    if shutil.which("unshare") is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("it needs root, unshare and ip")
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        '[accounts.shop]\nprovider = "smtp"\nfrom = "info@example.cz"\nhost = "127.0.0.1"\nsecurity = "none"\n'
    )
    script = tmp_path / "beyond.py"
    script.write_text(BEYOND)
    shell = "ip link set lo up && ip address add 10.9.8.7/32 dev lo && ip address add 198.51.100.7/32 dev lo && exec "
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # there is no network to reach
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"{shell}{sys.executable} {script}"],
        env=environ, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "530", "503", "538", "False", "True", "235", "250", "250", "530", "530",
    ]  # fmt: skip


BEYOND = """
import smtplib, ssl
from franking.errors import SettingsError
from franking.relay import Relay
from franking.relay.users import hashed

users = {"printer": {"password": hashed("tajne", chosen=False)}}
try:
    Relay("shop", listen=["198.51.100.7:0"])
except SettingsError:
    pass
with Relay("shop", listen=["198.51.100.7:0"], users=users, wait=0, run=False) as relay:
    with smtplib.SMTP(*relay.addresses[0], source_address=("198.51.100.7", 0)) as client:
        client.ehlo()
        print(client.mail("info@example.cz")[0], client.rcpt("a@b.cz")[0], client.docmd("AUTH PLAIN", "AAA=")[0])
        print("auth" in client.esmtp_features)
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        print("auth" in client.esmtp_features, client.login("printer", "tajne")[0], client.mail("info@example.cz")[0])
with Relay("shop", listen=["0.0.0.0:0"], allow=["10.0.0.0/8"], wait=0, run=False) as relay:
    port = relay.addresses[0][1]
    for own in ("10.9.8.7", "198.51.100.7", "127.0.0.1"):
        with smtplib.SMTP(own, port, source_address=(own, 0)) as client:
            client.ehlo()
            print(client.mail("info@example.cz")[0])
"""
