"""Error texts of public threads, through the product: none gets a wrong cause.

A text may fall back to a diagnosis that only quotes it. How the first run went is told in docs/development.md.
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
