"""Text of the other side: the JSON object in it."""

from __future__ import annotations

import pytest

from franking.text import json_object


@pytest.mark.parametrize("text", ['{"a": 1}', b'{"a": 1}'])
def test_a_json_object_is_read(text: str | bytes) -> None:
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", '"text"', "<html>", b"\xff\xfe\xff", b'{"a": "\xff"}', "[" * 100_000, '{"a":' * 100_000],
)
def test_what_is_no_json_object_is_none(text: str | bytes) -> None:
    assert json_object(text) is None
