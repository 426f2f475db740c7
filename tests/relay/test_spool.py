"""A message while it comes in: nobody else reads it, and its digest is of all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from franking.relay.spool import SMALL, Spool


@pytest.mark.parametrize("more", [b"", b"x", b"yz"])
def test_what_is_held_and_what_lies_in_a_file_is_the_message(more: bytes, tmp_path: Path) -> None:
    (bodies := tmp_path / "bodies").mkdir()
    spool = Spool(bodies)
    pieces = [b"a" * (SMALL - 1), b"b", *([more] if more else [])]
    for piece in pieces:
        spool.write(piece)
    begin, whole = spool.finish(), b"".join(pieces)
    assert (spool.size, spool.digest) == (len(whole), hashlib.sha256(whole).digest())
    assert begin == whole[:SMALL]
    if more:
        assert spool.path is not None and spool.path.read_bytes() == more
        assert spool.path.stat().st_mode & 0o777 == 0o600
    spool.discard()
    assert list(bodies.iterdir()) == []
