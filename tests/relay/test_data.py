r"""Where a message ends, and what is kept of it, however the octets are cut: never smuggled in, never cut short."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from franking.relay.data import Data, Lines


def read(octets: bytes, *cuts: int, bare_lf: bool = False) -> tuple[bytes, bytes | None, Data]:
    """Return what is kept and what is left behind the end (None: no end yet)."""
    data = Data(bare_lf=bare_lf)
    kept = b""
    places = sorted({0, *[min(cut, len(octets)) for cut in cuts], len(octets)})
    for begin, end in pairwise(places):
        kept += data.feed(octets[begin:end])
        if data.done:
            return kept, data.rest + octets[end:], data
    return kept, None, data


ENDS = [
    (b"hi\r\n.\r\n", b"hi\r\n"),
    (b".\r\n", b""),
    (b"..\r\n.\r\n", b".\r\n"),
    (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
    (b".a\r\n.\r\n", b"a\r\n"),
    (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
    (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
    (b"a\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
]
SMUGGLED = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


@pytest.mark.parametrize(("octets", "kept"), ENDS)
def test_what_is_kept(octets: bytes, kept: bytes) -> None:
    for cut in range(len(octets) + 1):
        assert read(octets + b"QUIT\r\n", cut)[:2] == (kept, b"QUIT\r\n"), cut


@pytest.mark.parametrize("trick", SMUGGLED)
def test_nothing_but_crlf_dot_crlf_ends_a_message(trick: bytes) -> None:
    inner = b"MAIL FROM:<evil@example.com>\r\n"
    octets = b"Subject: x\r\n\r\nhello" + trick + inner + b".\r\n"
    for cut in range(len(octets) + 1):
        kept, rest, _ = read(octets, cut)
        assert rest == b"", cut
        assert inner in kept


def test_a_client_whose_lines_all_end_with_lf_may_end_with_lf() -> None:
    octets = b"Subject: x\n\n..hi\nthere\n.\n"
    for cut in range(len(octets) + 1):
        kept, rest, data = read(octets + b"QUIT\n", cut, bare_lf=True)
        assert (kept, rest) == (b"Subject: x\r\n\r\n.hi\r\nthere\r\n", b"QUIT\n"), cut
        assert data.lines.bare
    for trick in (b"\n.\r\n", b"\r\n.\n"):
        assert read(b"a" + trick + b"b", bare_lf=True)[1] is None
    assert read(b"a\r\n.\r\n", bare_lf=True)[:2] == (b"a\r\n", b"")
    for cut in range(6):
        assert read(b".\r\n.\r\n", cut, bare_lf=True)[:2] == (b".\r\n", b"")  # no dot is lost at a cut


def test_what_was_seen_is_noted() -> None:
    lines = read("é\0\r\n.\r\n".encode())[2].lines
    assert (lines.eight_bit, lines.nul, lines.bare, lines.size) == (True, True, False, 5)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.\r\n"]), max_size=12), st.data())
def test_cuts_change_nothing(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=6))
    for bare_lf in (False, True):
        whole, cut = read(octets, bare_lf=bare_lf), read(octets, *cuts, bare_lf=bare_lf)
        assert whole[1] == cut[1]
        if whole[1] is not None:
            assert whole[0] == cut[0]
            assert whole[0].count(b"\r\n") == whole[0].count(b"\n") == whole[0].count(b"\r")


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a"]), max_size=8), st.integers(0, 16))
def test_lines_are_whole_wherever_a_chunk_ends(parts: list[bytes], cut: int) -> None:
    octets = b"".join(parts)
    one, two = Lines(), Lines()
    whole = one.take(octets) + one.end()
    assert whole == two.take(octets[:cut]) + two.take(octets[cut:]) + two.end()
    assert whole == octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
