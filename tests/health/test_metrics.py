"""Prometheus' own parser reads what is written, and it says the right things of the right accounts."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

import franking
from franking.health.look import look
from franking.health.metrics import family, label, metrics
from health.looking import Clock, settings
from outbox.test_outbox import save


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = list(text_string_to_metric_families(text))
    assert all(one.documentation and one.type in ("gauge", "counter") for one in families)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for each in families for one in each.samples}


def test_every_number_is_read(present: Clock) -> None:
    save(1)
    save(1, '"jan@novak.cz"', enabled=False)
    with franking.connect("shop") as mailer:
        mailer.queue(franking.Message(to="tajny@example.com", subject="Faktura", text="x"))
    present.now = time.time()
    health = look(clock=present)
    text = metrics(health)
    found = samples(text)
    assert found["franking_account_level", (("account", "shop"),)] == 1
    hidden = label("jan@novak.cz")
    assert found["franking_account_level", (("account", hidden),)] == 0
    assert found["franking_account_level", (("account", ""),)] == 1
    assert found["franking_finding", (("account", "shop"), ("code", "server.unreachable"), ("level", "warning"))] == 1
    assert found["franking_outbox_messages", (("state", "queued"),)] == 1
    assert found["franking_outbox_messages", (("state", "unknown"),)] == 0
    assert found["franking_outbox_oldest_seconds", ()] >= 0
    assert found["franking_checked_timestamp_seconds", (("account", "shop"),)] == pytest.approx(present.now, abs=0.01)
    assert not any(word in text for word in ("@", "Faktura", "tajny", "novak"))


def test_what_ends_and_no_outbox(present: Clock) -> None:
    settings(
        "[accounts.office]\nprovider = 'outlook'\nfrom = 'a@contoso.com'\nclient_id = 'c'\n"
        "client_secret_expires = '2099-03-01'\n"
    )
    found = samples(metrics(look(clock=present)))
    assert found["franking_expires_timestamp_seconds", (("account", "office"), ("what", "secret"))] == 4076006400
    assert not any(name.startswith("franking_outbox") for name, _ in found)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a{b}", "Účet 1", "a,b=c"])
def test_odd_names_are_read_back(name: str) -> None:
    lines = "\n".join(family("franking_account_level", "words", [({"account": label(name)}, 2)])) + "\n"
    assert samples(lines) == {("franking_account_level", (("account", name),)): 2}
