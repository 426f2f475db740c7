"""The benchmark command: every sender that is installed really sends, and the page gets what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import grid, grow, report
from benchmarks.__main__ import BUDGETS
from benchmarks.peers import Peer, environment, peers

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[2] / "docs"
HERE = [peer for peer in peers() if peer.version]


# Django 6.1; the comparison is with the classic backend
@pytest.mark.filterwarnings("ignore:Directly creating EmailBackend")
def test_every_installed_sender_sends_plain_and_under_tls() -> None:
    work = [grid.Cell("2 KiB", 0.0, False, 2, 1), grid.Cell("2 KiB", 0.0, True, 2, 1)]
    found = grid.measure(HERE, work)
    assert set(found["2 KiB, 0 ms"]) == {peer.name for peer in HERE}
    assert set(found["2 KiB, 0 ms, TLS"]) == {peer.name for peer in HERE if peer.tls}
    assert all(rate > 0 for row in found.values() for rate in row.values())


def test_growth_is_told_relative_to_the_first_line() -> None:
    lines = grow.table(100, (1, 2), 20).splitlines()
    assert lines[2].startswith("| 100 | 1.00 × |")
    assert lines[-2].startswith("| 1 | 1.00 × |")


def test_a_missed_budget_is_said() -> None:
    wanted = {
        "part": {
            "fast": ("ratio", "≥", 3.0),
            "slow": ("ratio", "≥", 3.0),
            "near": ("round_trips", "≤", 1.1),
            "not measured": ("x", "≤", 1.0),
        }
    }
    text = report.budgets(
        {"part": {"fast": {"ratio": 4.0}, "slow": {"ratio": 2.0}, "near": {"round_trips": 1.0}}}, wanted
    )
    assert [line.rsplit("| ", 1)[1] for line in text.splitlines()[2:]] == ["holds |", "**missed** |", "holds |"]


def test_ratios_are_to_the_standard_library(tmp_path: Path) -> None:
    senders = [
        Peer("franking, send", "1", lambda place: (_ for _ in ()), tls=True),
        Peer("smtplib", "1", lambda place: (_ for _ in ())),
    ]  # type: ignore[arg-type, return-value]
    rates = {"2 KiB, 0 ms": {"franking, send": 50.0, "smtplib": 10.0}, "2 KiB, 0 ms, TLS": {"smtplib": 10.0}}
    assert "| franking, send | 5.00 |" in report.throughput(rates, senders, tls=False)
    assert "franking" not in report.throughput(rates, senders, tls=True)
    pytest.importorskip("matplotlib", reason="the plot is drawn with the benchmarks' own dependencies")
    report.plot(rates, senders, tmp_path / "plot.png", ("2 KiB, 0 ms",))
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "- smtplib 1" in report.versions(senders, environment())


def test_results_go_where_the_page_wants_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((DOCS / "benchmarks.md").read_text())
    for name in ("measured", "grow"):
        report.put(page, name, f"new {name}")
    assert "new measured" in page.read_text()
    assert page.read_text().startswith("# Benchmarks")
    with pytest.raises(ValueError, match="no place"):
        report.put(page, "other", "text")


def test_every_budget_names_a_row_that_is_measured() -> None:
    assert {"throughput", "round trips", "first message", "composing", "file of 25 MB", "start-up"} <= set(BUDGETS)
