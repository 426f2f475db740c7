"""What an older version wrote goes on being used: settings, passwords, sign-ins, journals, the outbox. Each test begins
with a copy of a folder that such a version left (``write.py`` says how), and looks at it through the commands.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import json
import runpy
import shutil
import smtplib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import commandline
import franking
from commandline import Ended
from franking.outbox.database import SCHEMA
from franking.relay import Relay
from servers.smtp import SmtpServer, wait_until

HERE = Path(__file__).parent
LEFT = sorted(path.parent for path in HERE.glob("*/accounts.toml"))
WRITER = runpy.run_path(str(HERE / "write.py"))
USERS = dict.fromkeys(("info@novak.cz", "locked@novak.cz"), WRITER["PASSWORD"])


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(users=USERS) as started:
        yield started


@pytest.fixture(params=LEFT, ids=lambda folder: str(folder.name))
def left(request: pytest.FixtureRequest, server: SmtpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "left"
    shutil.copytree(request.param, folder)
    for path in [folder / "state", *(folder / "state").rglob("*")]:  # git keeps no modes
        path.chmod(0o700 if path.is_dir() else 0o600)
    settings = folder / "accounts.toml"
    settings.write_text(settings.read_text("utf-8").replace("port = 2525", f"port = {server.port}"), "utf-8")
    monkeypatch.setenv("FRANKING_CONFIG", str(settings))
    monkeypatch.setenv("FRANKING_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("FRANKING_STORE_KEY", WRITER["KEY"])
    return folder


def run(*words: str, code: int = 0) -> Ended:
    done = commandline.franking(*words)
    assert done.code == code, done.err
    return done


def subjects(server: SmtpServer) -> list[str]:
    return [
        str(email.message_from_bytes(each.data, policy=email.policy.default)["Subject"]) for each in server.messages
    ]


def test_version_0_1_is_among_them() -> None:
    assert "0.1" in [folder.name for folder in LEFT]


def test_every_account_stands_as_it_stood(left: Path) -> None:
    before = (left / "accounts.toml").read_text("utf-8")
    listed = {one["name"]: one for one in json.loads(run("accounts", "list", "--json").out)}
    assert {name: (one["provider"], one["route"], one["ok"]) for name, one in listed.items()} == {
        "shop": ("smtp", "smtp", True),
        "locked": ("smtp", "smtp", True),
        "mail": ("gmail", "gmail-api", True),
        "office": ("outlook", "graph", True),
    }
    run("accounts", "disable", "mail")
    run("accounts", "enable", "mail")
    after = (left / "accounts.toml").read_text("utf-8")
    assert after.startswith("# Novák's shop; this comment is mine\n")
    assert set(before.splitlines()) <= set(after.splitlines())


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("account", ["shop", "locked"])
def test_a_stored_password_logs_in_and_sends(server: SmtpServer, account: str) -> None:
    told = json.loads(run("send-test", account, "--to", "me@example.com", "--json").out)
    assert told["outcome"] == "sent"
    assert len(server.messages) == 1


@pytest.mark.usefixtures("left")
def test_a_sign_in_is_still_known_and_can_move_on() -> None:
    known = {one["name"]: one for one in json.loads(run("status", "--json").out)}
    assert {known[name]["ok"] for name in ("mail", "office")} == {True}
    for name in ("mail", "office"):
        grant = json.loads(run("login", name, "--export").out)
        assert grant["data"]["refresh_token"] == WRITER["TOKENS"]["refresh_token"]


def test_a_list_that_was_begun_goes_on_where_it_stopped(left: Path, server: SmtpServer) -> None:
    run("send-many", "shop", str(left / "letters.jsonl"))
    assert sorted(subjects(server)) == ["Dopis 3", "Dopis 4"]


@pytest.mark.usefixtures("left")
def test_the_outbox_remembers_and_delivers(server: SmtpServer) -> None:
    before = {
        "Přijatá": "accepted",
        "Odmítnutá": "refused",
        "Neznámá": "unknown",
        "Čeká": "queued",
        "Čeká zamčená": "queued",
    }
    assert {one["subject"]: one["state"] for one in json.loads(run("outbox", "list", "--json").out)} == before
    box = franking.Outbox(clock=lambda: WRITER["WRITTEN"])  # what waits gives up after days, and they have passed
    try:
        box.run(once=True)
        assert sorted(subjects(server)) == ["Čeká", "Čeká zamčená"]
        assert {str(one.subject): one.state for one in box.list()} == before | {
            "Čeká": "accepted",
            "Čeká zamčená": "accepted",
        }
    finally:
        box.close()


def test_the_outbox_is_brought_forward_with_every_row(left: Path) -> None:
    path = left / "state" / "outbox" / "outbox.sqlite3"

    def rows(query: str) -> list[dict[str, object]]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    entries, bodies, was = rows("SELECT * FROM entries"), rows("SELECT * FROM bodies"), rows("PRAGMA user_version")
    box = franking.Outbox()
    try:
        listed = box.list()
        assert len(listed) == len(entries) == 5
        assert box.counts()["queued"] == 2
        kept = {int(entry.id[:12]): b"".join(box.octets(entry.id)) for entry in listed if entry.state != "accepted"}
        assert kept == {row["number"]: row["data"] for row in bodies}
    finally:
        box.close()
    now = rows("SELECT * FROM entries")
    assert [{name: row[name] for name in before} for before, row in zip(entries, now, strict=True)] == entries
    assert rows("SELECT * FROM bodies") == bodies
    assert (was, rows("PRAGMA user_version")) == ([{"user_version": 1}], [{"user_version": len(SCHEMA)}])
    assert rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@pytest.mark.usefixtures("left")
def test_a_device_logs_in_at_the_relay_as_before(server: SmtpServer) -> None:
    users = json.loads(run("relay", "users", "--json").out)
    assert [one["name"] for one in users] == ["printer"]
    relay = Relay.of_settings({"listen": ["127.0.0.1:0"]})
    with relay, smtplib.SMTP(*relay.addresses[0], timeout=20) as device:
        device.ehlo()
        said = base64.b64encode(f"\0printer\0{WRITER['DEVICE']}".encode()).decode()
        assert device.docmd("AUTH PLAIN", said)[0] == 235
        device.sendmail("sken@novak.cz", ["jana@example.com"], "From: sken@novak.cz\nSubject: Sken\n\nx\n")
        wait_until(lambda: "Sken" in subjects(server))
