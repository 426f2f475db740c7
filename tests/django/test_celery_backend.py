"""Django's mail as tasks of Celery: what is published, and what a worker makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.mail import EmailMessage, send_mail
from django.test.utils import override_settings
from kombu.exceptions import OperationalError

import franking
from celery import Celery
from franking.celery import mail_task
from franking.django import CeleryBackend
from franking.sending.journal import MemoryJournal
from franking.sending.mailers import KEPT
from servers.celery_workers import working_here
from servers.django_mail import MAILERS, connection, letter
from servers.ports import closed_port
from servers.shop import write_account
from servers.smtp import SmtpServer

BACKEND = "franking.django.CeleryBackend"


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", backend="cache+memory://")
    made.conf.update(
        task_default_queue=f"d{id(made)}",
        worker_hijack_root_logger=False,
        broker_transport_options={"polling_interval": 0.02},
    )
    made.set_current()
    yield made
    made.close()


@pytest.fixture
def shop() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        write_account(made.port)
        yield made
        KEPT.close()


@contextmanager
def using(account: Any, **options: Any) -> Iterator[None]:
    """Set Django up to publish mail for an account."""
    chosen: dict[str, Any] = {"EMAIL_BACKEND": BACKEND, "FRANKING_ACCOUNT": account}
    if MAILERS:
        chosen = {"MAILERS": {"default": {"BACKEND": BACKEND, "OPTIONS": {"account": account, **options}}}}
    with override_settings(**chosen, DEFAULT_FROM_EMAIL="info@novak.cz"):
        yield


@pytest.fixture
def use() -> Iterator[None]:
    with using("shop"):
        yield


def published(app: Celery) -> list[Any]:
    found = []
    with app.connection_for_read() as connection, connection.SimpleQueue(app.conf.task_default_queue) as queue:
        while queue.qsize():
            message = queue.get(timeout=60)
            message.ack()
            found.append((message.headers["task"], message.payload))
    return found


def test_a_worker_sends_what_django_wrote(app: Celery, shop: SmtpServer, use: None) -> None:
    mail_task(app, journal=MemoryJournal())
    with working_here(app):
        message = EmailMessage("Order", "Žluťoučký", to=["jana@example.com"], bcc=["hidden@example.com"])
        assert message.send() == 1
        _wait(shop)
    received = shop.messages[0]
    assert received.recipients == ["jana@example.com", "hidden@example.com"]
    assert b"hidden@example.com" not in received.data


def _wait(shop: SmtpServer) -> None:
    until = time.monotonic() + 60
    while not shop.messages:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_nothing_is_opened_and_the_task_is_found_by_name(app: Celery, use: None) -> None:
    write_account(closed_port())
    with override_settings(FRANKING_CELERY_TASK="mail.later"):
        assert send_mail("Order", "Hello", None, ["jana@example.com"]) == 1
        with connection() as mailer:
            messages = [EmailMessage("Order", "Hello", to=[f"{name}@example.com"]) for name in ("a", "b")]
            assert mailer.send_messages(messages) == 2
    found = published(app)
    assert [name for name, _ in found] == ["mail.later"] * 3
    places, names, _ = found[0][1]
    assert places[0] == "shop"
    assert names["envelope"] == {"sender": "info@novak.cz", "recipients": ["jana@example.com"]}
    assert b"Message-ID:" in _octets(places[1])  # the key of the journal


def _octets(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def test_a_process_that_publishes_only_shows_nothing_of_a_letter(app: Celery, use: None) -> None:
    write_account(closed_port())
    assert send_mail("Order", "our secret", None, ["jana@example.com"]) == 1
    with app.connection_for_read() as broker, broker.SimpleQueue(app.conf.task_default_queue) as queue:
        message = queue.get(timeout=60)
        message.ack()
    shown = message.headers["argsrepr"] + message.headers["kwargsrepr"]
    assert "shop" in shown
    assert "secret" not in shown and "jana" not in shown


def test_a_broker_that_is_away(app: Celery, use: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_account(closed_port())

    def away(*given: Any, **more: Any) -> None:
        raise OperationalError("[Errno 111] Connection refused")

    monkeypatch.setattr(app, "send_task", away)
    with pytest.raises(franking.SendError) as found:
        send_mail("Order", "Hello", None, ["jana@example.com"])
    assert found.value.temporary and not found.value.possibly_sent
    assert found.value.diagnosis is not None and found.value.diagnosis.code == "broker.away"
    silent = connection(fail_silently=True) if not MAILERS else CeleryBackend(account="shop", fail_silently=True)
    assert silent.send_messages([letter()]) == 0


def test_a_wrong_message_is_told_at_once(app: Celery, use: None) -> None:
    write_account(closed_port())
    with pytest.raises(franking.MessageError):
        send_mail("Order", "Hello", None, ["jana@@example.com"])
    assert published(app) == []


def test_no_password_of_django_s_settings_travels(app: Celery) -> None:
    account = {"host": "127.0.0.1", "port": closed_port(), "username": "jan", "password": "canary", "security": "none"}
    with (
        using(account),
        pytest.raises(franking.SettingsError, match="franking accounts add") as found,
    ):
        send_mail("Order", "Hello", None, ["jana@example.com"])
    assert "canary" not in str(found.value)
    assert published(app) == []
