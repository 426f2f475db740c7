"""SPF records as they are written: what is read, what is wrong, and what is written anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from franking.discovery.trust.spf_record import is_spf, joined, parse, with_include, without


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1",
        "v=spf1 -all",
        "V=SPF1 A MX ~ALL",
        "v=spf1 a/24 a//64 a/0//0 mx/32//128 -all",
        "v=spf1 a:firma.cz/24 mx:firma.cz. ip4:192.0.2.0/24 ip4:192.0.2.1 ip6:2001:db8::/32 ?all",
        "v=spf1 +include:_spf.firma.cz ~include:a.cz -include:b.cz ?exists:%{ir}.%{v}._spf.%{d2} ptr ptr:firma.cz",
        "v=spf1 a:%{d1r/}.firma.cz/24 include:%%%_%-.cz",
        "v=spf1 redirect=_spf.firma.cz",
        "v=spf1 exp=explain.%{d} unknown=anything other.name_1-=x ra=postmaster -all",
        "v=spf1   -all  ",
    ],
)
def test_what_is_right(text: str) -> None:
    assert is_spf(text) and not parse(text).problem


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("v=spf1 ip4:192.0.2 -all", "ip4:192.0.2"),
        ("v=spf1 ip4:192.0.2.0/33 -all", "ip4:192.0.2.0/33"),
        ("v=spf1 ip4:192.0.2.0/024 -all", "ip4:192.0.2.0/024"),
        ("v=spf1 ip4:192.0.2.0/255.255.255.0 -all", "ip4:192.0.2.0/255.255.255.0"),
        ("v=spf1 ip4=192.0.2.1 -all", None),  # a modifier that nobody knows
        ("v=spf1 ip4:2001:db8::1", "ip4:2001:db8::1"),
        ("v=spf1 ip6:192.0.2.1", "ip6:192.0.2.1"),
        ("v=spf1 ip6:fe80::1%eth0", "ip6:fe80::1%eth0"),
        ("v=spf1 ip4", "ip4"),
        ("v=spf1 include", "include"),
        ("v=spf1 include:", "include:"),
        ("v=spf1 inlcude:firma.cz", "inlcude:firma.cz"),
        ("v=spf1 a:", "a:"),
        ("v=spf1 a/33", "a/33"),
        ("v=spf1 a//129", "a//129"),
        ("v=spf1 a/24/24", "a/24/24"),
        ("v=spf1 mx/", "mx/"),
        ("v=spf1 ptr/24", "ptr/24"),
        ("v=spf1 ptr:", "ptr:"),
        ("v=spf1 all:firma.cz", "all:firma.cz"),
        ("v=spf1 exists:%{x}", "exists:%{x}"),
        ("v=spf1 exists:%{d0}", "exists:%{d0}"),
        ("v=spf1 exists:%{c}", "exists:%{c}"),
        ("v=spf1 exists:100%", "exists:100%"),
        ("v=spf1 redirect=", "redirect="),
        ("v=spf1 redirect=%{z}", "redirect=%{z}"),
        ("v=spf1 -redirect=firma.cz", "-redirect=firma.cz"),
        ("v=spf1 redirect=a.cz redirect=b.cz", "redirect=b.cz"),
        ("v=spf1 exp=a.cz exp=b.cz", "exp=b.cz"),
        ("v=spf1 -all nonsense", "nonsense"),  # wherever it stands (RFC 7208 §4.6)
        ("v=spf1\t-all", None),  # no record of SPF at all
        ("v=spf1 a\tmx", "a\tmx"),
        ("v=spf1 include:fír.cz", "include:fír.cz"),
        ("v=spf1 -", "-"),
    ],
)
def test_what_is_wrong(text: str, wrong: str | None) -> None:
    if is_spf(text):
        assert parse(text).problem == (wrong or "")


def test_what_is_none() -> None:
    assert [is_spf(text) for text in ("v=spf10 -all", "v=spf1\t-all", " v=spf1", "v=spf2.0/pra", "")] == [False] * 5


def test_what_ends_a_record() -> None:
    assert [parse(f"v=spf1 {text}").end for text in ("a", "a -all", "~all a", "all", "?all", "redirect=x.cz")] == [
        *("", "-", "~", "+", "?", "")
    ]
    assert [term.text for term in parse("v=spf1 a ~all mx -all").terms] == ["a", "~all"]
    assert parse("v=spf1 redirect=x.cz -all").redirect is None
    assert parse("v=spf1 a redirect=x.cz").redirect is not None


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("v=spf1 a mx -all", "v=spf1 a mx include:s.cz -all"),
        ("v=spf1 a", "v=spf1 a include:s.cz"),
        ("v=spf1 redirect=x.cz", "v=spf1 include:s.cz redirect=x.cz"),
        ("v=spf1", "v=spf1 include:s.cz"),
        ("v=spf1  a   ?all exp=e.cz", "v=spf1 a include:s.cz ?all exp=e.cz"),
    ],
)
def test_another_sender_comes_in_before_the_end(text: str, merged: str) -> None:
    assert with_include(text, "s.cz") == merged
    assert not parse(merged).problem


def test_several_become_one() -> None:
    assert joined(["v=spf1 a -all", "v=spf1 mx include:x.cz ~all"]) == "v=spf1 a mx include:x.cz ~all"
    assert joined(["v=spf1 a -all", "v=spf1 A +all"]) == "v=spf1 a -all"
    assert joined(["v=spf1 a ?all", "v=spf1 redirect=x.cz"]) == "v=spf1 a include:x.cz ~all"


def test_what_permits_everybody_is_taken_out() -> None:
    assert without("v=spf1 a +all", ["+all"]) == "v=spf1 a ~all"
    assert without("v=spf1 ip4:0.0.0.0/0 -all", ["ip4:0.0.0.0/0"]) == "v=spf1 -all"
    assert without("v=spf1 a ?all", ()) == "v=spf1 a ~all"
    assert without("v=spf1 a", ()) == "v=spf1 a ~all"
    assert without("v=spf1 redirect=x.cz", ()) == "v=spf1 redirect=x.cz"


WORDS = st.sampled_from(
    [*"aA+-~?:/%{}.=", "all", "ip4:", "ip6:", "::", "include:", "redirect=", "%{d}", " ", "é", "\x00"]
)


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map("".join)))
def test_no_text_breaks_it(text: str) -> None:
    for record in (text, f"v=spf1 {text}"):
        parsed = parse(record)
        if not parsed.problem:
            assert not parse(with_include(record, "s.cz")).problem or not is_spf(record)
        joined([record, record])
        without(record, [parsed.problem])


@pytest.mark.parametrize(
    "word", ["a", "%{d}", "/", "{", "}", "include:x ", "%{d1r/}", "ip4:1.2.3.4/", "a:%{", "=", "-all "]
)
def test_a_long_record_is_read_in_time_that_grows_with_it(word: str) -> None:
    """64 KiB is the most that DNS can carry: what looked at it again for each of its characters would not end before
    the test's time is up.
    """
    assert parse("v=spf1 " + word * (65_000 // len(word))).text
