"""Error texts of public threads, through the product: none gets a wrong cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosis.foreign import Row, run, samples


@pytest.mark.parametrize("row", samples(), ids=str)
def test_the_road_of_the_measure_leads_through_the_product(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(row, tmp_path, monkeypatch)
    assert report.diagnosis is not None
    assert (report.diagnosis.code, report.diagnosis.temporary) == (row.code, row.temporary == "T")
