"""Killed at any moment, an outbox has lost nothing and doubled nothing, and is usable without repair: over SMTP to the
scripted server, over Gmail and over Graph. ``tests/real/test_outbox_kills.py`` has Postfix behind faults.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import franking
from franking.account.editing import save as save_account
from outbox.killing import Kills, kills
from outbox.test_outbox import message_id, save
from servers.services import SERVICES, Service
from servers.smtp import SmtpServer
from servers.web import CUT, Reply, Request

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("window", [1, 16])
@pytest.mark.parametrize("runners", [1, 4])
def test_smtp(runners: int, window: int) -> None:
    with SmtpServer() as server:
        save(server.port)
        killed = Kills.run(kills(50), runners, window=window)
        box = killed.finish()
    arrived = Counter(message_id(received.data) for received in server.messages)
    killed.judge(box, lambda entry: arrived.pop(entry.message_id, 0), 0)
    assert not arrived  # nothing went that is not there


def unreliable(service: Service, chance: random.Random) -> Callable[[], int]:
    """Let one in five of the requests that carry a message end otherwise; return what counts them."""
    answer, faults = service.api.answer, 0
    too_much = Reply(503, {"error": {"code": 503, "message": "slow down"}}, {"Retry-After": "1"})

    def unsure(request: Request) -> Reply:
        nonlocal faults
        carries = f"{request.method} {request.path}" == service.send or request.method == "PUT"
        if not carries or chance.random() > 0.2:
            return answer(request)
        faults += 1
        match chance.randrange(4):
            case 0:  # it has arrived, and nobody hears of it
                answer(request)
                return CUT
            case 1:
                request.read()
                return CUT
            case 2:
                request.read()
                return too_much
            case _:
                request.read()
                return Reply(500, {"error": {"code": 500, "message": "Internal error"}})

    service.api.answer = unsure

    def over() -> int:
        service.api.answer = answer
        return faults

    return over


@pytest.mark.parametrize("window", [1, 16])
@pytest.mark.parametrize("runners", [1, 4])
@pytest.mark.parametrize("name", SERVICES)
def test_an_api(name: str, runners: int, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SERVICES[name](tmp_path) as service:
        monkeypatch.setenv("FRANKING_STATE_DIR", str(service.store.directory))
        unlimited = dict.fromkeys(("per_minute", "per_day", "recipients_per_day", "max_connections"), 0)
        save_account(service.account.replace(**unlimited))
        # Microsoft's refresh tokens are good once: who is killed between its answer and the disk has to sign in again
        with franking.connect("shop") as mailer:
            mailer.check()
        over = unreliable(service, random.Random(7))
        killed = Kills.run(kills(20), runners, window=window)
        killed.window = 1  # whatever is taken together leaves one by one
        faults = over()
        box = killed.finish()
        arrived = Counter(service.subjects())
        killed.judge(box, lambda entry: arrived.pop(entry.subject, 0), faults)
        assert not arrived
