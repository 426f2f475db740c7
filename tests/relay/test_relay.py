"""The relay as its clients meet it: smtplib in front, a scripted server behind, the outbox between."""

from __future__ import annotations

import asyncio
import base64
import os
import smtplib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from commandline import sendmail
from franking.auth.store import open_store
from franking.errors import SettingsError
from franking.registry import provider as find_provider
from franking.relay import Relay
from franking.relay.users import hashed
from relay.conftest import HEADER, MESSAGE, Watched, said, save
from servers.certificates import Certificates
from servers.microsoft import OUTLOOK, Microsoft
from servers.person import Person
from servers.smtp import Fault, SmtpServer, hangs_up, says, silence, wait_until

Start = Callable[..., Watched]
USERS = {"printer": {"password": hashed("tajne", chosen=False)}}


def test_what_is_accepted_is_told_in_the_servers_words(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        with box.client() as client:
            assert said(client, "shop@example.cz", ["jana@example.com", "b@example.com"], MESSAGE + b"..\r\n.\r\n") == (
                "250 2.0.0 accepted: queued as 1"
            )
    (received,) = server.messages
    assert received.recipients == ["jana@example.com", "b@example.com"]
    assert received.data.startswith(b"Received: by localhost (Franking relay) with ESMTP id ")
    assert b"127.0.0.1" not in received.data
    assert received.data.endswith(MESSAGE[len(HEADER) :] + b"..\r\n.\r\n")
    (told,) = box.told("message")
    assert told | {"id": 0, "ms": 0} == {
        "id": 0, "client": "127.0.0.1", "user": None, "account": "shop", "from": "shop@example.cz",
        "to": ["jana@example.com", "b@example.com"], "bytes": len(received.data), "outcome": "accepted",
        "reply": "250 2.0.0 accepted: queued as 1", "mended": [], "ms": 0,
    }  # fmt: skip
    assert franking.Outbox().get(str(told["id"])).state == "accepted"


def test_what_is_refused_is_out_of_the_outbox_before_it_is_said(relay: Start) -> None:
    with SmtpServer(refused={"no@example.com": "550 5.1.1 nobody here"}) as server:
        save(server.port)
        with relay("shop").client() as client:
            words = said(client, "shop@example.cz", "no@example.com", MESSAGE)
            assert words.startswith("550 5.1.1 There is no such mailbox")
            assert sum(franking.Outbox().counts().values()) == 0
            some = said(client, "shop@example.cz", ["no@example.com", "b@example.com", "c@example.com"], MESSAGE)
            assert some == "250 2.0.0 1 of 3 refused: no@example.com (550 5.1.1 nobody here)"
    assert [message.recipients for message in server.messages] == [["b@example.com", "c@example.com"]]


def test_what_is_unknown_or_put_off_is_queued(relay: Start) -> None:
    faults = [
        Fault("body", hangs_up, executed=True, connection=1),
        Fault("rcpt", says("451 4.7.1 later"), connection=2),
    ]
    with SmtpServer(faults=faults) as server:
        save(server.port)
        box = relay("shop")
        with box.client() as client:
            for state in ("unknown", "queued"):
                words = said(client, "shop@example.cz", "b@example.com", MESSAGE)
                entry = franking.Outbox().get(words.rpartition(" ")[2])
                assert (words, entry.state) == (f"250 2.0.0 queued as {entry.id}", state)
    assert [told["outcome"] for told in box.told("message")] == ["queued", "queued"]


def test_an_upstream_that_hangs_keeps_nobody_waiting_for_long(relay: Start) -> None:
    with SmtpServer(faults=[Fault("greet", silence, nth=None)]) as server:
        save(server.port, timeout=30)
        with relay("shop", wait=0.2).client() as one:
            assert said(one, "shop@example.cz", "b@example.com", MESSAGE).startswith("250 2.0.0 queued as ")
            assert said(one, "shop@example.cz", "c@example.com", MESSAGE).startswith("250 2.0.0 queued as ")


@pytest.mark.parametrize("fresh", [0.0, 0.5])
def test_a_dead_sign_in_is_refused_or_held(fresh: float, relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.blocked.FRESH_SECONDS", fresh)  # 0: the outbox is asked each time
    with SmtpServer(users={"jan": "right"}) as server:
        save(server.port, username="jan", allow_plain_login=True)
        os.environ["FRANKING_SECRET_SHOP"] = "wrong"
        try:
            box = relay("shop", users={"fax": {**USERS["printer"], "on_blocked": "hold"}})
            with box.client() as client:
                words = said(client, "shop@example.cz", "b@example.com", MESSAGE)
                assert words.startswith("451 4.3.0 The server refused the login")
                assert "run: franking" in words
                assert sum(franking.Outbox().counts().values()) == 0
                wait_until(lambda: mail_alone(client).startswith("451"))  # known at MAIL
                client.login("fax", "tajne")
                assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250 2.0.0 queued as ")
        finally:
            del os.environ["FRANKING_SECRET_SHOP"]
    assert franking.Outbox().counts()["queued"] == 1
    assert {told["stage"] for told in box.told("refused")} == {"mail"}


def mail_alone(client: smtplib.SMTP) -> str:
    code, words = client.mail("shop@example.cz")
    client.rset()
    return f"{code} {words.decode()}"


def test_a_disabled_account_and_one_of_wrong_settings(relay: Start) -> None:
    save(1, enabled=False)
    save(1, "office")
    save(1, "broken", username="jan", password_file="/nowhere/at/all", allow_plain_login=True)
    users = {name: {**USERS["printer"], "account": name} for name in ("office", "broken")}
    box = relay("shop", users=users)
    with box.client() as client:
        code, words = client.mail("shop@example.cz")
        assert (code, words[:26]) == (550, b"5.7.1 This account is swit")
    with box.client() as client:
        client.login("office", "tajne")  # nothing listens there, which passes
        assert said(client, "office@example.cz", "b@example.com", MESSAGE.replace(b"shop@", b"office@")).startswith(
            "250"
        )
    with box.client() as client:
        client.login("broken", "tajne")
        words = said(client, "broken@example.cz", "b@example.com", MESSAGE.replace(b"shop@", b"broken@"))
        assert words[:3] in ("451", "554")


def test_who_may_send_as_whom(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        save(server.port, "office", rewrite_from=True)
        users = {
            "printer": {**USERS["printer"], "account": "shop", "from": ["scan@novak.cz", "@sub.novak.cz"]},
            "cron": {**USERS["printer"], "account": "office"},
        }
        box = relay("shop", users=users)
        with box.client() as client:
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
            assert said(client, "", "b@example.com", MESSAGE).startswith("250")
            assert said(client, "other@example.cz", "b@example.com", MESSAGE).startswith("550 5.7.1")
            other = MESSAGE.replace(b"From: shop@", b"From: other@")
            words = said(client, "shop@example.cz", "b@example.com", other)
            assert words.startswith("550 5.7.1 other@example.cz may not be sent from here")
            assert words.endswith("may send from: shop@example.cz")
            both = MESSAGE.replace(b"From: shop@example.cz", b"From: shop@example.cz, other@example.cz")
            assert said(client, "shop@example.cz", "b@example.com", both).startswith("550 5.7.1 other@")
            client.login("printer", "tajne")
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("550 5.7.1")
            for sender in (b"scan@NOVAK.cz", b"any@sub.novak.cz"):
                mail = MESSAGE.replace(b"shop@example.cz", sender)
                assert said(client, sender.decode(), "b@example.com", mail).startswith("250")
            wrong = MESSAGE.replace(b"shop@example.cz", b"any@novak.cz")
            assert said(client, "scan@novak.cz", "b@example.com", wrong).startswith("550 5.7.1")
        with box.client() as client:
            client.login("cron", "tajne")
            cron = b"From: root (Cron Daemon)\r\nTo: root\r\n\r\nhi\r\n"
            assert said(client, "root@host", "b@example.com", cron).startswith("250")
    last = server.messages[-1]
    assert last.sender == "office@example.cz"
    assert b"\r\nFrom: office@example.cz\r\n" in last.data
    assert {"from", "date", "message-id"} <= set(box.told("message")[-1]["mended"])


def test_routes_say_which_account_sends(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        save(server.port, "office", more='[routes]\n"@novak.cz" = "office"\n')
        box = relay("shop")
        with box.client() as client:
            mail = MESSAGE.replace(b"shop@example.cz", b"info@novak.cz")
            assert said(client, "info@novak.cz", "b@example.com", mail).startswith("250")
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
            assert said(client, "other@example.cz", "b@example.com", MESSAGE).startswith("550 5.7.1 other@")
    assert len(server.messages) == 2
    assert [told["account"] for told in box.told("message")] == ["office", "shop", None]


def test_bcc_comes_off_and_the_envelope_counts(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        with relay("shop").client() as client:
            mail = MESSAGE.replace(b"Subject:", b"Bcc: secret@example.com\r\nSubject:")
            said(client, "shop@example.cz", "b@example.com", mail)
    (received,) = server.messages
    assert (received.recipients, b"secret" in received.data) == (["b@example.com"], False)


def test_a_large_message_goes_through_a_file(relay: Start) -> None:
    body = b"\r\n" + b"..x" * 20 + b"\r\n" + b"y" * 70
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        with box.client() as client:
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE + body * 9000).startswith("250")
            assert client.mail("shop@example.cz", [f"SIZE={10**9}"])[0] == 552
    assert server.messages[0].data.endswith(body * 9000 + b"\r\n")
    assert list((franking.Outbox().directory / "bodies").iterdir()) == []


def test_what_is_too_large_or_no_mail(relay: Start) -> None:
    save(1)
    box = relay(settings={"max_message_size": 2000, "max_recipients": 1, "messages_per_minute": 6})
    with box.client() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "2000"
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE + b"x" * 3000).startswith("552 5.3.4")
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE + b"\0").startswith("554 5.6.0")
        loop = b"Received: by x\r\n" * 31 + MESSAGE
        assert said(client, "shop@example.cz", "b@example.com", loop).startswith("554 5.4.6")
        assert said(client, "shop@example.cz", ["b@example.com", "c@example.com"], MESSAGE).startswith("452 4.5.3")
        bad = MESSAGE.replace(b"Subject", b"Su\0bject")
        assert said(client, "shop@example.cz", "b@example.com", bad).startswith("554")
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("450 4.7.1")


def test_a_message_may_have_exactly_the_largest_size(relay: Start) -> None:
    save(1)
    box = relay(settings={"max_message_size": len(MESSAGE)})
    with box.client() as client:
        assert client.mail("shop@example.cz", [f"SIZE={len(MESSAGE) + 1}"])[0] == 552
        assert client.mail("shop@example.cz", [f"SIZE={len(MESSAGE)}"])[0] == 250
        client.rset()
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE.replace(b"hi", b"hi!")).startswith("552")


def test_a_client_that_hung_up_and_comes_again_means_the_same_message(relay: Start) -> None:
    with SmtpServer(faults=[Fault("body", silence, executed=False)]) as server:
        save(server.port, final_timeout=30)
        box = relay("shop", wait=0.6)
        dialogue = b"EHLO x\r\nMAIL FROM:<shop@example.cz>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
        for _ in range(2):
            with socket.create_connection(box.address) as hasty:
                hasty.sendall(dialogue + MESSAGE + b".\r\n")
                wait_until(lambda: sum(franking.Outbox().counts().values()) == 1)
                time.sleep(0.1)
        assert sum(franking.Outbox().counts().values()) == 1
        with box.client() as client:
            other = MESSAGE.replace(b"<1@", b"<2@")
            assert said(client, "shop@example.cz", "b@example.com", other).startswith("250")
        assert sum(franking.Outbox().counts().values()) == 2


def test_another_user_s_message_or_one_to_others_is_another_one(relay: Start) -> None:
    with SmtpServer(faults=[Fault("body", silence, executed=False)]) as server:
        save(server.port, final_timeout=30)
        box = relay("shop", wait=60, users={"printer": USERS["printer"], "fax": USERS["printer"]})
        each = [("printer", b"b@example.com"), ("fax", b"b@example.com"), ("fax", b"c@example.com")]
        for number, (user, to) in enumerate(each, 1):
            login = base64.b64encode(f"\0{user}\0tajne".encode())
            with socket.create_connection(box.address) as hasty:
                hasty.sendall(b"EHLO x\r\nAUTH PLAIN " + login + b"\r\nMAIL FROM:<shop@example.cz>\r\n")
                hasty.sendall(b"RCPT TO:<" + to + b">\r\nDATA\r\n" + MESSAGE + b".\r\n")
                wait_until(lambda number=number: sum(franking.Outbox().counts().values()) == number)


def test_the_same_message_after_its_reply_is_another_one(relay: Start) -> None:
    """An alarm system says the same each time."""
    with SmtpServer() as server:
        save(server.port)
        with relay("shop").client() as client:
            for _ in range(3):
                assert said(client, "shop@example.cz", "b@example.com", HEADER + b"\r\nalarm\r\n").startswith("250")
    assert len(server.messages) == 3


def test_what_came_in_one_flight_may_be_said_again_too(relay: Start) -> None:
    """Several messages in one flight have their replies before anything more comes of their client (RFC 3030)."""
    flight = b""
    for number in range(3):
        text = HEADER + b"\r\nalarm %d\r\n" % number
        flight += b"MAIL FROM:<shop@example.cz>\r\nRCPT TO:<b@example.com>\r\nBDAT %d LAST\r\n%b" % (len(text), text)
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        for _ in range(2):
            with box.client() as client:
                client.send(flight)
                assert [client.getreply()[0] for _ in range(9)] == [250] * 9
    assert len(server.messages) == 6
    assert not box.relay._acceptance._live  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a reply has come")
def test_who_closes_its_sending_side_and_hears_the_reply_may_say_it_again(relay: Start) -> None:
    """``printf … | nc -N`` in an old script: each alarm is a message."""
    dialogue = b"HELO x\r\nMAIL FROM:<shop@example.cz>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        for _ in range(3):
            with socket.create_connection(box.address, timeout=20) as sock:
                sock.sendall(dialogue + HEADER + b"\r\nalarm\r\n.\r\n")
                sock.shutdown(socket.SHUT_WR)
                with sock.makefile("rb") as file:
                    assert b"250 2.0.0 accepted" in file.read()
    assert len(server.messages) == 3


def test_encryption_and_logins(relay: Start, certificates: Certificates) -> None:
    with SmtpServer() as server:
        save(server.port)
        listen = [
            {"address": "127.0.0.1:0", "tls": "starttls"},
            {"address": "127.0.0.1:0", "tls": "implicit"},
        ]
        box = relay("shop", listen=listen, users=USERS)
        context = ssl._create_unverified_context()
        with box.client() as client:
            client.starttls(context=context)
            client.login("printer", "tajne")
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
        with smtplib.SMTP_SSL(*box.relay.addresses[1], context=context, timeout=20) as client:
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250")
    assert [b"with ESMTPSA id" in one.data for one in server.messages] == [True, False]
    first, second = box.told("listening")
    assert first["fingerprint"] == second["fingerprint"]
    assert str(first["fingerprint"]).startswith("SHA256 ")
    state = Path(os.environ["FRANKING_STATE_DIR"])
    assert (state / "relay.pem").stat().st_mode & 0o777 == 0o600


def test_what_comes_with_the_end_of_the_handshake_counts(relay: Start) -> None:
    """In TLS 1.3 a client sends its EHLO with its last handshake record, in one segment (msmtp, nodemailer)."""
    save(1)
    box = relay("shop", listen=[{"address": "127.0.0.1:0", "tls": "starttls"}])
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = ssl._create_unverified_context().wrap_bio(coming, going)
    with socket.create_connection(box.address, timeout=20) as sock:
        sock.sendall(b"EHLO x\r\nSTARTTLS\r\n")
        wait_until(lambda: sock.recv(4096).endswith(b"220 2.0.0 go on\r\n"))
        while True:
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                if octets := going.read():
                    sock.sendall(octets)
                coming.write(sock.recv(65536))
        inside.write(b"EHLO x\r\n")
        sock.sendall(going.read())  # Finished and EHLO
        said = b""
        while b"250 " not in said:
            try:
                said += inside.read(4096)
            except ssl.SSLWantReadError:
                coming.write(sock.recv(65536))
    assert said.startswith(b"250-localhost\r\n")


def test_wrong_logins_are_slowed_and_ended(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float, real: Callable[[float], Any] = asyncio.sleep) -> None:
        if seconds < 1:  # the relay's own look at its settings, ten times a second
            await real(seconds)
            return
        pauses.append(seconds)
        await real(0)

    save(1)
    box = relay("shop", users=USERS)
    with monkeypatch.context() as patched, box.client() as client:
        patched.setattr("asyncio.sleep", sleep)
        wrong = [client.docmd("AUTH PLAIN", base64.b64encode(b"\0printer\0wrong").decode())[0] for _ in range(10)]
    assert wrong == [535] * 9 + [421]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    told = box.told("login-failed")
    assert told[0] == {"client": "127.0.0.1", "user": "printer", "hint": None}
    assert "wrong" not in str(box.events)


def test_an_empty_name_and_where_no_login_is_needed(relay: Start) -> None:
    save(1)
    box = relay("shop", users=USERS)
    with box.client() as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN", "AAA=")[0] == 535
    assert "no login is needed" in str(box.told("login-failed")[0]["hint"])


def test_stopping_lets_what_is_under_way_end(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        with box.client() as client:
            client.ehlo()
            box.relay.stop()
            assert not box.relay.alive
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.noop()
                client.noop()
    assert box.events[-1].name == "stopped"


def test_new_settings_are_taken_and_wrong_ones_are_not(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.relay.REREAD_SECONDS", 0.05)
    monkeypatch.setattr("franking.relay.server.TICK_SECONDS", 0.05)
    save(1)
    path = Path(os.environ["FRANKING_CONFIG"])
    before = path.read_text()
    box = relay(settings={})
    with box.client() as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
    path.write_text(before + "[relay]\nwait = 'long'\n")
    wait_until(lambda: box.told("warning"))
    path.write_text(before + f"[relay.users.fax]\npassword = '{USERS['printer']['password']}'\n")
    wait_until(lambda: "fax" in box.relay.settings.users)
    client = box.client()
    client.login("fax", "tajne")
    path.write_text(before)
    wait_until(lambda: "fax" not in box.relay.settings.users)
    wait_until(lambda: not client_lives(client))
    client.close()
    path.write_text(before + "[relay]\nhealth = '127.0.0.1:8025'\n")
    wait_until(lambda: "started again" in box.told("warning")[-1]["text"])
    path.write_text(before.replace("port = 1\n", f"port = {box.address[1]}\n"))
    wait_until(lambda: "in a circle" in box.told("warning")[-1]["text"])
    assert box.relay._access.account("shop").get("port") == 1


def client_lives(client: smtplib.SMTP) -> bool:
    try:
        return client.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


def test_an_account_that_points_at_the_relay_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    save(port)
    with pytest.raises(SettingsError, match="circle"):
        Relay("shop", listen=[f"localhost:{port}"]).start()


def test_without_a_runner_here_another_one_tells(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        stop = threading.Event()
        runner = threading.Thread(target=franking.Outbox().run, args=(stop,))
        runner.start()
        with relay("shop", run=False).client() as client:
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE) == "250 2.0.0 accepted: queued as 1"
        stop.set()
        runner.join()


def test_without_waiting_it_is_queued(relay: Start) -> None:
    save(1)
    with relay("shop", run=False, wait=0).client() as client:
        assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250 2.0.0 queued as ")


def test_sendmail_of_users_who_have_no_account(relay: Start) -> None:
    """Their settings file, without a secret, names the relay: cron's root@host becomes the account's."""
    with SmtpServer(refused={"no@example.com": "550 5.1.1 nobody"}) as server:
        save(server.port)
        _, port = relay("shop").address
        save(port, "relay", rewrite_from=True, **{"from": "shop@example.cz"})
        cron = b"From: root@web (Cron Daemon)\nTo: %b@example.com\nSubject: Cron\n\ndisk full\n"
        assert sendmail("-a", "relay", "-i", "-t", text=cron % b"jana").code == 0
        assert sendmail("-a", "relay", "-i", "-t", text=cron % b"no").code == 69
    (received,) = server.messages
    assert (received.sender, received.recipients) == ("shop@example.cz", ["jana@example.com"])
    assert b"\r\nReply-To: root@web" in received.data


class Issued(dict[str, str]):
    """The newest token that lets somebody send by SMTP, which is what a mail server of the same company asks for."""

    def __init__(self, microsoft: Microsoft) -> None:
        super().__init__()
        self._microsoft = microsoft

    def get(self, user: str, default: Any = None) -> Any:  # type: ignore[override]
        found = [token for token, known in self._microsoft.tokens.items() if known.resource == OUTLOOK]
        return found[-1] if user == self._microsoft.user and found else default


@pytest.mark.parametrize("allowed", [True, False])
def test_who_stands_in_the_header_alone_does_not_get_it_from_an_api(
    allowed: bool, relay: Start, tmp_path: Path
) -> None:
    """Where the sign-in allows SMTP too, the message goes by that and the envelope counts; all others by the API."""
    with (
        Microsoft(tmp_path) as microsoft,
        SmtpServer(
            context=microsoft.ca.context("localhost", "127.0.0.1"), plain_auth=False, tokens={"jan@contoso.com": ""}
        ) as server,
    ):
        server.tokens = Issued(microsoft)
        account = franking.Account(
            name="shop", provider="outlook", sender="jan@contoso.com", host="localhost", port=server.port,
            **microsoft.settings(timeout=20),
        )  # fmt: skip
        given = {"provider": "outlook", "from": "jan@contoso.com", **account.given}
        lines = [
            f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in given.items()
        ]
        Path(os.environ["FRANKING_CONFIG"]).write_text("\n".join(["[accounts.shop]", *lines]) + "\n")
        provider: Any = find_provider("outlook")
        grant = provider.login(account, Person(microsoft.browser))
        if not allowed:
            grant = replace(grant, details={**grant.details, "consented": (account.route,)})
        open_store(os.environ).save("shop", grant.dumps())
        mail = MESSAGE.replace(b"shop@example.cz", b"jan@contoso.com")
        box = relay("shop", wait=20)
        with box.client() as client:
            words = said(client, "jan@contoso.com", "b@example.com", mail)
            assert said(client, "jan@contoso.com", "jana@example.com", mail).startswith("250")
    assert [sent.recipients for sent in microsoft.graph.sent] == [["jana@example.com"]]
    if allowed:
        assert words == "250 2.0.0 accepted: queued as 1"
        assert [message.recipients for message in server.messages] == [["b@example.com"]]
    else:
        assert words.startswith("550 5.6.0 jana@example.com stands in the header")
        assert server.messages == []


def test_an_address_that_the_server_cannot_carry_is_refused_by_itself_the_next_time(relay: Start) -> None:
    with SmtpServer(extensions=("8BITMIME", "SIZE", "PIPELINING")) as server:
        save(server.port)
        box = relay("shop")
        with box.client() as client:
            heard = []
            for _ in range(2):
                client.mail("shop@example.cz", ["SMTPUTF8"])
                heard.append([client.docmd("RCPT", f"TO:<{name}@example.com>")[0] for name in ("jana", "j\u00e1na")])
                code = client.data(MESSAGE)[0]
                heard.append([code])
                client.rset()
    assert heard[0] == [250, 250]
    assert heard[1][0] in (550, 554)
    assert heard[2:] == [[250, 553], [250]]
    assert [message.recipients for message in server.messages] == [["jana@example.com"]]
