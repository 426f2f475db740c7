"""A string that merely contains a provider's name is not that provider: generated look-alikes, and inputs that mean
nothing at all.
"""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import franking
from franking.errors import SettingsError
from franking.registry import providers
from franking.smtp import services as known

NAMES = sorted(
    {
        name.lstrip(".")
        for provider in providers()
        for name in (
            *provider.facts.hosts,
            *provider.facts.mail_domains,
            *provider.facts.mx_suffixes,
            *provider.facts.wrong_hosts,
        )
    }
    | {
        name
        for service in known.table().services
        for name in (*(server.host for server in service.servers), *service.domains)
    }
)
ENTRIES = {
    name
    for provider in providers()
    for facts in [provider.facts]
    for name in (*facts.hosts, *facts.mail_domains, *facts.wrong_hosts, *facts.foreign)
} | {name for table in (known.table().hosts, known.table().domains, known.table().mx) for name in table}

lenient = settings(deadline=None)  # machines differ; nothing here is timed
names = st.sampled_from(NAMES)
label = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)


def recognisable(name: str) -> bool:
    """Tell, independently of the code under test, whether a name is an entry or lies below a zone among the entries."""
    labels = name.lower().split(".")
    return name.lower() in ENTRIES or any("." + ".".join(labels[place:]) in ENTRIES for place in range(1, len(labels)))


def nobody(typed: str) -> None:
    found = franking.recommend(typed, offline=True)
    assert (found.provider, found.confidence) == (None, "unknown"), found


@lenient
@given(names, label, label)
def test_a_name_inside_somebody_elses_zone(name: str, head: str, zone: str) -> None:
    for typed in (
        f"{name}.{zone}.example",
        f"{head}.{name}.{zone}.example",
        f"me@{name}.{zone}.example",
        f"smtp://{name}.{zone}.example:587",
    ):
        nobody(typed)


@lenient
@given(names, label)
def test_letters_glued_to_a_name(name: str, extra: str) -> None:
    for typed in (extra + name, f"{extra}-{name}", f"{name}{extra}", name.replace(".", "-") + "." + extra + ".example"):
        if not recognisable(typed):
            nobody(typed)
            nobody(f"me@{typed}")


@lenient
@given(names, st.data())
def test_one_letter_changed(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase + string.digits + "-"))
    changes = (
        name[:place] + letter + name[place + 1 :],
        name[:place] + name[place + 1 :],
        name[:place] + letter + name[place:],
    )
    for typed in changes:
        if typed.strip(".") and not recognisable(typed.removesuffix(".")):
            nobody(f"smtp://{typed}")


@lenient
@given(names, label)
def test_a_name_in_the_wrong_place_of_a_url(name: str, other: str) -> None:
    for typed in (
        f"{name}@{other}.example",
        f"smtp://{name}@{other}.example",
        f"smtp://{name}:x@{other}.example:25",
        f"{other}.example/{name}",
        f"smtp://{other}.example/{name}",
        f"smtp://{other}.example#@{name}",
        f"smtp://{other}.example?@{name}",
        f"{other}.example#{name}",
        f"me@{name}@{other}.example",
        f"{name}\\@{other}.example",
        f"{name}\r\n{other}.example",
        f"{name}\x00.{other}.example",
    ):
        nobody(typed)


CONFUSABLE = {
    "a": "а",
    "c": "с",
    "e": "е",
    "i": "і",
    "o": "о",
    "p": "р",
    "s": "ѕ",
    "x": "х",
    "y": "у",
    "l": "ӏ",
    "g": "ɡ",
    "m": "rn",
}


@lenient
@given(names.filter(lambda name: not CONFUSABLE.keys().isdisjoint(name)), st.data())
def test_a_letter_of_another_script(name: str, data: st.DataObject) -> None:
    places = [place for place, letter in enumerate(name) if letter in CONFUSABLE]
    place = data.draw(st.sampled_from(places))
    typed = name[:place] + CONFUSABLE[name[place]] + name[place + 1 :]
    if not recognisable(typed):
        nobody(typed)
        nobody(f"me@{typed}")


@lenient
@given(names)
def test_the_same_name_in_other_clothes_is_the_same(name: str) -> None:
    plain = franking.recommend(name, offline=True)
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in name)
    for typed in (name.upper(), f"  {name}\t", f"{name}.", wide, f"{name}/"):
        found = franking.recommend(typed, offline=True)
        assert (found.provider, found.kind, dict(found.settings)) == (plain.provider, plain.kind, dict(plain.settings))


@lenient
@given(st.text(max_size=60) | st.text("smtp.gailo:@/[]<>\\#?%25\u200d\u202e\u3002．", max_size=40))
@example("[")
@example("smtp://[::1")
@example("xn--.com")
@example("xn--a.xn--b")
@example("a" * 2000)
@example("\ud800@\udfff.cz")
def test_nothing_makes_it_fail(typed: str) -> None:
    try:
        found = franking.recommend(typed, offline=True)
    except SettingsError:
        assert not any(char.isprintable() and not char.isspace() for char in typed)
        return
    assert found.kind in ("host", "address", "domain")
    assert (found.provider is None) == (found.confidence == "unknown")
    assert found.reason
    if found.settings["username"] is not None:
        assert found.settings["username"].isprintable()


def test_the_names_are_many() -> None:
    assert len(NAMES) > 400
    with pytest.raises(SettingsError):
        franking.recommend(" ", offline=True)
