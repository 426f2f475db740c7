"""Between a server's refusal and the reply to the relay's client: the client hangs up, or somebody was quicker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

import franking
from relay.conftest import MESSAGE, Watched, said, save
from servers.smtp import Fault, Peer, SmtpServer, says, wait_until

Start = Callable[..., Watched]


def test_what_a_client_that_hung_up_cannot_hear_of_stays_in_the_outbox(relay: Start) -> None:
    go_on = threading.Event()

    def refuses_later(peer: Peer, reply: str) -> None:
        go_on.wait(20)
        says("554 5.7.1 spam")(peer, reply)

    with SmtpServer(faults=[Fault("body", refuses_later)]) as server:
        save(server.port, final_timeout=30)
        box = relay("shop", wait=60)
        with socket.create_connection(box.address) as hasty:
            hasty.sendall(b"EHLO x\r\nMAIL FROM:<shop@example.cz>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
            hasty.sendall(MESSAGE + b".\r\n")
            wait_until(lambda: sum(franking.Outbox().counts().values()) == 1)
        wait_until(lambda: all(client._gone for client in box.relay._server.connections))  # type: ignore[union-attr]
        go_on.set()
        wait_until(lambda: box.told("message"))
    assert franking.Outbox().counts()["failed"] == 1
    assert [told["outcome"] for told in box.told("message")] == ["queued"]


def test_a_message_that_somebody_took_out_meanwhile_is_not_refused(
    relay: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmtpServer(faults=[Fault("body", says("554 5.7.1 spam"))]) as server:
        save(server.port)
        box = relay("shop")
        intake = box.relay._acceptance.intake  # type: ignore[union-attr]
        withdraw = intake.withdraw

        def late(number: str) -> bool:
            return withdraw(number) and withdraw(number)  # the first is the other's

        monkeypatch.setattr(intake, "withdraw", late)
        with box.client() as client:
            assert said(client, "shop@example.cz", "b@example.com", MESSAGE).startswith("250 2.0.0 queued as ")
    assert sum(franking.Outbox().counts().values()) == 0
