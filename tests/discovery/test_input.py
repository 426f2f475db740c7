"""What was typed where a server or an address is asked for becomes one target, or is marked as odd."""

from __future__ import annotations

import pytest

from franking.discovery.input import LONGEST, Target, host_name, parse_target
from franking.errors import SettingsError


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("smtp.novak.cz", Target("smtp.novak.cz", "smtp.novak.cz")),
        (" SMTP.Novak.cz. ", Target("smtp.novak.cz", "SMTP.Novak.cz".lower())),
        ("smtp.novak.cz:587", Target("smtp.novak.cz", "smtp.novak.cz", port=587, explicit=True)),
        ("smtps://me:pw@smtp.novak.cz:465/x?y#z", Target("smtp.novak.cz", "smtp.novak.cz", port=465, explicit=True)),
        ("[smtp.novak.cz]:25", Target("smtp.novak.cz", "smtp.novak.cz", port=25, explicit=True)),
        ("Jan <jan@Háčky.cz>", Target("xn--hky-ela4t.cz", "háčky.cz", local="jan")),
        ("mailto:jan@novak.cz?subject=x", Target("novak.cz", "novak.cz", local="jan")),
        ('"jan novak"@novak.cz', Target("novak.cz", "novak.cz", local='"jan novak"')),
        ("@novak.cz", Target("novak.cz", "novak.cz")),
        ("192.0.2.1:25", Target(shown="192.0.2.1", ip=True, explicit=True, port=25)),
        ("[2001:db8::1]:465", Target(shown="2001:db8::1", ip=True, explicit=True, port=465)),
        ("2001:db8::1", Target(shown="2001:db8::1", ip=True, explicit=True)),
        ("0x7f.1", Target(shown="0x7f.1", ip=True, explicit=True)),
    ],
)
def test_the_target_that_is_meant(typed: str, target: Target) -> None:
    assert parse_target(typed) == target


@pytest.mark.parametrize(
    "typed",
    [
        "a\\b.cz",
        "smtp.novak.cz:0",
        "smtp.novak.cz:65536",
        "smtp.novak.cz:",
        "smtp.novak.cz:२५",
        "[smtp.novak.cz",
        "[smtp.novak.cz]25",
        "a@b@novak.cz",
        "a b@novak.cz",
        "smtp․novak․cz",
        "smtp.nov\u202eak.cz",
        "smtp.nov\rak.cz",
        "smtp_.novak.cz",
    ],
)
def test_what_cannot_be_read_for_certain_is_odd(typed: str) -> None:
    odd = "" if typed == "smtp.novak.cz:" else "characters"  # a colon without a port is a slip of the pen
    assert parse_target(typed).odd == odd


def test_the_highest_port_is_one_and_the_longest_text_is_read() -> None:
    assert parse_target("smtp.novak.cz:65535").port == 65535
    assert parse_target("smtp.novak.cz:1").port == 1
    assert parse_target("x" * LONGEST).odd == "characters", "a name, though one that DNS does not allow"
    assert parse_target("x" * (LONGEST + 1)).odd == "too-long"


def test_nothing_but_blanks_is_an_error() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_target(" \u200b\t")
    assert caught.value.field == "host"


def test_a_host_name_is_told_in_both_forms() -> None:
    assert host_name("HÁČKY.cz.") == ("xn--hky-ela4t.cz", "háčky.cz")
    assert host_name("a_b.cz") is None
    assert host_name("-a.cz") is None
