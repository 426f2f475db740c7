"""A message as Graph wants it: base64, JSON, and what of it JSON cannot carry."""

from __future__ import annotations

import pytest

from franking.outlook import graph_json


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 57, 1_000])
def test_base64_streams(cut: int) -> None:
    import base64

    data = bytes(range(256)) * 5
    chunks = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert b"".join(graph_json.base64_of(chunks)) == base64.b64encode(data)
    assert graph_json.base64_length(len(data)) == len(base64.b64encode(data))
