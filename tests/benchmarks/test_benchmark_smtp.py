"""The benchmark of SMTP runs and counts right; its times are nobody's business here, its counts are."""

from __future__ import annotations

import pytest

from benchmarks import smtp

pytestmark = pytest.mark.slow


def test_the_benchmark_runs() -> None:
    found = smtp.throughput(messages=2, rounds=1) | smtp.large_file(100_000, 1) | smtp.round_trips(2, 0.002)
    assert all(value >= 0 for row in found.values() for value in row.values())
    assert {"PIPELINING, send", "CHUNKING, send_many, window 16", "time"} <= set(found)


def test_round_trips_per_message_keep_the_budget() -> None:
    """Counted on the wire too: 4 for the standard library, 1 for us, and a few for a whole window."""
    found = smtp.round_trips(32, 0.05)
    for name in ("PIPELINING, send_many", "CHUNKING, send", "CHUNKING, send_many"):
        assert found[name]["round_trips"] <= 1.1, name
        assert found[name]["stdlib_round_trips"] == 4
    assert found["CHUNKING, send_many, window 16"]["round_trips"] <= 0.15
    assert found["PIPELINING, send_many, window 16, generator"]["round_trips"] <= 1.1


def test_round_trips_to_the_first_message_keep_the_budget() -> None:
    """Counted on the wire, so that a test may hold the budget: 8 with STARTTLS and 6 with TLS at best, one more for
    each thing missing.
    """
    found = smtp.first_message(0.05, ["STARTTLS", "TLS", "TLS, PIPELINING alone", "STARTTLS, long token"])
    for name, row in found.items():
        budget = (8 if name.startswith("STARTTLS") else 6) + ("," in name)
        assert row["round_trips"] <= budget, name
        assert row["round_trips"] <= row["stdlib_round_trips"] - 2, name
    assert found["STARTTLS"]["stdlib_round_trips"] == 11
    assert found["TLS"]["stdlib_round_trips"] == 9
