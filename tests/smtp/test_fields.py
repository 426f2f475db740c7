"""The settings of SMTP: what port and security say of each other."""

from __future__ import annotations

import pytest

from franking.errors import SettingsError
from franking.smtp.fields import EXTENSIONS, settle_transport


@pytest.mark.parametrize(
    ("port", "security", "settled"),
    [
        (None, None, (587, "starttls")),
        (465, None, (465, "tls")),
        (587, None, (587, "starttls")),
        (466, None, (466, "starttls")),
        (25, None, (25, "starttls")),
        (None, "none", (25, "none")),
        (None, "tls", (465, "tls")),
        (None, "starttls", (587, "starttls")),
        (465, "starttls", (465, "starttls")),
        (587, "tls", (587, "tls")),
    ],
)
def test_port_and_security_complete_each_other(
    port: int | None, security: str | None, settled: tuple[int, str]
) -> None:
    settings = {"port": port, "security": security, "without": (), "host": "x"}
    found = settle_transport(settings)
    assert (found["port"], found["security"], found["host"]) == (*settled, "x")
    assert settings["port"] == port  # a copy was settled


def test_only_extensions_of_ours_can_be_left_out() -> None:
    kept = {"port": None, "security": None}
    assert settle_transport({**kept, "without": EXTENSIONS})["without"] == EXTENSIONS
    with pytest.raises(SettingsError, match="'vrfy' is not one of chunking, ") as caught:
        settle_transport({**kept, "without": ("size", "vrfy", "expn")})
    assert caught.value.field == "without"
