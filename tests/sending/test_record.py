"""What is kept of each send: the last lasting failure of an account, for ``franking health``, and the send log."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import FrankingError, SettingsError
from franking.sending import last_failures
from franking.sending.send_log import SendLog
from outbox.test_outbox import save
from servers.smtp import Fault, SmtpServer, hangs_up, says

PASSWORD = "Canary9-hunter2"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(users={"info": PASSWORD}, mechanisms=("PLAIN",)) as server:
        save(server.port, username="info", allow_plain_login=True)
        yield server


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)


def file() -> Path:
    return Path(os.environ["FRANKING_STATE_DIR"]) / "health.json"


def failing() -> dict[str, str]:
    return {name: found.diagnosis.code for name, found in last_failures.read(file()).items()}


def message(number: int = 0) -> franking.Message:
    return franking.Message(
        to=["Jana <jana@Example.COM>"], bcc="tajny@example.org", subject=f"Faktura {number}", text="x"
    )


def send(account: Any = "shop") -> None:
    with franking.connect(account) as mailer:
        mailer.send(message())


def log() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in Path(os.environ["FRANKING_CONFIG"]).with_name("sent.jsonl").read_text().split("\n")[:-1]
    ]


def wants_log(more: str = "") -> None:
    with Path(os.environ["FRANKING_CONFIG"]).open("a") as settings:
        settings.write(f"[log]\nfile = 'sent.jsonl'\n{more}")


# --- the last failure -------------------------------------------------------------------------------------------------


def test_a_refused_login_is_remembered_until_the_next_accepted_message(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    with pytest.raises(franking.LoginError):
        send()
    assert failing() == {"shop": "login.refused"}
    assert stat.S_IMODE(file().stat().st_mode) == 0o600
    before = file().stat()
    with pytest.raises(franking.LoginError):
        send()
    assert file().stat().st_ino == before.st_ino, "nothing changed, so nothing is written"
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    send()
    assert failing() == {}


def test_since_is_when_it_began_and_the_reason_is_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "state" / "health.json"
    last_failures.note(path, "shop", franking.Diagnosis("login.refused", raw="535 x"), clock=lambda: 10.0)
    last_failures.note(path, "shop", franking.Diagnosis("google.invalid-grant"), clock=lambda: 20.0)
    last_failures.note(path, "spare", franking.Diagnosis("tls.hostname"), clock=lambda: 30.0)
    found = last_failures.read(path)
    assert (found["shop"].since, found["shop"].diagnosis.code) == (10.0, "google.invalid-grant")
    assert "535" not in path.read_text()
    last_failures.clear(path, "shop")
    assert list(last_failures.read(path)) == ["spare"]


def test_what_was_met_when_health_looked_gives_way_to_what_a_send_met(tmp_path: Path) -> None:
    path = tmp_path / "state" / "health.json"
    met = franking.Diagnosis("login.refused")
    last_failures.note(path, "shop", met, looked=True, clock=lambda: 10.0)
    last_failures.note(path, "shop", met, looked=True, clock=lambda: 20.0)
    assert last_failures.read(path)["shop"] == last_failures.LastFailure(10.0, met, looked=True)
    last_failures.note(path, "shop", met, clock=lambda: 30.0)
    last_failures.note(path, "shop", met, looked=True, clock=lambda: 40.0)
    assert last_failures.read(path)["shop"] == last_failures.LastFailure(30.0, met)


@pytest.mark.parametrize("text", ["", "[]", '{"failing": []}', '{"failing": {"shop": {"since": "x"}, "spare": 1}}'])
def test_a_damaged_file_says_nothing_and_is_written_anew(text: str, tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    path.write_text(text)
    assert last_failures.read(path) == {}
    last_failures.note(path, "shop", franking.Diagnosis("login.refused"), clock=lambda: 10.0)
    assert list(last_failures.read(path)) == ["shop"]


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("rcpt", says("550 5.1.1 no such user"), nth=None),
        Fault("body", says("552 5.2.3 too big"), nth=None),
        Fault("auth", says("454 4.7.0 later"), nth=None),
        Fault("body", hangs_up, executed=True),
    ],
    ids=lambda fault: fault.step if isinstance(fault, Fault) else None,
)
def test_what_passes_or_is_about_the_message_is_not(fault: Fault) -> None:
    with SmtpServer(users={"info": PASSWORD}, mechanisms=("PLAIN",), faults=[fault]) as other:
        save(other.port, username="info", allow_plain_login=True)
        with pytest.raises(FrankingError):
            send()
    assert not file().exists()


def test_many_messages_are_kept_alike(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    with franking.connect("shop") as mailer:
        assert [result.outcome for result in mailer.send_many([message(), message()])] == ["failed", "failed"]
    assert failing() == {"shop": "login.refused"}
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    with franking.connect("shop") as mailer:
        assert [result.outcome for result in mailer.send_many([message(), message()])] == ["accepted", "accepted"]
    assert failing() == {}


@pytest.mark.parametrize("many", [False, True])
def test_the_account_that_cannot_is_remembered_where_another_stands_in(server: SmtpServer, many: bool) -> None:
    with SmtpServer() as second:
        save(second.port, "spare")
        settings = Path(os.environ["FRANKING_CONFIG"])
        settings.write_text(settings.read_text().replace("[accounts.shop]", "[accounts.shop]\nfallback = ['spare']"))
        wants_log()
        os.environ["FRANKING_SECRET_SHOP"] = "wrong"
        try:
            with franking.connect("shop") as mailer:
                if many:
                    assert [result.outcome for result in mailer.send_many([message(), message()])] == ["accepted"] * 2
                else:
                    assert [mailer.send(message()).account for _ in range(2)] == ["spare"] * 2
        finally:
            del os.environ["FRANKING_SECRET_SHOP"]
    assert failing() == {"shop": "login.refused"}
    assert [(row["account"], row["outcome"]) for row in log() if row["outcome"] == "accepted"] == [
        ("spare", "accepted")
    ] * 2


def test_a_secret_that_a_program_gave_and_an_account_of_code_are_nobody_s_business(server: SmtpServer) -> None:
    with franking.connect("shop", secret="wrong") as mailer, pytest.raises(franking.LoginError):
        mailer.send(message())
    made = franking.Account(
        name="shop", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="none",
        username="info", allow_plain_login=True,
    )  # fmt: skip
    with pytest.raises(SettingsError):
        send(made)
    assert not file().exists()


def test_a_switched_off_account_does_what_it_should(server: SmtpServer) -> None:
    save(server.port, "off", enabled=False)
    with pytest.raises(SettingsError):
        send("off")
    assert not file().exists()


def test_what_cannot_be_written_stops_no_mail(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = Path(os.environ["FRANKING_STATE_DIR"])
    state.parent.mkdir(exist_ok=True)
    state.write_text("a file in its place")
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    with pytest.raises(franking.LoginError):
        send()
    assert "health.json cannot be written" in caplog.text
    wants_log("max_bytes = 1000\n")
    Path(os.environ["FRANKING_CONFIG"]).with_name("sent.jsonl").mkdir()
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    send()
    assert "The send log" in caplog.text


# --- the send log -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("password")
def test_a_line_for_each_message_with_the_domains_alone(server: SmtpServer) -> None:
    wants_log()
    with franking.connect("shop") as mailer:
        receipt = mailer.send(message())
        list(mailer.send_many([message(1)]))
    first, second = log()
    assert first.keys() == {"time", "account", "message_id", "outcome", "code", "ms", "recipients"}
    assert (first["account"], first["outcome"], first["code"]) == ("shop", "accepted", None)
    assert (first["message_id"], first["ms"]) == (receipt.message_id, round(receipt.ms, 1))
    assert first["recipients"] == second["recipients"] == ["example.com", "example.org"]
    assert first["time"].endswith("Z")
    path = Path(os.environ["FRANKING_CONFIG"]).with_name("sent.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(word in path.read_text() for word in ("jana", "tajny", "Faktura", PASSWORD))


def test_what_failed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"jana@Example.COM": "550 5.1.1 no such user", "tajny@example.org": "550 5.1.1 no such user"}
    with SmtpServer(refused=refused) as strict, SmtpServer(faults=[Fault("body", hangs_up, executed=True)]) as dies:
        save(strict.port)
        save(dies.port, "dies")
        save(1, "gone")
        wants_log("recipients = true\n")
        for name in ("shop", "dies", "gone"):
            with pytest.raises(FrankingError):
                send(name)
        with franking.connect("shop") as mailer:
            list(mailer.send_many([message()]))
    assert [(row["account"], row["outcome"], row["code"]) for row in log()] == [
        ("shop", "refused", "recipient.unknown"),
        ("dies", "unknown", "outcome.unknown"),
        ("gone", "failed", "connect.refused"),
        ("shop", "refused", "recipient.unknown"),
    ]
    assert log()[0]["recipients"] == ["jana@Example.COM", "tajny@example.org"]


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("more", "says_so"),
    [
        ("files = 1\n", "files is not a setting of \\[log\\]"),
        ("keep = -1\n", "keep"),
        ("recipients = 'x'\n", "neither"),
    ],
)
def test_a_wrong_log_is_told_before_anything_leaves(server: SmtpServer, more: str, says_so: str) -> None:
    wants_log(more)
    with pytest.raises(SettingsError, match=says_so):
        send()
    assert not server.messages


@pytest.mark.usefixtures("password")
def test_a_wrong_log_holds_the_outbox_and_fails_no_message(server: SmtpServer) -> None:
    wants_log("keep = 'x'\n")
    with franking.connect("shop") as mailer:
        entry = mailer.queue(message())
    summary = franking.Outbox().run(once=True)
    assert (summary.held, franking.Outbox().get(entry.id).state) == ({"shop": "settings.invalid"}, "queued")
    assert not server.messages


@pytest.mark.usefixtures("password")
def test_a_log_without_a_file(server: SmtpServer) -> None:
    with Path(os.environ["FRANKING_CONFIG"]).open("a") as settings:
        settings.write("[log]\nkeep = 3\n")
    with pytest.raises(SettingsError, match=r"log\.file"):
        send()


def test_settings_that_cannot_be_read_are_not_the_log_s_business() -> None:
    with SmtpServer() as server:
        made = franking.Account(
            name="x", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="none"
        )
        with franking.connect(made) as mailer:
            Path(os.environ["FRANKING_CONFIG"]).write_text("no = [")
            mailer.send(message())
        assert len(server.messages) == 1


def test_a_long_log_begins_anew(tmp_path: Path) -> None:
    kept = SendLog(tmp_path / "deep" / "sent.jsonl", max_bytes=1000, keep=2)
    for number in range(60):
        kept.write({"number": number}, ["a@b.cz"])
    names = sorted(path.name for path in kept.path.parent.iterdir() if not path.name.startswith("."))
    assert names == ["sent.jsonl", "sent.jsonl.1", "sent.jsonl.2"]
    for name in names:
        path = kept.path.with_name(name)
        assert path.stat().st_size < 1100 and stat.S_IMODE(path.stat().st_mode) == 0o600
    newest = json.loads(kept.path.read_text().splitlines()[-1])
    assert newest["number"] == 59


def test_none_kept_is_none_left(tmp_path: Path) -> None:
    kept = SendLog(tmp_path / "sent.jsonl", max_bytes=1000, keep=0)
    for number in range(100):
        kept.write({"number": number}, [])
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "home"))] == ["sent.jsonl"]
    assert kept.path.stat().st_size < 1000


def test_many_threads_write_whole_lines_and_lose_none_while_it_begins_anew(tmp_path: Path) -> None:
    kept = SendLog(tmp_path / "sent.jsonl", max_bytes=4000, keep=1000)

    def write(who: int) -> None:
        for number in range(60):
            SendLog(kept.path, max_bytes=4000, keep=1000).write({"who": who, "number": number}, ["a@b.cz"])

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for path in tmp_path.glob("sent.jsonl*") for line in path.read_text().splitlines()]
    assert sorted((row["who"], row["number"]) for row in rows) == [
        (who, number) for who in range(8) for number in range(60)
    ]
