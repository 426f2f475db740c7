"""``franking.testing``: a sample test suite as an application would write it, and what it relies on."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest

import franking
from franking.testing.capture import Outbox, capture

# -- a sample: an application and its tests ----------------------------------------------------------------------------


def order(customer: str) -> None:
    """The application: it mails an invoice."""
    message = franking.Message(to=[customer], bcc=["archive@example.com"], subject="Faktura č. 7", text="Dobrý den …",
    attachments=[
        franking.Attachment(data=b"%PDF", name="faktura.pdf"),
    ])  # fmt: skip
    franking.send("shop", message)


def test_the_invoice_is_mailed(franking_outbox: Outbox) -> None:
    order("jana@example.cz")
    (sent,) = franking_outbox
    assert sent.subject == "Faktura č. 7"
    assert sent.envelope.recipients == ("jana@example.cz", "archive@example.com")
    assert sent.message["From"] == "shop@example.com"
    assert "archive" not in sent.bytes.decode()
    assert [part.get_filename() for part in sent.message.iter_attachments()] == ["faktura.pdf"]


def test_the_application_hears_of_a_wrong_address(franking_outbox: Outbox) -> None:
    franking_outbox.refuse("jana@example.cz")
    franking_outbox.refuse("archive@example.com")
    with pytest.raises(franking.RecipientsRefused) as caught:
        order("jana@example.cz")
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.code == "recipient.unknown"
    assert franking_outbox == []


def test_the_application_hears_of_an_unknown_outcome(franking_outbox: Outbox) -> None:
    franking_outbox.fail(franking.OutcomeUnknown("cut off"))
    with pytest.raises(franking.OutcomeUnknown):
        order("jana@example.cz")
    order("jana@example.cz")
    assert len(franking_outbox) == 1


# -- what it relies on -------------------------------------------------------------------------------------------------


def messages(count: int) -> list[franking.Message]:
    return [franking.Message(to=[f"r{number}@example.com"], subject=str(number), text="x") for number in range(count)]


def test_some_recipients_refused(franking_outbox: Outbox) -> None:
    franking_outbox.refuse("b@example.com", "550 5.1.1 unknown")
    receipt = franking.send("shop", franking.Message(to=["a@example.com", "b@example.com"], subject="x", text="x"))
    assert receipt.refused == {"b@example.com": {"reply": "550 5.1.1 unknown", "temporary": False}}
    assert franking_outbox[0].envelope.recipients == ("a@example.com",)


def test_pauses_take_no_time_and_retries_happen(franking_outbox: Outbox) -> None:
    franking_outbox.fail(franking.Throttled("slow down", retry_after=600), to="r1@example.com", times=3)
    with franking.connect("shop", window=4) as mailer:
        results = list(mailer.send_many(messages(5)))
    assert {result.outcome for result in results} == {"accepted"}
    assert sorted(sent.subject for sent in franking_outbox) == ["0", "1", "2", "3", "4"]


def test_a_pace_takes_no_time(franking_outbox: Outbox) -> None:
    with franking.connect("shop", rate=1) as mailer:
        assert len(list(mailer.send_many(messages(30)))) == 30


def test_a_test_send_is_captured(franking_outbox: Outbox) -> None:
    report = franking.send_test("shop", to="me@example.com")
    assert report.ok
    assert franking_outbox[0].subject == "Test message from Franking (shop)"


def test_asyncio_is_captured(franking_outbox: Outbox) -> None:
    from franking import aio

    asyncio.run(aio.send("shop", messages(1)[0]))
    assert len(franking_outbox) == 1


def test_log_mail_is_captured(franking_outbox: Outbox) -> None:
    from franking.loghandler import MailHandler

    handler = MailHandler("shop", to="ops@example.com", gather=0.0)
    logger = logging.getLogger("app-of-the-sample")
    logger.addHandler(handler)
    logger.error("the disk is full")
    logger.removeHandler(handler)
    handler.close()
    assert "the disk is full" in franking_outbox[0].subject


def test_accounts_that_exist_are_themselves_and_urls_are_read(franking_outbox: Outbox) -> None:
    franking.send("smtp://x.example.com?from=info@novak.cz", messages(1)[0])
    assert str(franking_outbox[0].account.sender) == "info@novak.cz"
    with pytest.raises(franking.SettingsError):
        franking.connect("smtp://x.example.com?form=info@novak.cz")


def test_capturing_ends_and_nests() -> None:
    with capture() as outer:
        with capture() as inner:
            franking.send("shop", messages(1)[0])
        franking.send("shop", messages(1)[0])
    assert (len(inner), len(outer)) == (1, 1)
    with pytest.raises(franking.SettingsError):
        franking.connect("shop")


def test_a_message_that_cannot_be_sent_is_still_an_error(franking_outbox: Outbox) -> None:
    with pytest.raises(franking.MessageError):
        franking.send("shop", franking.Message(subject="nobody", text="x"))


@pytest.mark.process
def test_it_serves_without_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "import franking; from franking.testing.capture import capture\n"
        "with capture() as outbox: franking.send('shop', franking.Message(to=['a@example.com'], subject='x', "
        "text='x'))\n"
        "assert len(outbox) == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.process
def test_the_plugin_loads_nothing_of_franking_but_itself() -> None:
    code = "import franking.testing, sys; print(sorted(name for name in sys.modules if name.startswith('franking')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['franking', 'franking.errors', 'franking.testing', 'franking.testing.capture']"


def test_the_suites_are_there() -> None:
    from franking import testing

    names: list[Any] = [testing.ProviderContract, testing.StoreContract]
    assert all(isinstance(suite, type) for suite in names)
    with pytest.raises(AttributeError):
        _ = testing.no_such_thing  # type: ignore[attr-defined]
