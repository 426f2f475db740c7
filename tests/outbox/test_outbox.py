"""The outbox through its public way: put down, looked at, decided upon, delivered by a real session."""

from __future__ import annotations

import contextlib
import email
import gc
import os
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import franking
from franking.errors import SendError
from franking.outbox import decisions
from franking.outbox.database import Database
from franking.outbox.entry import read_diagnosis, write_value
from servers.smtp import Fault, SmtpServer, hangs_up, says


class Clock:
    def __init__(self) -> None:
        self.now = time.time()  # what is put down with another clock is due

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(clock: Clock) -> Iterator[franking.Outbox]:
    made = franking.Outbox(clock=clock)
    yield made
    made.close()


def save(port: int, name: str = "shop", **settings: object) -> None:
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in settings.items()
    ]
    path = Path(os.environ["FRANKING_CONFIG"])
    text = path.read_text() if path.exists() else ""
    path.write_text(
        text
        + f"[accounts.{name}]\nprovider = 'smtp'\nfrom = '{name}@example.cz'\nhost = '127.0.0.1'\n"
        + f"port = {port}\nsecurity = 'none'\ntimeout = 5\n"
        + "\n".join(lines)
        + "\n"
    )


def message(number: int = 0, to: str | list[str] = "jana@example.com") -> franking.Message:
    return franking.Message(to=to, subject=f"Faktura č. {number}", text="Dobrý den")


def test_what_a_mailbox_may_not_send_now_waits_until_it_may(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer() as server:
        save(server.port, per_day=2)
        entries = list(box.put_many("shop", [message(number) for number in range(4)]))
        summary = box.run(once=True)
        assert len(server.messages) == 2
        assert summary.held == {"shop": "limit.per-day"}
        waiting = box.list("queued")
        assert [entry.id for entry in waiting] == [entries[3].id, entries[2].id]
        assert {entry.held for entry in waiting} == {"limit.per-day"}
        assert all(str(entry.next_at)[:10] > entries[0].created_at[:10] for entry in waiting)
        clock.now += 60
        assert box.run(once=True).outcomes == {}
    assert len(server.messages) == 2


def test_what_lies_in_a_file_can_be_taken_apart(box: franking.Outbox) -> None:
    save(1)
    (entry,) = box.put_many("shop", [large(b"x" * 400_000)])
    row = box.database.rows("SELECT * FROM entries")[0]
    content = box.content(row)
    (part,) = content.parts().attachments
    assert (part.name, part.size) == ("x.bin", 400_000)
    box.body_path(row).unlink()
    with pytest.raises(SendError, match="gone"):
        content.parts()
    (small,) = box.put_many("shop", [message()])
    assert box.content(box.database.rows("SELECT * FROM entries WHERE number = 2")[0]).parts().text == "Dobrý den\n"
    assert small.bytes < entry.bytes


def large(data: bytes, **more: str) -> franking.Message:
    return franking.Message(
        to="a@example.com", subject="x", attachments=[franking.Attachment(data=data, name="x.bin")], **more
    )


def message_id(data: bytes) -> str:
    return str(email.message_from_bytes(data)["Message-ID"])


def test_what_is_put_down_goes(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer() as server:
        save(server.port)
        with franking.connect("shop") as mailer:
            entry = mailer.queue(message(7))
        assert server.sessions == []  # nothing is opened to put something down
        assert (entry.state, entry.held, entry.attempts, entry.sender, entry.to) == (
            "queued", None, 0, "shop@example.cz", ("jana@example.com",),
        )  # fmt: skip
        assert entry.subject == "Faktura č. 7"
        assert box.get(entry.id) == entry
        clock.now += 10
        done = box.run(once=True)
    assert done.outcomes == {"accepted": 1}
    after = box.get(entry.id)
    assert (after.state, after.next_at, after.waiting, after.attempts) == ("accepted", None, (), 1)
    assert after.receipt is not None
    assert after.receipt.message_id == entry.message_id == message_id(server.messages[0].data)
    with pytest.raises(franking.SendError, match="gone"):
        list(box.octets(entry.id))


def test_the_directory_and_its_files_are_ones_own(box: franking.Outbox, clock: Clock) -> None:
    save(1)
    mailer = franking.connect("shop")
    big = franking.Message(
        to="a@example.com", subject="x", attachments=[franking.Attachment(data=b"x" * 400_000, name="x")]
    )
    entry = mailer.queue(big)
    place = Path(os.environ["FRANKING_STATE_DIR"]) / "outbox"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    files = [path for path in place.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert (place / "bodies" / f"{entry.id}.eml").stat().st_size == entry.bytes


def test_a_large_message_arrives_as_it_was_composed(box: franking.Outbox, clock: Clock) -> None:
    data = os.urandom(1 << 20)
    with SmtpServer() as server:
        save(server.port)
        entry = franking.connect("shop").queue(large(data, bcc="hidden@example.com"))
        kept = b"".join(box.octets(entry.id))
        assert b"hidden@example.com" in kept
        clock.now += 1
        box.run(once=True)
    received = server.messages[0]
    assert b"hidden" not in received.data
    assert set(received.recipients) == {"a@example.com", "hidden@example.com"}
    parsed = email.message_from_bytes(received.data)
    assert parsed.get_payload()[0].get_payload(decode=True) == data
    assert list((box.directory / "bodies").iterdir()) == []


def test_the_same_key_is_the_same_message(box: franking.Outbox) -> None:
    save(1)
    mailer = franking.connect("shop")
    first = mailer.queue(message(1), key="order-1")
    assert mailer.queue(message(1), key="order-1") == first
    assert box.find("order-1") == first
    assert box.find("order-2") is None
    with pytest.raises(franking.MessageError, match="order-1"):
        mailer.queue(message(2), key="order-1")
    assert box.counts()["queued"] == 1


def test_what_was_put_is_what_is_found(box: franking.Outbox, clock: Clock) -> None:
    """With and without a key, now and later, in the row, beside it and in a file: entry and octets are the same."""
    save(1)
    head = (
        b"From: a@b.cz\r\nTo: c@d.cz, e@f.cz\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@b.cz>\r\n\r\n"
    )
    with franking.connect("shop") as mailer:
        for number, size in enumerate((10, 10_000, 300_000)):
            for key, later in ((None, None), (f"key-{size}", None), (None, clock.now + 60), (f"later-{size}", 5.0)):
                octets = head % number + b"x" * size + b"\r\n"
                put = mailer.queue(octets, key=key, not_before=later)
                assert put == box.get(put.id)
                assert hash(put) == hash(box.get(put.id))
                assert b"".join(box.octets(put.id)) == octets


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Subject: one\r\n\r\nSubject: two\r\n", "one"),
        ("subject : one\r\n two\r\n\r\nx\r\n", "one two"),
        ("Subject: one\r\n two\r\n\r\nx\r\n", "one two"),
        ("Subject: =?utf-8?q?=C4=8D?=\r\n\r\nx\r\n", "\u010d"),
        ("Subject:\r\n\r\nx\r\n", ""),
        ("X-Subject: no\r\n\r\nSubject: two\r\n", ""),
        ("X: no\r\n\r\nx\r\nSubject: two\r\n", ""),
        ("X: no\r\n\r\nx\r\nSubject: two", ""),
    ],
)
def test_the_subject_of_ready_octets_is_the_headers(text: str, subject: str, box: franking.Outbox) -> None:
    save(1)
    head = "From: a@b.cz\r\nTo: c@d.cz\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@b.cz>\r\n"
    (entry,) = box.put_many("shop", [(head + text).encode()])
    assert entry.subject == box.get(entry.id).subject == subject


@pytest.mark.parametrize("key", ["", " x", "a\nb", "x" * 201])
def test_a_key_is_visible_characters(key: str, box: franking.Outbox) -> None:
    save(1)
    with pytest.raises(franking.MessageError, match="key"):
        franking.connect("shop").queue(message(), key=key)


def multipart(text: str = "x") -> EmailMessage:
    made = EmailMessage()
    made["To"], made["Subject"] = "a@example.com", "x"
    made.set_content(text)
    made.add_attachment(b"123", maintype="application", subtype="pdf", filename="x.pdf")
    return made


def test_a_key_compares_what_was_given_and_not_what_composing_adds(box: franking.Outbox, tmp_path: Path) -> None:
    save(1)
    mailer = franking.connect("shop")
    path = tmp_path / "f.txt"
    path.write_text("one")
    attached = franking.Message(to="a@example.com", subject="x", text="x", attachments=[path])
    assert mailer.queue(attached, key="a") == mailer.queue(attached, key="a")
    path.write_text("two")
    with pytest.raises(franking.MessageError):
        mailer.queue(attached, key="a")
    assert mailer.queue(multipart(), key="b") == mailer.queue(multipart(), key="b")
    with pytest.raises(franking.MessageError):
        mailer.queue(multipart("y"), key="b")
    with pytest.raises(franking.MessageError):  # another envelope
        mailer.queue(multipart(), key="b", envelope=franking.Envelope("shop@example.cz", ["b@example.com"]))


def test_what_send_refuses_before_it_connects_queue_refuses(box: franking.Outbox) -> None:
    save(1)
    mailer = franking.connect("shop")
    with pytest.raises(franking.MessageError, match="recipient"):
        mailer.queue(b"Subject: x\r\n\r\nx")
    with pytest.raises(franking.SettingsError, match="franking accounts add"):
        franking.connect("smtp://127.0.0.1:1?from=a@example.cz&security=none").queue(message())
    with pytest.raises(franking.SettingsError, match="secret="):
        franking.connect("shop", secret="x").queue(message())
    assert box.counts() == dict.fromkeys(box.counts(), 0)


def test_an_account_that_cannot_send_is_held_and_its_messages_wait(box: franking.Outbox, clock: Clock) -> None:
    save(1)  # nobody listens there
    mailer = franking.connect("shop")
    entries = [mailer.queue(message(number)) for number in range(3)]
    clock.now += 1
    assert box.run(once=True).held == {"shop": "connect.refused"}
    seen = [box.get(entry.id) for entry in entries]
    assert {entry.state for entry in seen} == {"queued"}
    assert {entry.held for entry in seen} == {"connect.refused"}
    assert sum(entry.attempts for entry in seen) == 1  # one attempt by one message
    clock.now += 47
    assert box.run(once=True).held == {}  # not yet: 60 s ± 20 %
    clock.now += 26
    assert box.run(once=True).held == {"shop": "connect.refused"}
    assert sum(box.get(entry.id).attempts for entry in entries) == 2
    assert max(box.get(entry.id).attempts for entry in entries) == 1  # another one's turn


def test_a_changed_account_is_tried_at_once(box: franking.Outbox, clock: Clock) -> None:
    save(1)
    entry = franking.connect("shop").queue(message())
    clock.now += 1
    box.run(once=True)
    with SmtpServer() as server:
        Path(os.environ["FRANKING_CONFIG"]).unlink()
        save(server.port)
        assert box.run(once=True).outcomes == {"accepted": 1}
    assert box.get(entry.id).held is None


def test_one_account_never_delays_another(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer() as server:
        save(1, "dead")
        save(server.port, "shop")
        franking.connect("dead").queue(message())
        entry = franking.connect("shop").queue(message())
        clock.now += 1
        box.run(once=True)
    assert box.get(entry.id).state == "accepted"


def test_a_message_that_is_refused_for_now_waits_alone(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(refused={"later@example.com": "450 4.2.1 greylisted"}) as server:
        save(server.port)
        mailer = franking.connect("shop")
        later, good = mailer.queue(message(to="later@example.com")), mailer.queue(message())
        clock.now += 1
        done = box.run(once=True)
        assert done.outcomes == {"queued": 1, "accepted": 1}
        entry = box.get(later.id)
        assert (entry.state, entry.held, box.get(good.id).state) == ("queued", None, "accepted")
        assert entry.diagnosis is not None
        clock.now += 40
        assert box.run(once=True).outcomes == {}
        server.refused.clear()
        clock.now += 40
        assert box.run(once=True).outcomes == {"accepted": 1}


def test_recipients_put_off_are_tried_alone_with_the_same_message(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(
        refused={"later@example.com": "450 4.2.1 greylisted", "no@example.com": "550 5.1.1 unknown"}
    ) as server:
        save(server.port)
        entry = franking.connect("shop").queue(message(to=["a@example.com", "later@example.com", "no@example.com"]))
        clock.now += 1
        box.run(once=True)
        seen = box.get(entry.id)
        assert (seen.state, seen.waiting, seen.to) == ("queued", ("later@example.com",), entry.to)
        assert seen.receipt is not None and seen.receipt.accepted == ("a@example.com",)
        server.refused.clear()
        clock.now += 100
        box.run(once=True)
    seen = box.get(entry.id)
    assert seen.state == "accepted"
    assert seen.receipt is not None
    assert seen.receipt.accepted == ("a@example.com", "later@example.com")
    assert list(seen.receipt.refused) == ["no@example.com"]
    assert [received.recipients for received in server.messages] == [["a@example.com"], ["later@example.com"]]
    assert len({message_id(received.data) for received in server.messages}) == 1


def test_what_is_given_up_was_tried_a_last_time(box: franking.Outbox, clock: Clock) -> None:
    save(1)
    entry = franking.connect("shop").queue(message(), give_up=1000)
    for _ in range(30):
        clock.now += 50
        box.run(once=True)
    seen = box.get(entry.id)
    assert seen.state == "failed"
    assert seen.diagnosis is not None and seen.diagnosis.code == "connect.refused"
    assert seen.attempts >= 4


def test_an_unknown_outcome_stays_until_a_person_resolves_it(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(faults=[Fault("body", hangs_up, executed=True, nth=None)]) as server:
        save(server.port)
        mailer = franking.connect("shop")
        entries = [mailer.queue(message(number)) for number in range(3)]
        clock.now += 1
        for _ in range(5):
            box.run(once=True)
            clock.now += 100_000
        assert {box.get(entry.id).state for entry in entries} == {"unknown"}
        assert len(server.messages) == 3  # never sent again
    box.purge(older_than=0)
    sent, resent, dropped = entries
    assert box.resolve(sent.id, "sent").state == "accepted"
    assert box.get(sent.id).receipt is None
    diagnosis = box.get(sent.id).diagnosis
    assert diagnosis is not None and diagnosis.code == "outbox.resolved"
    assert box.resolve(dropped.id, "drop").state == "cancelled"
    assert box.resolve(resent.id, "resend").state == "queued"
    with pytest.raises(franking.SettingsError, match="unknown"):
        box.resolve(sent.id, "drop")
    with SmtpServer() as server:
        Path(os.environ["FRANKING_CONFIG"]).unlink()
        save(server.port)
        box.run(once=True)
        assert message_id(server.messages[0].data) == resent.message_id


def test_retry_cancel_and_purge(box: franking.Outbox, clock: Clock) -> None:
    save(1)
    mailer = franking.connect("shop")
    first, second = mailer.queue(message(1)), mailer.queue(message(2))
    assert box.cancel(first.id).state == "cancelled"
    with pytest.raises(franking.SettingsError):
        box.cancel(first.id)
    assert box.retry(first.id).state == "queued"
    box.cancel(second.id)
    clock.now += 31 * 86400
    assert box.purge() == [second.id]
    with pytest.raises(franking.SettingsError, match="no message"):
        box.get(second.id)
    assert box.get(first.id).state == "queued"


def test_not_before(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer() as server:
        save(server.port)
        moment = datetime.fromtimestamp(clock.now + 864_000, UTC)
        entry = franking.connect("shop").queue(message(), not_before=moment)
        assert box.get(entry.id).next_at == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        clock.now += 860_000
        assert box.run(once=True).outcomes == {}
        clock.now += 5_000
        assert box.run(once=True).outcomes == {"accepted": 1}


def test_put_many_and_pages(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer() as server:
        save(server.port)
        entries = list(box.put_many("shop", ((message(number), f"k{number}") for number in range(1100))))
        assert len({entry.id for entry in entries}) == 1100
        ids = [entry.id for entry in entries]
        assert ids == sorted(ids)
        page = box.list(limit=3)
        assert [entry.id for entry in page] == ids[:-4:-1]
        assert [entry.id for entry in box.list(limit=2, before=page[-1].id, account="shop")] == ids[-4:-6:-1]
        assert box.list(state="failed") == []
        clock.now += 1
        assert box.run(once=True, window=16).outcomes == {"accepted": 1100}
        assert len(server.messages) == 1100
    assert box.counts()["accepted"] == 1100


def test_an_account_has_what_goes_by_its_other_routes_too(box: franking.Outbox) -> None:
    for name in ("shop", "shop2"):
        save(9, name)
    ids = [entry.id for entry in box.put_many("shop", map(message, range(3)))]
    (other,) = [entry.id for entry in box.put_many("shop2", [message(3)])]
    for route, one in (("x", ids[0]), ("y", ids[2])):
        with box.database.transaction() as connection:
            connection.execute(
                "UPDATE entries SET account = ? WHERE number = ?", (f"shop?route={route}", int(one.partition("-")[0]))
            )
    found = box.list(account="shop")
    assert [entry.account for entry in found] == ["shop?route=y", "shop", "shop?route=x"]
    assert [entry.id for entry in box.list(account="shop", limit=1, before=found[0].id)] == [found[1].id]
    assert [entry.id for entry in box.list("queued", "shop")] == [entry.id for entry in found]
    assert [entry.id for entry in box.list(account="shop2")] == [other]
    assert [entry.account for entry in box.list(account="shop?route=x")] == ["shop?route=x"]


def test_a_running_runner_sees_new_mail_within_a_second(box: franking.Outbox, clock: Clock) -> None:
    stop, seen = threading.Event(), threading.Event()
    with SmtpServer() as server:
        save(server.port)
        runner = threading.Thread(target=box.run, args=(stop,), kwargs={"attempted": lambda entry: seen.set()})
        runner.start()
        try:
            franking.connect("shop").queue(message())
            clock.now += 1e6
            assert seen.wait(5)
        finally:
            stop.set()
            runner.join()
    assert len(server.messages) == 1


def test_a_runner_that_is_woken_looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself this one would look once a minute."""
    monkeypatch.setattr("franking.outbox.runner.POLL_SECONDS", 60.0)
    with SmtpServer() as server:
        save(server.port)
        mailer = franking.connect("shop")
        stop, awake, gone = threading.Event(), threading.Event(), threading.Semaphore(0)
        options = {"attempted": lambda entry: gone.release(), "awake": awake}
        runner = threading.Thread(target=franking.Outbox().run, args=(stop,), kwargs=options)
        runner.start()
        for number in range(20):
            mailer.queue(message(number))
            awake.set()
            assert gone.acquire(timeout=10)
        stop.set()
        awake.set()
        runner.join()
    assert len(server.messages) == 20


def test_what_was_withdrawn_is_gone_and_what_may_have_left_is_not(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(
        refused={"no@example.com": "550 5.1.1 nobody"}, faults=[Fault("body", hangs_up, executed=True)]
    ) as server:
        save(server.port)
        mailer = franking.connect("shop")
        unknown = mailer.queue(message())
        clock.now = time.time() + 1
        box.run(once=True)
        assert (box.get(unknown.id).state, decisions.withdraw(box, unknown.id)) == ("unknown", False)
        big = franking.Message(to="no@example.com", text="x" * 70 + "\n" * 300_000)
        refused = mailer.queue(big)
        assert len(list((box.directory / "bodies").iterdir())) == 1
        clock.now += 1
        box.run(once=True)
        assert box.get(refused.id).state == "refused"
        assert decisions.withdraw(box, refused.id)
        assert not decisions.withdraw(box, refused.id)
        assert list((box.directory / "bodies").iterdir()) == []
        waiting = mailer.queue(message())
        assert decisions.withdraw(box, waiting.id)
        assert box.counts()["unknown"] == sum(box.counts().values())


def test_a_throttling_server_is_left_in_peace_for_as_long_as_it_says(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(faults=[Fault("mail", says("451 4.7.1 too many messages, slow down"), connection=1)]) as server:
        save(server.port)
        mailer = franking.connect("shop")
        for number in range(2):
            mailer.queue(message(number))
        clock.now += 1
        assert list(box.run(once=True).held) == ["shop"]
        assert box.run(once=True).outcomes == {}
        clock.now += 100
        assert box.run(once=True).outcomes == {"accepted": 2}


def test_an_interruption_just_behind_the_commit_loses_no_body(
    box: franking.Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there, so its file stays; without the row it goes."""
    save(1)
    real = Database.transaction

    @contextlib.contextmanager
    def interrupted(self: Database) -> Iterator[Any]:
        with real(self) as connection:
            yield connection
        raise KeyboardInterrupt

    mailer = franking.connect("shop")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Database, "transaction", interrupted)
        mailer.queue(large(b"x" * 400_000))
    (entry,) = box.list()
    assert b"".join(box.octets(entry.id))
    monkeypatch.setattr("franking.outbox.rows.place", lambda draft, path: draft.rename(path) and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mailer.queue(large(b"y" * 400_000))
    assert [path.stem for path in (box.directory / "bodies").iterdir()] == [entry.id]


@pytest.mark.process
def test_a_forked_child_has_an_outbox_of_its_own(box: franking.Outbox) -> None:
    """Even if a thread of the parent was in the middle of writing when it forked."""
    save(1)
    mailer = franking.connect("shop")
    mailer.queue(message(1))
    box.counts()
    with box.database.transaction():
        pid = os.fork()
        if not pid:
            try:
                os._exit(0 if box.counts()["queued"] == 1 else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mailer.queue(message(2)).state == "queued"
    assert box.counts()["queued"] == 2


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed in /proc")
@pytest.mark.parametrize("used", [False, True])
def test_a_forked_child_leaves_its_parents_file_open(used: bool) -> None:
    """Whether it had an outbox of its own or none, and lets the mailer go."""
    save(1)
    mailer = franking.connect("shop")
    mailer.queue(message(1))
    path = str(franking.Outbox().database.path)
    (handle,) = [each for each in Path("/proc/self/fd").iterdir() if os.path.realpath(each) == path]
    inode = handle.stat().st_ino
    pid = os.fork()
    if not pid:
        try:
            if used:
                mailer.queue(message(2))
            mailer.close()
            del mailer
            gc.collect()
            os._exit(0 if handle.stat().st_ino == inode else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mailer.queue(message(3)).state == "queued"


def test_one_mail_a_day_tells_of_what_needs_a_person(box: franking.Outbox, clock: Clock) -> None:
    with SmtpServer(refused={"no@example.com": "550 5.1.1 unknown"}) as server:
        save(server.port)
        path = Path(os.environ["FRANKING_CONFIG"])
        path.write_text("[outbox]\nnotify = 'boss@example.com'\n" + path.read_text())
        mailer = franking.connect("shop")
        mailer.queue(message())
        clock.now += 1
        box.run(once=True)
        assert len(server.messages) == 1  # nothing to tell

        def told() -> list[bytes]:
            return [received.data for received in server.messages if received.recipients == ["boss@example.com"]]

        refused = mailer.queue(message(to="no@example.com"))
        for _ in range(3):
            clock.now += 1
            box.run(once=True)
        assert len(told()) == 1
        assert refused.id.encode() in told()[0]
        later = mailer.queue(message(to="no@example.com"))
        box.run(once=True)
        assert len(told()) == 1  # one a day
        for _ in range(3):
            clock.now += 90_000
            box.run(once=True)
        assert len(told()) == 2
        assert later.id.encode() in told()[1] and refused.id.encode() not in told()[1]


def test_what_a_diagnosis_is_filled_with_survives_being_written_down() -> None:
    values = {
        "names": {"b", "a"},
        "more": MappingProxyType({"x": 1}),
        "odd": Path("/x"),
        "words": ("a", "b"),
        "hints": (),
    }
    read = read_diagnosis(write_value(franking.Diagnosis("outcome.unknown", values)))
    assert read is not None
    assert read.values == {"names": ("a", "b"), "more": {"x": 1}, "odd": "/x", "words": ("a", "b")}
    assert read_diagnosis(write_value(None)) is None
