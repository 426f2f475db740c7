"""What is found of the outbox and of the machine."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import franking
from franking.diagnosis.diagnosis import Diagnosis
from franking.health.look import look
from franking.outbox.claims import Claims
from franking.outbox.holds import Holds
from health.looking import DAY, HOUR, Clock, codes, finding, machine, settings
from outbox.test_outbox import save
from servers.smtp import SmtpServer

EVERY = ("waiting", "unknown", "failed", "disk", "no-runner", "stray-file")


def message(number: int = 0) -> franking.Message:
    return franking.Message(to="jana@example.com", subject=f"Faktura {number}", text="x")


def queued(number: int = 0) -> franking.OutboxEntry:
    with franking.connect("shop") as mailer:
        return mailer.queue(message(number))


@pytest.fixture
def shop() -> str:
    save(1)
    return "shop"


@pytest.mark.usefixtures("shop")
def test_where_there_is_no_outbox_nothing_is_found_or_made(present: Clock) -> None:
    assert machine(look(clock=present)) == {}
    assert "outbox.held" not in codes(look(clock=present))
    assert not franking.Outbox().directory.exists()


@pytest.mark.usefixtures("shop")
def test_an_outbox_that_is_well(present: Clock) -> None:
    with SmtpServer() as server:
        path = settings()
        path.write_text(path.read_text().replace("port = 1\n", f"port = {server.port}\n"))
        queued()
        franking.Outbox().run(once=True)
    found = look(clock=present)
    assert machine(found) == {f"outbox.{name}": "ok" for name in EVERY}
    assert codes(found)["outbox.held"] == "ok"
    assert found.outbox.counts["accepted"] == 1


@pytest.mark.usefixtures("shop")
def test_what_waits_for_over_an_hour_and_nobody_delivers(present: Clock) -> None:
    queued()
    present.now = time.time()
    found = look(clock=present)
    assert (machine(found)["outbox.waiting"], machine(found)["outbox.no-runner"]) == ("ok", "warning")
    present.now += HOUR + 60
    waits = finding(look(clock=present), "outbox.waiting", None)
    assert (waits.level, "61 minutes" in waits.text()) == ("warning", True)
    assert look(clock=present).outbox.oldest == pytest.approx(HOUR + 60, abs=60)


@pytest.mark.usefixtures("shop")
def test_what_is_not_due_before_does_not_wait(present: Clock) -> None:
    with franking.connect("shop") as mailer:
        mailer.queue(message(), not_before=present.now + 3 * HOUR)
    found = machine(look(clock=present))
    assert (found["outbox.waiting"], found["outbox.no-runner"]) == ("ok", "ok")
    present.now += 3.5 * HOUR
    assert machine(look(clock=present))["outbox.waiting"] == "ok"
    present.now += HOUR
    assert machine(look(clock=present))["outbox.waiting"] == "warning"


@pytest.mark.usefixtures("shop")
def test_a_runner_that_lives_and_one_that_came_by(present: Clock) -> None:
    queued()
    present.now = time.time()
    claims = Claims(franking.Outbox().database)
    folder = claims._path.parent
    old = time.time() - 2 * HOUR
    try:
        os.utime(claims._path, (old, old))
        os.utime(folder, (old, old))
        assert machine(look(clock=present))["outbox.no-runner"] == "ok"
    finally:
        claims.close()
    assert machine(look(clock=present))["outbox.no-runner"] == "ok", "it ended just now"
    (folder / "dead.lock").write_bytes(b"")
    os.utime(folder / "dead.lock", (old, old))
    os.utime(folder, (old, old))
    assert machine(look(clock=present))["outbox.no-runner"] == "warning"
    (folder / "young.lock").write_bytes(b"")
    os.utime(folder, (old, old))
    assert machine(look(clock=present))["outbox.no-runner"] == "ok", "it may be about to take its lock"


@pytest.mark.usefixtures("shop")
def test_who_comes_by_within_a_quarter_of_an_hour_is_somebody(present: Clock) -> None:
    queued()
    claims = Claims(franking.Outbox().database)
    folder = claims._path.parent
    claims.close()
    came = time.time() + 1  # after the first message was queued
    os.utime(folder, (came, came))
    for seconds, level in ((890, "ok"), (900, "warning")):
        present.now = came + seconds
        assert machine(look(clock=present))["outbox.no-runner"] == level


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("more", "level"), [(0, "ok"), (1, "warning")])
def test_a_wait_of_an_hour_is_no_long_one(more: int, level: str, present: Clock) -> None:
    queued()
    with franking.Outbox().database.transaction() as connection:
        connection.execute("UPDATE entries SET created_at = ?", (present.now - HOUR - more,))
    assert machine(look(clock=present))["outbox.waiting"] == level


@pytest.mark.usefixtures("shop")
def test_what_failed_within_a_day_and_what_nobody_knows(present: Clock) -> None:
    first, second = queued(1), queued(2)
    box = franking.Outbox()
    with box.database.transaction() as connection:
        change = "UPDATE entries SET state = ?, finished_at = ? WHERE number = ?"
        connection.execute(change, ("failed", present.now, int(first.id.partition("-")[0])))
        connection.execute(change, ("unknown", present.now, int(second.id.partition("-")[0])))
    found = look(clock=present)
    assert (machine(found)["outbox.failed"], machine(found)["outbox.unknown"]) == ("warning", "warning")
    assert "1 messages" in finding(found, "outbox.unknown", None).text()
    present.now += DAY + 1
    assert machine(look(clock=present))["outbox.failed"] == "ok"
    assert machine(look(clock=present))["outbox.unknown"] == "warning"


@pytest.mark.usefixtures("shop")
def test_an_account_that_is_held(present: Clock) -> None:
    queued()
    Holds(franking.Outbox().database, lambda name: "x").hold("shop", Diagnosis("login.refused"), present.now, 0.5)
    found = finding(look(clock=present), "outbox.held")
    assert (found.level, "The server refused the login" in found.text()) == ("warning", True)
    assert "Server odmítl přihlášení" in found.text("cs")


@pytest.mark.usefixtures("shop")
def test_files_that_are_left_over(present: Clock) -> None:
    queued()
    stray = franking.Outbox().directory / "bodies" / "000000000099-deadbeef.eml"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    assert machine(look(clock=present))["outbox.stray-file"] == "ok"
    os.utime(stray, (time.time() - 2 * HOUR,) * 2)
    assert machine(look(clock=present))["outbox.stray-file"] == "warning"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("free", "level"), [(110, "ok"), (100, "warning"), (21, "warning"), (20, "critical")])
def test_a_disk_that_fills(free: int, level: str, present: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    queued()
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1000, 1000 - free, free))
    assert machine(look(clock=present))["outbox.disk"] == level


@pytest.mark.usefixtures("shop")
def test_an_outbox_that_cannot_be_read(present: Clock) -> None:
    queued()
    for file in franking.Outbox().directory.glob("outbox.sqlite3*"):
        file.write_bytes(b"no database" * 200)
    found = finding(look(clock=present), "outbox.disk", None)
    assert (found.level, "damaged" in found.text()) == ("critical", True)


# --- the relay's certificates -----------------------------------------------------------------------------------------


def certificate(path: Path, days: float) -> None:
    """Write a certificate that ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    )  # fmt: skip
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("days", "level"), [(15, "ok"), (13, "warning"), (1, "critical"), (-1, "critical")])
def test_a_relay_s_certificate_ends(days: float, level: str, present: Clock) -> None:
    path = settings("[relay]\n[[relay.listen]]\naddress = '127.0.0.1:2525'\ncertificate = 'relay.pem'\n")
    certificate(path.with_name("relay.pem"), days)
    state = Path(os.environ["FRANKING_STATE_DIR"])
    state.mkdir()
    certificate(state / "relay.pem", 3000)
    found = finding(look(clock=present), "relay-certificate.expires", None)
    assert (found.level, found.what) == (level, "relay-certificate")
    assert str(path.with_name("relay.pem")) in found.text() or level == "ok"


@pytest.mark.usefixtures("shop")
def test_a_relay_s_certificate_that_is_none_is_the_relay_s_business(present: Clock) -> None:
    path = settings("[relay]\n[[relay.listen]]\naddress = '127.0.0.1:2525'\ncertificate = 'relay.pem'\n")
    path.with_name("relay.pem").write_text("nothing")
    assert machine(look(clock=present)) == {"relay.legacy-tls": "ok"}


@pytest.mark.usefixtures("shop")
def test_a_relay_that_takes_outdated_encryption(present: Clock) -> None:
    path = settings("[relay]\nlisten = [{address = '10.0.0.7:587', legacy_tls = true}, {address = '10.0.0.8:587'}]\n")
    found = finding(look(clock=present), "relay.legacy-tls", None)
    assert found.level == "warning"
    assert "at 10.0.0.7:587:" in found.text() and "Relay na 10.0.0.7:587 " in found.text("cs")
    path.write_text(path.read_text().replace("legacy_tls = true", "legacy_tls = false"))
    assert machine(look(clock=present))["relay.legacy-tls"] == "ok"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("listen", ["3", "['10.0.0.7:587']", "[{legacy_tls = 'yes'}]", "[3]"])
def test_settings_of_a_relay_that_are_short_or_wrong_are_the_relay_s_business(listen: str, present: Clock) -> None:
    settings(f"[relay]\nlisten = {listen}\n")
    assert machine(look(clock=present)) == {"relay.legacy-tls": "ok"}


@pytest.mark.usefixtures("shop")
def test_two_looks_take_turns(present: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds what the first has seen, and asks nobody again."""
    with SmtpServer() as server:
        path = settings()
        path.write_text(path.read_text().replace("port = 1\n", f"port = {server.port}\n"))
        threads = [threading.Thread(target=look, kwargs={"clock": present}) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.sessions) == 1
