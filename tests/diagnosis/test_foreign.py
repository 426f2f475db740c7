"""Error texts of public threads, through the product: each gets a cause that is right.

One that tells no cause may be quoted only. How the first runs went is told in docs/development.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosis.foreign import Row, rows, run, samples


@pytest.mark.parametrize("row", samples(), ids=str)
def test_the_road_of_the_measure_leads_through_the_product(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(row, tmp_path, monkeypatch)
    assert report.diagnosis is not None
    assert (report.diagnosis.code, report.diagnosis.temporary) == (row.code, row.temporary == "T")


@pytest.mark.matrix
@pytest.mark.parametrize("row", rows(), ids=str)
def test_no_text_of_public_threads_gets_a_wrong_cause(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(row, tmp_path, monkeypatch)
    assert report.diagnosis is not None
    assert report.diagnosis.code in row.codes
    assert row.temporary == "?" or report.diagnosis.temporary == (row.temporary == "T")
