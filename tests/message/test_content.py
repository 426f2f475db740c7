"""What is serialised comes in chunks; line ends are whole across their borders."""

from __future__ import annotations

import pytest

from franking.message.content import crlf


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "octets",
    [b"", b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n\n", b"a\rb\nc\r\nd\n\n\r\r", b"\r\n\r\n", b"\n\n\n", b"\r\n\n"],
)
def test_line_ends_across_chunks(octets: bytes, step: int) -> None:
    expected = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert b"".join(crlf(octets[at : at + step] for at in range(0, len(octets), step))) == expected
