"""DKIM keys and DMARC records as they stand in DNS: what is read of them, whatever somebody wrote."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from franking.discovery.trust import dkim, dmarc
from franking.discovery.trust.questions import Answer
from servers.zones import rsa_key

RSA = rsa_key(2048)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (f"v=DKIM1; k=rsa; p={RSA}", "ok"),
        (f"p={RSA}", "ok"),
        (f"k=RSA;p={RSA[:100]} {RSA[100:]};n=note", "ok"),
        (f"v=DKIM1; t=s; p={RSA}", "ok"),
        (f"v=DKIM1; t=s:y; p={RSA}", "testing"),
        (f"v=DKIM1; p={rsa_key(1024)}", "ok"),
        (f"v=DKIM1; p={rsa_key(1016)}", "key-short"),
        ("v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(32)).decode(), "ok"),
        ("v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(31)).decode(), "broken"),
        (f"v=DKIM2; p={RSA}", "broken"),
        (f"v=DKIM1; k=dsa; p={RSA}", "broken"),
        ("v=DKIM1; p=", "revoked"),
        ("v=DKIM1; k=rsa", "broken"),
        (f"v=DKIM1; p={RSA[:-60]}", "broken"),
        ("v=DKIM1; p=ěščř", "broken"),
        ("v=DKIM1; p=MAA=", "broken"),
        ("hello", "missing"),
        ("v=spf1 -all", "missing"),
    ],
)
def test_a_key(text: str, state: str) -> None:
    assert dkim.read_key((text,), "s").state == state


def test_a_bare_rsa_key_is_one_too() -> None:
    whole = base64.b64decode(RSA)
    bare = whole[whole.index(b"\x03\x82") + 5 :]
    key = dkim.read_key((f"v=DKIM1; p={base64.b64encode(bare).decode()}",), "s")
    assert (key.state, key.bits, key.usable) == ("ok", 2048, True)
    other = whole.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010102"))
    assert dkim.read_key((f"p={base64.b64encode(other).decode()}",), "s").state == "broken"


def test_the_best_of_several_keys_is_told_of() -> None:
    texts = ("v=DKIM1; p=", f"v=DKIM1; p={rsa_key(1024)}", "rubbish", f"v=DKIM1; p={RSA}")
    assert dkim.read_key(texts, "s").bits == 2048
    assert dkim.read_key(texts[:1], "s").state == "revoked"
    assert dkim.best([]).state == "missing"


def found(domain: str, **records: str | list[str]) -> dmarc.Dmarc:
    """Find the record that counts; ``records`` are by the domain, with dots as underscores."""
    given = {name.replace("_", "."): [text] if isinstance(text, str) else text for name, text in records.items()}
    answers = {
        name: Answer(tuple(given[name])) if name in given else Answer(problem="none") for name in dmarc.names(domain)
    }
    return dmarc.find(domain, answers)


def test_where_it_is_looked_for() -> None:
    assert dmarc.names("firma.cz") == ("firma.cz", "cz")
    assert dmarc.names("a.b.firma.cz") == ("a.b.firma.cz", "b.firma.cz", "firma.cz", "cz")
    deep = ".".join("abcdefghijkl") + ".firma.cz"
    assert len(dmarc.names(deep)) == 8 and dmarc.names(deep)[1] == "h.i.j.k.l.firma.cz"  # RFC 9989 §4.10


@pytest.mark.parametrize(
    ("domain", "records", "location", "policy"),
    [
        ("firma.cz", {"firma_cz": "v=DMARC1; p=reject"}, "firma.cz", "reject"),
        ("firma.cz", {"firma_cz": "V = DMARC1 ; P = Reject"}, "firma.cz", "reject"),
        ("firma.cz", {"firma_cz": "v=DMARC1"}, "firma.cz", "none"),
        ("m.firma.cz", {"firma_cz": "v=DMARC1; p=reject"}, "firma.cz", "reject"),
        ("m.firma.cz", {"firma_cz": "v=DMARC1; p=reject; sp=none; np=reject"}, "firma.cz", "none"),
        ("m.firma.cz", {"m_firma_cz": "v=DMARC1; p=none", "firma_cz": "v=DMARC1; p=reject"}, "m.firma.cz", "none"),
        ("a.b.firma.cz", {"b_firma_cz": "v=DMARC1; p=none", "firma_cz": "v=DMARC1; p=reject"}, "firma.cz", "reject"),
        ("a.b.firma.cz", {"b_firma_cz": "v=DMARC1; psd=n", "firma_cz": "v=DMARC1; p=reject"}, "b.firma.cz", "none"),
        ("a.firma.cz", {"firma_cz": "v=DMARC1; p=none", "cz": "v=DMARC1; p=reject; psd=y"}, "firma.cz", "none"),
        ("firma.cz", {"cz": "v=DMARC1; p=reject; psd=y"}, "cz", "reject"),
        ("m.firma.cz", {"firma_cz": ["v=DMARC1; p=none", "v=DMARC1"], "cz": "v=DMARC1; p=reject"}, "cz", "reject"),
    ],
)  # fmt: skip
def test_which_record_counts(domain: str, records: dict[str, str | list[str]], location: str, policy: str) -> None:
    counts = found(domain, **records)
    assert (counts.location, counts.policy, counts.problem) == (location, policy, "")


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "missing"),
        (["hello", "v=spf1 -all"], "missing"),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], "multiple"),
        (["v=DMARC1; p=enforce"], "syntax"),
        (["v=DMARC1; p=none; sp=all"], "syntax"),
        ([" v=DMARC1; p=none"], "syntax"),
        (["v=DMARC2; p=none"], "syntax"),
        (["v=DMARC1 p=none"], "syntax"),
        (["v=DMARC1; p=reject", "hello"], ""),
    ],
)
def test_what_is_wrong_with_it(texts: list[str], problem: str) -> None:
    assert found("firma.cz", firma_cz=texts).problem == problem


def test_a_name_that_nobody_answers_for_leaves_it_open() -> None:
    answers = {
        "m.firma.cz": Answer(problem="none"),
        "firma.cz": Answer(problem="timeout"),
        "cz": Answer(problem="none"),
    }
    assert dmarc.find("m.firma.cz", answers).problem == "unanswered"


WORDS = st.sampled_from(
    ["v=DMARC1", "v=DKIM1", "p=", "p=none", "k=rsa", "t=y", ";", "; ", "=", "MIIB", "psd=y", "\x00", "é"]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map("".join))


@given(st.lists(TEXTS, max_size=3), st.binary(max_size=300))
def test_no_text_breaks_them(texts: list[str], octets: bytes) -> None:
    dkim.read_key((*texts, f"v=DKIM1; p={base64.b64encode(octets).decode()}"), "s")
    counts = found("firma.cz", firma_cz=texts or ["x"])
    assert found("firma.cz", firma_cz=dmarc.with_tag(counts.tags or {})).problem in ("", "missing", "syntax")


@pytest.mark.parametrize("word", [";", "=", "p=;", "v=DKIM1;", "A", " ", "t=y:", "v=DMARC1"])
def test_a_long_record_is_read_in_time_that_grows_with_it(word: str) -> None:
    """What looked at it again for each of its characters would not end before the test's time is up."""
    text = word * (65_000 // len(word))
    for record in (text, f"v=DKIM1; p={text}", f"v=DMARC1; p=none; {text}"):
        assert dkim.read_key((record,), "s").state
        assert found("firma.cz", firma_cz=record).problem is not None
