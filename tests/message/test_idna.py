"""Domain names become A-labels as browsers make them, or are refused."""

from __future__ import annotations

import pytest

from franking.message.idna import to_ascii, to_unicode


@pytest.mark.parametrize(
    "domain",
    ["straße.de", "faß.de", "ẞ.de", "ΑΣ.gr", "ας.gr", "bücher.de", "مثال.إختبار", "Ⅷ.cz", "İx.com", "नमस्ते.भारत",
    "ก.ไทย", "Ünï.ÇŽ", "ﬁ.com",
     "a\u00adb.cz",      "क्\u200dष.com", "ẛ̣.cz", "ſ.cz", "ꭰ.cz", "ᏸ.cz", "日本｡jp", "xn--hky-ela4t.cz"],
)  # fmt: skip
def test_idna_agrees_with_the_idna_package(domain: str) -> None:
    idna = pytest.importorskip("idna")
    assert to_ascii(domain) == idna.encode(domain, uts46=True, transitional=False).decode()


@pytest.mark.parametrize(
    "domain",
    ["a\u200db.cz", "\u0301a.cz", "a\u00a0b.cz", "á-.cz", "-á.cz", "áa--b.cz", "\u2024.cz", "á\ue000.cz", "ﹺ.cz"],
)
def test_idna_refuses_what_could_become_something_else(domain: str) -> None:
    with pytest.raises(ValueError, match="the domain"):
        to_ascii(domain)


def test_the_longest_label_and_the_longest_name() -> None:
    assert to_ascii("x" * 63 + ".cz") == "x" * 63 + ".cz"
    with pytest.raises(ValueError, match="longer than 63"):
        to_ascii("x" * 64 + ".cz")
    label = "x" * 62 + "."
    assert len(to_ascii(label * 4 + "y")) == 253
    with pytest.raises(ValueError, match="longer than the 253"):
        to_ascii(label * 4 + "yy")


def test_a_name_keeps_its_letters_where_they_are_wanted() -> None:
    assert to_unicode("HÁČKY.cz") == "háčky.cz"
    assert to_unicode("Novak.CZ") == "Novak.CZ"
    with pytest.raises(ValueError, match="no name may have"):
        to_unicode("á\u2028.cz")
