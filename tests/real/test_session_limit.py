"""OpenSMTPD takes a hundred messages in a session and then says ``452 4.5.3`` to MAIL, without closing: whoever sends
more goes on in further sessions.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

import franking
from franking_cli import app
from servers.delay import Delay
from servers.opensmtpd import OpenSMTPD

LIMIT = 100


def account(port: int) -> franking.Account:
    return franking.Account(
        name="real", provider="smtp", sender="info@example.cz", host="127.0.0.1", port=port, security="none"
    )


def message(run: str, number: int) -> franking.Message:
    return franking.Message(to="jana@example.com", subject=f"{run}-{number:04}", text="x")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("window", [1, 16])
def test_a_thousand_messages(opensmtpd: OpenSMTPD, window: int) -> None:
    run = uuid.uuid4().hex[:8]
    with Delay(opensmtpd.port) as proxy:
        with franking.connect(account(proxy.port), window=window) as mailer:
            results = list(mailer.send_many(message(run, number) for number in range(1000)))
        assert proxy.connections >= 10
    assert len(results) == 1000
    assert {result.outcome for result in results} == {"accepted"}
    names = [result.receipt.message_id for result in results if result.receipt]
    opensmtpd.inbox.find_all(names)
    assert {opensmtpd.inbox.copies(name) for name in names} == {1}


@pytest.mark.timeout(300)
def test_a_mailer_that_lives_long(opensmtpd: OpenSMTPD) -> None:
    run = uuid.uuid4().hex[:8]
    with Delay(opensmtpd.port) as proxy, franking.connect(account(proxy.port)) as mailer:
        for number in range(LIMIT + 5):
            assert mailer.send(message(run, number)).accepted
        assert proxy.connections == 2


@pytest.mark.timeout(300)
def test_a_file_of_letters(opensmtpd: OpenSMTPD, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = uuid.uuid4().hex[:8]
    path = tmp_path / "letters.jsonl"
    lines = [{"to": "jana@example.com", "subject": f"{run}-{number:04}", "text": "x"} for number in range(250)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = app.run(["send-many", f"smtp://127.0.0.1:{opensmtpd.port}?security=none&from=info@example.cz", str(path)])
    results = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (code, len(results), {result["outcome"] for result in results}) == (0, 250, {"accepted"})
