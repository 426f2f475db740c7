"""``franking health``: what it prints for whom, and how it ends."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commandline import franking as run
from health.looking import settings
from outbox.test_outbox import save
from servers.smtp import SmtpServer


@pytest.fixture
def shop() -> None:
    save(1)


def test_all_is_well() -> None:
    with SmtpServer() as server:
        save(server.port)
        done = run("health")
        assert (done.code, done.err) == (0, "✓ shop: ok\n")
        done = run("health", "--json")
        assert run("health", "-v").err.count("✓") == 3
    found = json.loads(done.out)
    assert [one["account"] for one in found] == ["shop", None]
    assert set(found[0]) == {"account", "provider", "route", "level", "checked_at", "findings"}
    assert {one["code"] for one in found[0]["findings"]} == {"server.unreachable", "send.failing"}
    assert all(set(one) == {"code", "level", "text", "remedies", "since"} for one in found[0]["findings"])
    assert found[0]["checked_at"].endswith("Z") and found[1]["findings"] == []


@pytest.mark.usefixtures("shop")
def test_a_warning() -> None:
    done = run("health", "shop")
    assert done.code == 5
    assert "! shop: warning" in done.err and "franking check shop" in done.err
    done = run("health", "--language", "cs")
    assert "! shop: varování" in done.err and "teď nedostupný" in done.err


def test_one_that_is_switched_off_is_not_called_well() -> None:
    save(1, enabled=False)
    done = run("health")
    assert (done.code, done.err) == (0, "✓ shop: ok\n    ✓ shop is switched off.\n")


def test_something_critical() -> None:
    settings("[accounts.shop]\nprovider = 'smtp'\nfrom = 'a@b.cz'\nhost = '127.0.0.1'\nhots = 1\n")
    done = run("health", "--json")
    assert done.code == 1
    assert json.loads(done.out)[0]["findings"][0]["code"] == "send.failing"


@pytest.mark.parametrize("arguments", [(), ("nobody",)])
def test_nobody_to_look_at(arguments: tuple[str, ...]) -> None:
    if arguments:
        save(1)
    assert run("health", *arguments).code == 2
    done = run("health", "--nagios", *arguments)
    assert done.code == 3
    assert done.out.startswith("FRANKING UNKNOWN - ") and done.out.count("\n") == 1


def test_one_line_for_nagios() -> None:
    with SmtpServer() as server:
        save(server.port)
        assert (run("health", "--nagios").code, run("health", "--nagios").out) == (
            0,
            "FRANKING OK - 1 accounts can send\n",
        )
    save(1, "other")
    done = run("health", "--nagios")
    assert done.code == 1
    assert done.out.startswith("FRANKING WARNING - other: 127.0.0.1 cannot be reached") and done.out.count("\n") == 1
    settings("[accounts.wrong]\nprovider = 'smtp'\nfrom = 'a|b'\n")
    done = run("health", "--nagios")
    assert (done.code, "|" in done.out) == (2, False)


@pytest.mark.usefixtures("shop")
def test_metrics_into_a_file(tmp_path: Path) -> None:
    done = run("health", "--prometheus")
    assert done.code == 5
    assert list(text_string_to_metric_families(done.out))
    file = tmp_path / "franking.prom"
    file.write_text("old")
    done = run("health", "--prometheus", "--output", str(file))
    assert (done.code, done.out) == (5, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(text_string_to_metric_families(file.read_text()))
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
    done = run("health", "--prometheus", "--output", str(tmp_path / "no" / "x.prom"))
    assert (done.code, "cannot be written" in " ".join(done.err.split())) == (2, True)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "arguments", [("--prometheus", "--nagios"), ("--json", "--nagios"), ("--output", "x"), ("--output", "x", "--json")]
)
def test_what_does_not_go_together(arguments: tuple[str, ...]) -> None:
    assert run("health", *arguments).code == 2


@pytest.mark.usefixtures("shop")
def test_an_alert_that_cannot_be_told_is_critical() -> None:
    settings("[alerts]\nwebhook = 'http://127.0.0.1:1/Canary4'\n")
    assert run("health").code == 5
    done = run("health", "--alert")
    assert (done.code, "Canary4" in done.err + done.out) == (1, False)
    assert run("health").code == 1, "it is still untold"


@pytest.mark.usefixtures("shop")
def test_alerts_that_nobody_is_named_for() -> None:
    done = run("health", "--alert")
    assert (done.code, "nobody is named" in done.err) == (2, True)


@pytest.mark.usefixtures("shop")
def test_its_files_are_for_oneself_alone() -> None:
    run("health")
    state = Path(os.environ["FRANKING_STATE_DIR"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
