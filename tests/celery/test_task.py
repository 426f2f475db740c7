"""The task as Celery has it: published, acknowledged, coming back; in this process, with a broker in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded
from kombu.exceptions import OperationalError

import franking
from celery import Celery, signals
from franking.celery import mail_task
from franking.celery.delivery import Deliveries
from franking.celery.task import ALLOWED
from franking.sending.journal import MemoryJournal
from franking.shared.afterwards import afterwards
from servers.celery_workers import working_here
from servers.shop import letter
from servers.smtp import Fault, SmtpServer, says


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.conf.update(
        task_default_queue=f"q{id(made)}",
        worker_hijack_root_logger=False,
        broker_transport_options={"polling_interval": 0.02},  # seconds between two looks, 1 by itself
    )
    yield made
    made.close()


@pytest.fixture
def working(app: Celery) -> Iterator[Any]:
    """A worker in a thread, and its task."""
    send = mail_task(app, journal=MemoryJournal(lease=1.0), pauses=[0.2])
    with working_here(app):
        yield send


def result(published: Any) -> Any:
    """Wait for what the worker says."""
    return published.get(timeout=60, interval=0.02)


def test_a_worker_sends_what_was_published(working: Any, server: SmtpServer) -> None:
    found = result(working.delay("shop", letter("jana@example.com"), key="order-114"))
    assert found == {
        "outcome": "accepted",
        "message_id": "<1@novak.cz>",
        "reply": "250 2.0.0 queued as 1",
        "refused": {},
        "diagnosis": None,
    }
    assert result(working.delay("shop", letter("jana@example.com"), key="order-114")) == found
    assert len(server.messages) == 1


def test_envelope_and_octets_arrive_as_they_were(working: Any, server: SmtpServer) -> None:
    octets = b"To: jana@example.com\r\nSubject: \xbelu\xbbou\xe8k\xfd\r\nMessage-ID: <8@novak.cz>\r\n\r\n\xff\r\n"
    envelope = franking.Envelope("b@novak.cz", ["x@example.com"])
    result(working.delay("shop", memoryview(octets), envelope=envelope))
    received = server.messages[0]
    assert (received.sender, received.recipients) == ("b@novak.cz", ["x@example.com"])
    assert octets.partition(b"\r\n\r\n")[2] in received.data


def test_a_task_that_is_put_off_comes_back(working: Any, server: SmtpServer) -> None:
    server.faults.append(Fault("rcpt", says("450 4.2.0 not now")))
    found = result(working.delay("shop", letter("jana@example.com")))
    assert found["outcome"] == "accepted", found
    assert len(server.messages) == 1


def test_a_called_task_and_an_eager_one_wait_for_nobody(app: Celery, server: SmtpServer) -> None:
    send = mail_task(app, journal=MemoryJournal())
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    for number, call in enumerate((send, lambda *given: send.apply(given).get())):
        found = call("shop", letter("later@example.com", number=number))
        assert (found["outcome"], found["diagnosis"]["temporary"]) == ("failed", True)
        assert call("shop", letter("jana@example.com", number=7 + number))["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("given", "names", "words"),
    [
        (("shop", "To: jana@example.com"), {}, "ready bytes: message.as_bytes"),
        (("shop", franking.Message(to=["jana@example.com"], text="x")), {}, "not Message"),
        ((b"shop", b"x"), {}, "by its name or URL"),
        (("shop", b"x"), {"envelope": ["jana@example.com"]}, "franking.Envelope"),
        (("shop", b"x"), {"envelope": {"sender": "info@novak.cz"}}, "a sender and recipients"),
        (("shop", b"x"), {"key": 114}, "A key is a text that names the message, not int"),
        (("shop", b"x"), {"keys": "order-114"}, "keys"),
        (("shop",), {}, "message"),
    ],
)
def test_a_mistake_is_told_to_who_publishes(app: Celery, given: Any, names: Any, words: str) -> None:
    send = mail_task(app, journal=False)
    with pytest.raises(TypeError, match=words):
        send.delay(*given, **names)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("smtp://info:canary-5512@mail.novak.cz?from=info@novak.cz", "a password does not belong in it"),
        ("smtp://mail.novak.cz", "does not say who sends"),
    ],
)
def test_a_url_with_a_password_is_not_handed_to_the_broker(app: Celery, url: str, words: str) -> None:
    send = mail_task(app, journal=False)
    with pytest.raises(franking.SettingsError, match=words) as found:
        send.delay(url, letter("jana@example.com"))
    assert "canary-5512" not in str(found.value)
    with app.connection_for_read() as connection, connection.SimpleQueue(app.conf.task_default_queue) as queue:
        assert queue.qsize() == 0
    send.delay("smtp://mail.novak.cz?from=info@novak.cz", letter("jana@example.com"))


@pytest.mark.parametrize("journal", [True, "redis://127.0.0.1/0"])
def test_what_is_no_journal_is_found_when_the_task_is_made(app: Celery, journal: Any) -> None:
    with pytest.raises(TypeError, match=r"open_journal\(\)"):
        mail_task(app, journal=journal)


def test_what_a_letter_says_is_in_no_event_and_no_log(app: Celery) -> None:
    send = mail_task(app, journal=False)
    send.delay("shop", letter("jana@example.com", text="our secret"), key="order-114")
    with app.connection_for_read() as connection, connection.SimpleQueue(app.conf.task_default_queue) as queue:
        message = queue.get(timeout=60)
        message.ack()
    shown = message.headers["argsrepr"] + message.headers["kwargsrepr"]
    assert "shop" in shown and "order-114" in shown
    assert "secret" not in shown and "jana" not in shown


class Broken:
    """A run of the task that something breaks into, or whose broker has gone."""

    def __init__(self, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
        self.send, self.countdowns, self.published = app.tasks["franking.send"], list[float](), None
        self.waits: list[dict[str, Any]] = []
        monkeypatch.setattr(type(self.send), "apply_async", self._published)

    def _published(self, *args: Any, **options: Any) -> None:
        if self.published is not None:
            raise self.published
        self.countdowns.append(options["countdown"])
        self.waits.append(args[1]["wait"])

    def run(self, octets: bytes, wait: Any = None) -> Any:
        self.send.push_request(
            id="t1", called_directly=False, args=("shop", octets), kwargs={}, delivery_info={"routing_key": "q"}
        )
        try:
            return self.send.run("shop", octets, wait=wait)
        finally:
            self.send.pop_request()


def test_where_it_cannot_come_back_it_is_not_acknowledged(
    app: Celery, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_task(app, journal=MemoryJournal())
    broken = Broken(app, monkeypatch)
    broken.published = OperationalError("the broker has gone")
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    with pytest.raises(Reject) as found:
        broken.run(letter("later@example.com"))
    assert found.value.requeue is True


def test_a_time_limit_that_strikes_each_time_ends_where_it_is_given_up(
    app: Celery, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_task(app, journal=MemoryJournal(), give_up=1000.0)
    broken = Broken(app, monkeypatch)

    def interrupted(*given: Any) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(Deliveries, "deliver", interrupted)
    for _ in range(2):
        with pytest.raises(Retry):
            broken.run(letter("jana@example.com"), broken.waits[-1] if broken.waits else None)
    first, second = broken.waits
    assert (first["failures"], second["failures"]) == (1, 2)
    assert first["since"] == second["since"]
    assert first["until"] < second["until"]
    found = broken.run(letter("jana@example.com"), {**second, "since": second["since"] - 1001.0})
    assert (found["outcome"], found["diagnosis"]["code"]) == ("failed", "broker.time-limit")


def test_a_time_limit_while_it_is_published_anew_loses_nothing(
    app: Celery, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_task(app, journal=MemoryJournal())
    broken = Broken(app, monkeypatch)
    broken.published = SoftTimeLimitExceeded()
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    with pytest.raises(Reject) as found:
        broken.run(letter("later@example.com"))
    assert found.value.requeue is True


@pytest.mark.parametrize("ends", [signals.worker_process_shutdown, signals.worker_shutdown])
def test_a_worker_that_ends_tells_first_what_became_of_its_last_message(app: Celery, ends: Any) -> None:
    mail_task(app, journal=False)
    told: list[int] = []
    afterwards(app).do(lambda: (time.sleep(0.2), told.append(1)))
    ends.send(sender=app)
    assert told == [1]


@pytest.mark.parametrize(
    ("options", "longest", "most"),
    [
        ({}, None, 60 * 1.2),  # in memory
        ({"visibility_timeout": 5}, None, 2.5),
        ({"visibility_timeout": 3600}, None, 60 * 1.2),
        ({}, 10.0, 5.0),
        ({"visibility_timeout": 3600}, 10.0, 5.0),
    ],
)
def test_no_sleep_is_longer_than_half_of_what_the_broker_allows(
    app: Celery, server: SmtpServer, monkeypatch: pytest.MonkeyPatch, options: Any, longest: Any, most: float
) -> None:
    app.conf.broker_transport_options = options
    mail_task(app, journal=MemoryJournal(), longest_countdown=longest)
    broken = Broken(app, monkeypatch)
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    with pytest.raises(Retry):
        broken.run(letter("later@example.com"))
    assert 0 < broken.countdowns[0] <= most
    assert broken.countdowns[0] > most * 0.6


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0", "amqp://127.0.0.1//"])
def test_what_each_broker_allows(url: str) -> None:
    from franking.celery.task import allowed_by

    with Celery(broker=url, set_as_current=False) as app:
        assert allowed_by(app) == ALLOWED[url.partition(":")[0]]


@pytest.mark.parametrize("when", ["before", "after"])
def test_rabbitmq_says_that_it_has_what_is_published(when: str) -> None:
    with Celery(broker="amqp://127.0.0.1//", set_as_current=False) as app:
        if when == "before":
            assert app.conf.broker_url
        mail_task(app, journal=False)
        assert app.conf.broker_transport_options["confirm_publish"] is True


def test_the_task_survives_its_worker(app: Celery) -> None:
    send = mail_task(app, name="shop.mail", journal=False, rate_limit="10/s")
    assert send.name == "shop.mail" and send.rate_limit == "10/s"
    assert send.acks_late and send.reject_on_worker_lost and send.max_retries is None
    assert not send.acks_on_failure_or_timeout


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"acks_late": False}, "acks_late"),
        ({"max_retries": 3}, "max_retries"),
        ({"pauses": [0]}, "pauses"),
        ({"pauses": []}, "pauses"),
        ({"give_up": -1}, "give_up"),
        ({"pauses": 5}, "pauses"),
        ({"give_up": "soon"}, "give_up"),
        ({"longest_countdown": 0}, "longest_countdown"),
        ({"journal_lease": 0}, "journal_lease"),
        ({"journal_lease": float("nan")}, "journal_lease"),
        ({"journal": None}, "journal"),
    ],
)
def test_what_cannot_be_meant_is_said_when_the_task_is_made(app: Celery, options: Any, field: str) -> None:
    with pytest.raises(franking.SettingsError) as found:
        mail_task(app, **{"journal": False, **options})
    assert found.value.field == field
    assert found.value.diagnosis is not None and found.value.diagnosis.remedies


def test_the_package_has_the_task_and_nothing_else() -> None:
    with pytest.raises(AttributeError, match="mail_tusk"):
        franking.celery.mail_tusk  # type: ignore[attr-defined]  # noqa: B018
