"""Programs that people really have, through the relay and on to a real Postfix: swaks, msmtp, curl, PHP, nodemailer,
smtplib, and a Postfix of its own with ``relayhost``.
"""

from __future__ import annotations

import email
import os
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from franking.relay import Relay
from franking.relay.events import Event
from franking.relay.users import hashed, new_password
from servers.daemon import Certificates
from servers.ports import reserved_ports
from servers.postfix import Postfix

REQUIRED = os.environ.get("FRANKING_REQUIRE_SERVERS") == "1"
MESSAGE = "From: info@example.cz\r\nTo: jana@example.com\r\nSubject: {}\r\n\r\nHello from a program\r\n"


def needs(program: str) -> None:
    if shutil.which(program) is None:
        assert not REQUIRED, f"{program} is required here"
        pytest.skip(f"{program} is not installed")


@dataclass
class Box:
    """A relay on three addresses: plain, STARTTLS, TLS."""

    relay: Relay
    password: str
    events: list[Event]

    @property
    def ports(self) -> list[int]:
        return [port for _, port in self.relay.addresses]


@pytest.fixture
def box(postfix: Postfix) -> Iterator[Box]:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        '[accounts.shop]\nprovider = "smtp"\nfrom = "Shop <info@example.cz>"\n'
        f'host = "127.0.0.1"\nport = {postfix.plain_port}\nsecurity = "none"\n'
    )
    password = new_password()
    events: list[Event] = []
    listen = [{"address": "127.0.0.1:0", "tls": tls} for tls in ("none", "starttls", "implicit")]
    users = {"printer": {"password": hashed(password, chosen=False)}}
    with Relay("shop", listen=listen, users=users, wait=15, observer=events.append) as relay:
        yield Box(relay, password, events)


@pytest.fixture
def arrived(postfix: Postfix) -> Callable[[str], bytes]:
    return lambda text: postfix.inbox.containing(text.encode())


def run(*command: str, text: str = "", **options: object) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.mark.parametrize("way", ["plain", "tls", "tlsc"])
def test_swaks(box: Box, arrived: Callable[[str], bytes], way: str) -> None:
    needs("swaks")
    flags = {
        "plain": ["-p", str(box.ports[0]), "--pipeline"],
        "tls": ["-p", str(box.ports[1]), "-tls", "-a", "LOGIN", "-au", "printer", "-ap", box.password],
        "tlsc": ["-p", str(box.ports[2]), "-tlsc", "-a", "PLAIN", "-au", "printer", "-ap", box.password],
    }[way]
    out = run(
        "swaks", "-s", "127.0.0.1", "-f", "info@example.cz", "-t", "jana@example.com,petr@example.com",
        "--header", f"Subject: swaks {way} 5001", "--body", ".dot\n..two\n", *flags,
    )  # fmt: skip
    assert "250 2.0.0 accepted: Ok: " in out
    assert b"\r\n.dot\r\n..two\r\n" in arrived(f"swaks {way} 5001")


def test_swaks_hears_of_a_refusal(box: Box) -> None:
    needs("swaks")
    done = subprocess.run(
        ["swaks", "-s", "127.0.0.1", "-p", str(box.ports[0]), "-f", "info@example.cz", "-t", "nobody@example.com"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "<** 550 5.1.1 There is no such mailbox" in done.stdout


def test_msmtp(box: Box, arrived: Callable[[str], bytes], tmp_path: Path) -> None:
    needs("msmtp")
    fingerprint = next(str(event.values["fingerprint"]) for event in box.events if event.values.get("fingerprint"))
    config = tmp_path / "msmtprc"
    config.write_text(
        f"account default\nhost 127.0.0.1\nport {box.ports[1]}\nfrom info@example.cz\nauth on\nuser printer\n"
        f"password {box.password}\ntls on\ntls_starttls on\ntls_fingerprint {fingerprint.removeprefix('SHA256 ')}\n"
    )
    config.chmod(0o600)
    run("msmtp", "-C", str(config), "jana@example.com", text=MESSAGE.format("msmtp 5002").replace("\r\n", "\n"))
    assert b"Hello from a program" in arrived("msmtp 5002")
    if shutil.which("php"):  # as php.ini says it on a web server
        code = "exit(mail('jana@example.com', 'PHP through msmtp 5003', \"Hello\\n\") ? 0 : 1);"
        run("php", "-d", f"sendmail_path=msmtp -C {config} -t", "-r", code)
        assert b"Hello" in arrived("PHP through msmtp 5003")


def test_curl(box: Box, arrived: Callable[[str], bytes]) -> None:
    needs("curl")
    run(
        "curl", "-s", "-S", "--url", f"smtps://127.0.0.1:{box.ports[2]}", "--insecure", "--user",
        f"printer:{box.password}", "--mail-from", "info@example.cz", "--mail-rcpt", "jana@example.com", "-T", "-",
        text=MESSAGE.format("curl 5004"),
    )  # fmt: skip
    assert b"Hello from a program" in arrived("curl 5004")


PHP = """
$tls = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]);
$s = stream_socket_client("tcp://127.0.0.1:$argv[1]", $no, $why, 20, STREAM_CLIENT_CONNECT, $tls);
function say($s, $line) {
    if ($line !== null) fwrite($s, "$line\\r\\n");
    do { $got = fgets($s, 515); } while ($got !== false && $got[3] === '-');
    if ($got === false || $got[0] > '3') exit("$line: $got");
    return $got;
}
say($s, null); say($s, 'EHLO shop.example'); say($s, 'STARTTLS');
stream_socket_enable_crypto($s, true, STREAM_CRYPTO_METHOD_TLSv1_2_CLIENT) || exit('no TLS');
say($s, 'EHLO shop.example'); say($s, 'AUTH LOGIN');
say($s, base64_encode('printer')); say($s, base64_encode($argv[2]));
say($s, 'MAIL FROM:<info@example.cz>'); say($s, 'RCPT TO:<jana@example.com>'); say($s, 'DATA');
say($s, "From: info@example.cz\\r\\nTo: jana@example.com\\r\\nSubject: a shop 5005\\r\\n\\r\\nHello\\r\\n.");
say($s, 'QUIT'); echo 'sent';
"""


def test_a_php_shop_speaks_smtp_itself(box: Box, arrived: Callable[[str], bytes]) -> None:
    needs("php")
    assert run("php", "-r", PHP, "--", str(box.ports[1]), box.password) == "sent"
    assert b"Hello" in arrived("a shop 5005")


NODEMAILER = """
const transport = require('nodemailer').createTransport({host: '127.0.0.1', port: +process.argv[1], requireTLS: true,
    auth: {user: 'printer', pass: process.argv[2]}, tls: {rejectUnauthorized: false}});
transport.sendMail({from: 'info@example.cz', to: 'jana@example.com', bcc: 'petr@example.com',
    subject: 'nodemailer 5006', text: 'Dobrý den'}).then(info => { console.log(info.response); transport.close(); });
"""


def test_nodemailer(box: Box, arrived: Callable[[str], bytes]) -> None:
    directory = Path(os.environ.get("FRANKING_SERVERS", "/var/tmp/franking-servers"))
    node = directory / "node" / "bin" / "node"
    if not (directory / "node_modules" / "nodemailer").exists():
        assert not REQUIRED, ".ci/install-servers brings nodemailer"
        pytest.skip("nodemailer is not installed")
    path = {**os.environ, "NODE_PATH": str(directory / "node_modules")}
    out = run(str(node), "-e", NODEMAILER, str(box.ports[1]), box.password, env=path)
    assert out.startswith("250 2.0.0 accepted")
    assert b"petr" not in arrived("nodemailer 5006")


def test_smtplib(box: Box, arrived: Callable[[str], bytes]) -> None:
    with smtplib.SMTP_SSL("127.0.0.1", box.ports[2], context=ssl._create_unverified_context(), timeout=30) as client:
        client.login("printer", box.password)
        message = email.message_from_string(MESSAGE.format("smtplib 5007").replace("\r\n", "\n"))
        client.send_message(message, to_addrs=["jana@example.com"])
    assert b"Hello from a program" in arrived("smtplib 5007")


def test_a_postfix_with_relayhost(box: Box, certificates: Certificates, arrived: Callable[[str], bytes]) -> None:
    """As an administrator has it on a machine whose programs call sendmail; a bounce's empty sender comes too."""
    settings = (
        f"relayhost = [127.0.0.1]:{box.ports[0]}\nmynetworks = 127.0.0.0/8\nvirtual_mailbox_domains =\n"
        "default_transport = smtp\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"
        "smtp_dns_support_level = disabled\n"
    )
    plain, starttls, tls = reserved_ports(3)
    own = Postfix(certificates, plain=plain, starttls=starttls, tls=tls, settings=settings)
    try:
        for sender, number in (("info@example.cz", 5008), ("", 5009)):
            with smtplib.SMTP("127.0.0.1", own.plain_port, timeout=30) as client:
                client.sendmail(sender, ["jana@example.com"], MESSAGE.format(f"relayhost {number}").encode())
            assert b"Hello from a program" in arrived(f"relayhost {number}")
    finally:
        own.stop()
