"""Wrong logins: each waits longer, the tenth ends the connection, for one address and for ten minutes."""

from __future__ import annotations

from franking.relay.logins import WINDOW_SECONDS, Logins


def test_each_wrong_login_waits_longer_and_the_tenth_ends_the_connection() -> None:
    logins = Logins(lambda: 0.0)
    pauses = [logins.failed("10.0.0.7") for _ in range(11)]
    assert [pause for pause, _ in pauses] == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert [closes for _, closes in pauses] == [False] * 9 + [True, True]
    assert logins.failed("10.0.0.8") == (0.0, False)  # nobody else is slowed


def test_a_wrong_login_counts_for_ten_minutes() -> None:
    now = 0.0
    logins = Logins(lambda: now)
    for _ in range(3):
        logins.failed("10.0.0.7")
    now = WINDOW_SECONDS - 1
    assert logins.failed("10.0.0.7") == (2.0, False)
    now = WINDOW_SECONDS
    assert logins.failed("10.0.0.7") == (0.0, False)
