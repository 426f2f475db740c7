"""The public API as a user types it: read by mypy and pyright in strict mode, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import assert_type

import franking
from franking import aio


def compose() -> franking.Message:
    return franking.Message(
        to=["Jana <jana@example.cz>", franking.Address.parse("Petr <petr@example.cz>")],
        cc="eva@example.cz",
        bcc=[],
        reply_to=None,
        subject="Faktura 2026/114",
        text="Dobrý den …",
        html="<p>…</p>",
        attachments=["faktura.pdf", Path("logo.png"), franking.Attachment(data=b"octets", name="logo.png", cid="logo")],
        headers={"X-Order": "114"},
    )


def send() -> None:
    account = franking.Account(
        name="shop", provider="smtp", sender="Jan Novák <info@novak.cz>", host="smtp.novak.cz", security="starttls"
    )
    with franking.connect(account, connections=2, window=8, rate=60.0, secret="password", observer=observe) as mailer:
        receipt = mailer.send(compose())
        assert_type(receipt, franking.Receipt)
        assert_type(receipt.accepted, tuple[str, ...])
        mailer.send(EmailMessage(), envelope=franking.Envelope("info@novak.cz", ["jana@example.cz"]))
        mailer.send(b"Subject: ready\r\n\r\n")
        results = mailer.send_many(compose() for _ in range(3))
        assert_type(results, Iterator[franking.SendResult])
        for result in results:
            assert_type(result.index, int)
            if result.error is not None:
                print(result.outcome, result.error.temporary)
    assert_type(franking.connect("shop"), franking.Mailer)
    assert_type(franking.send("shop", compose()), franking.Receipt)


def observe(step: franking.Step) -> None:
    assert_type(step.name, str)
    assert_type(step.ms, float)


def test() -> bool:
    report = franking.send_test("shop", to="me@example.cz")
    assert_type(report, franking.TestReport)
    assert_type(report.diagnosis, franking.Diagnosis | None)
    return report.ok


def recover() -> str | None:
    try:
        franking.send("shop", compose())
    except franking.RecipientsRefused as error:
        return ", ".join(error.refused)
    except franking.Throttled as error:
        return f"again in {error.retry_after} s" if error.retry_after else "later"
    except franking.OutcomeUnknown as error:
        assert_type(error.accepted, list[str])
        return "perhaps sent"
    except franking.LoginRequired as error:
        return error.repair
    except franking.SendError as error:
        assert_type(error.temporary, bool)
        return error.diagnosis.title if error.diagnosis else str(error)
    except (franking.SettingsError, franking.MessageError) as error:
        return error.field
    return None


def misspelt() -> None:
    """What is no option, and what is in another's place: each is an error to both checkers, or its comment is."""
    franking.connect("shop", sercet="x")  # type: ignore[call-arg]
    franking.send("shop", compose(), secrt="x")  # type: ignore[call-arg]
    franking.send(compose(), "shop")  # type: ignore[arg-type]
    franking.send_test("shop", two="me@example.cz")  # type: ignore[call-arg]
    franking.send_test("me@example.cz", to=franking.connect("shop").account)  # type: ignore[arg-type]
    franking.Message(to="jana@example.cz", subjct="x")  # type: ignore[call-arg]
    franking.recommend("smtp.gmail.com", ofline=True)  # type: ignore[call-arg]
    aio.connect("shop", conections=2)  # type: ignore[call-arg]


def recommend() -> str | None:
    found = franking.recommend("smtp.gmail.com")
    assert_type(found, franking.Recommendation)
    return found.provider


async def asynchronously() -> None:
    async with aio.connect("shop", connections=2, window=8, rate=60.0, observer=observe) as mailer:
        assert_type(mailer, aio.AsyncMailer)
        assert_type(await mailer.send(compose()), franking.Receipt)
        async for result in mailer.send_many([compose(), EmailMessage(), b"octets"]):
            assert_type(result, franking.SendResult)
        async for result in mailer.send_many(produced()):
            assert_type(result.receipt, franking.Receipt | None)
    assert_type(await aio.send("shop", compose()), franking.Receipt)
    assert_type(await aio.send_test("shop", "me@example.cz"), franking.TestReport)
    assert_type(aio.result_of(TimeoutError()), franking.SendResult | None)


async def produced() -> AsyncIterator[franking.Message]:
    yield compose()
