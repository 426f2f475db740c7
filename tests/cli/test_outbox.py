"""``franking outbox`` and ``franking send --queue``: what they print, and the codes that they end with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import Franking
from servers.smtp import Fault, SmtpServer, hangs_up, says

STATES = ["queued", "sending", "accepted", "refused", "failed", "unknown", "cancelled"]


def save(port: int, **more: str) -> None:
    lines = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        "[accounts.shop]\nprovider = 'smtp'\nfrom = 'info@novak.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
        f"port = {port}\n{lines}"
    )


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        save(made.port)
        yield made


def queue(franking: Franking, *more: str, to: str = "jana@example.com") -> str:
    ended = franking("send", "shop", "--to", to, "--subject", "Faktura", "--text", "x", "--queue", *more)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.strip()


def state(franking: Franking, one: str) -> Any:
    return franking("outbox", "show", one, "--json").json


def test_put_down_list_deliver(franking: Franking, server: SmtpServer) -> None:
    one = queue(franking, "--key", "order-1")
    assert queue(franking, "--key", "order-1") == one
    (entry,) = franking("outbox", "list", "--json").json
    assert list(entry) == [
        "id", "key", "account", "state", "held", "sender", "to", "waiting", "subject", "message_id", "bytes",
        "attempts", "created_at", "next_at", "expires_at", "receipt", "diagnosis",
    ]  # fmt: skip
    assert (entry["id"], entry["key"], entry["state"], entry["to"]) == (one, "order-1", "queued", ["jana@example.com"])
    listed = franking("outbox", "list").out
    assert one in listed and "Faktura" in listed
    assert franking("outbox", "list", "--counts", "--json").json == {**dict.fromkeys(STATES, 0), "queued": 1}
    eml = franking("outbox", "show", one, "--eml")
    assert b"Subject: Faktura\r\n" in eml.data
    ran = franking("outbox", "run", "--once", "--json")
    assert ran.code == 0
    assert ran.json["state"] == "accepted"
    assert ran.json["receipt"]["accepted"] == ["jana@example.com"]
    gone = franking("outbox", "show", one, "--eml")
    assert gone.code == 1 and "gone" in gone.err
    assert franking("outbox", "run", "--once").code == 0  # nothing due


def test_queue_with_json_prints_the_entry(franking: Franking, server: SmtpServer) -> None:
    ended = franking("send", "shop", "--to", "a@example.com", "--text", "x", "--queue", "--not-before", "+2h", "--json")
    assert ended.code == 0
    assert (ended.json["state"], ended.json["account"]) == ("queued", "shop")
    assert ended.json["next_at"] > ended.json["created_at"]


@pytest.mark.parametrize("wrong", ["2030-01-01T10:00:00", "tomorrow", "+5", "+5y"])
def test_a_time_without_zone_or_sense_is_wrong_usage(wrong: str, franking: Franking, server: SmtpServer) -> None:
    ended = franking("send", "shop", "--to", "a@example.com", "--text", "x", "--queue", "--not-before", wrong)
    assert ended.code == 2
    assert "--not-before" in ended.err


def test_the_key_and_the_time_go_with_queue(franking: Franking, server: SmtpServer) -> None:
    assert franking("send", "shop", "--to", "a@example.com", "--text", "x", "--key", "k").code == 2
    assert server.messages == []


def test_another_message_under_the_same_key_is_an_error(franking: Franking, server: SmtpServer) -> None:
    queue(franking, "--key", "k")
    ended = franking("send", "shop", "--to", "b@example.com", "--text", "x", "--queue", "--key", "k", "--json")
    assert ended.code == 2
    assert "k" in ended.json["diagnosis"]["cause"] + ended.err


@pytest.mark.parametrize(
    ("reply", "code", "became"),
    [("550 5.1.1 unknown", 1, "refused"), ("450 4.2.1 later", 5, "queued"), (None, 3, "unknown")],
)
def test_the_code_of_a_run_says_what_became_of_it(
    reply: str | None, code: int, became: str, franking: Franking
) -> None:
    faults = [Fault("rcpt", says(reply))] if reply else [Fault("body", hangs_up, executed=True)]
    with SmtpServer(faults=faults) as server:
        save(server.port)
        one = queue(franking)
        ended = franking("outbox", "run", "--once")
    assert ended.code == code
    assert state(franking, one)["state"] == became


def test_an_account_that_needs_a_sign_in_holds_its_mail(franking: Franking) -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        "[accounts.shop]\nprovider = 'outlook'\nfrom = 'info@novak.cz'\nclient_id = '1'\n"
    )
    one = queue(franking)
    ended = franking("outbox", "run", "--once")
    assert ended.code == 4
    assert "The account shop waits: Somebody has to sign in first. Look: franking login shop" in " ".join(
        ended.err.split()
    )
    assert state(franking, one)["held"] == "login.required"


def test_a_dead_server_holds_the_account(franking: Franking) -> None:
    save(1)
    one = queue(franking)
    assert franking("outbox", "run", "--once").code == 5
    assert (state(franking, one)["state"], state(franking, one)["held"]) == ("queued", "connect.refused")
    listed = franking("outbox", "list").out
    assert "held (connect.refused)" in listed
    assert re.search(r"  (\d{4}-\d\d-\d\d )?\d\d:\d\d  +shop", listed)
    shown = " ".join(franking("outbox", "show", one).err.split())
    assert "The account shop cannot send now: Nothing listens on this port. It is tried again at" in shown
    assert "The last attempt of this message:" in shown


def test_a_disabled_account_queues_and_is_held(franking: Franking, server: SmtpServer) -> None:
    franking("accounts", "disable", "shop")
    one = queue(franking)
    assert franking("outbox", "run", "--once").code == 5
    assert state(franking, one)["held"]
    franking("accounts", "enable", "shop")
    assert franking("outbox", "run", "--once").code == 0


def test_decisions(franking: Franking, server: SmtpServer) -> None:
    first, second = queue(franking), queue(franking, to="b@example.com")
    assert franking("outbox", "cancel", first, "--json").json == {"ids": [first], "errors": {}}
    again = franking("outbox", "cancel", first, second, "000000009999-00000000", "--json")
    assert again.code == 1
    assert again.json["ids"] == [second]
    assert set(again.json["errors"]) == {first, "000000009999-00000000"}
    assert franking("outbox", "cancel", "nonsense").code == 2
    assert franking("outbox", "retry", "--state", "cancelled", "--json").json["ids"] == [second, first]
    assert franking("outbox", "run", "--once").code == 0
    assert len(server.messages) == 2
    assert franking("outbox", "purge").code == 0
    purged = franking("outbox", "purge", "--older-than", "0s", "--json")
    assert sorted(purged.json["ids"]) == [first, second]


def test_resolving_asks_before_it_sends_again(franking: Franking) -> None:
    with SmtpServer(faults=[Fault("body", hangs_up, executed=True)]) as server:
        save(server.port)
        one = queue(franking)
        franking("outbox", "run", "--once")
    assert franking("outbox", "resolve", one).code == 2
    assert franking("outbox", "resolve", one, "--sent", "--drop").code == 2
    refused = franking("outbox", "resolve", one, "--resend")
    assert refused.code == 2 and "--yes" in refused.err
    assert franking("outbox", "resolve", one, "--resend", "--yes").code == 0
    assert state(franking, one)["state"] == "queued"


def test_resolving_asks_nothing_where_nothing_is_unknown(franking: Franking, server: SmtpServer) -> None:
    one = queue(franking)
    for more in ((), ("--yes",)):
        refused = franking("outbox", "resolve", one, "000000009999-00000000", "--resend", *more)
        assert refused.code == 2
        assert "is queued" in refused.err and "--yes" not in refused.err
    assert state(franking, one)["state"] == "queued"


def test_queue_in_the_account_puts_down_what_send_is_given(franking: Franking, server: SmtpServer) -> None:
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text() + "queue = true\n")
    ended = franking("send", "shop", "--to", "a@example.com", "--text", "x")
    assert ended.code == 0
    assert state(franking, ended.out.strip())["state"] == "queued"
    assert server.messages == []


def test_every_line_of_a_run_is_an_object(franking: Franking, server: SmtpServer) -> None:
    for number in range(3):
        queue(franking, to=f"m{number}@example.com")
    lines = franking("outbox", "run", "--once", "--json").out.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["accepted"] * 3


def test_settings_of_the_outbox(franking: Franking, server: SmtpServer) -> None:
    path = Path(os.environ["FRANKING_CONFIG"])
    plain = path.read_text()
    path.write_text("[outbox]\nkeep_subjects = false\ngive_up = 60\n" + plain)
    entry = state(franking, queue(franking))
    assert entry["subject"] == ""
    path.write_text("[outbox]\nkeep_day = 3\n" + plain)
    ended = franking("send", "shop", "--to", "a@example.com", "--text", "x", "--queue")
    assert ended.code == 2
    assert "keep_days" in ended.err
