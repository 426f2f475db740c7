"""Error texts of public threads, through the product: each gets a cause that is right.

One that tells no cause may be quoted only. How the first runs went is told in docs/development.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diagnosis.foreign import GENERAL, Row, forms, rows, run, samples

CLAIMS_NOTHING = GENERAL | {"login.refused"}
SAID_BY_CODE = {
    "5.1.1": "recipient.unknown",
    "5.1.2": "recipient.domain-unknown",
    "5.2.1": "recipient.disabled",
    "5.3.4": "message.too-large",
    "invalid_grant": "microsoft.invalid-grant google.invalid-grant",
    "unauthorized_client": "microsoft.client-unknown",
}
"""What the server's own code, or OAuth's error, says where the words are cut off that would say something else."""
SAID_BY_THE_REST = {"550 send spam mail rejected:": "message.spam"}
"""What the words say that are left when others are cut off."""


def _may_be_told(form: Row) -> frozenset[str]:
    """Return what may be told of a text of which a part is missing."""
    code = re.search(r"^\d{3}[ -](?:(\d\.\d\.\d)|(\w+) ::)", form.said)
    said = SAID_BY_CODE.get(code[1] or code[2], "") if code else ""
    return CLAIMS_NOTHING | form.codes | {*said.split(), SAID_BY_THE_REST.get(form.said, "")}


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


@pytest.mark.matrix
@pytest.mark.parametrize(("name", "form"), [each for row in rows() for each in forms(row)], ids=str)
def test_no_form_of_a_text_gets_a_wrong_cause(
    name: str, form: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrapped or in capitals it is told as it is written; where words or numbers are missing, less may be told."""
    found = run(form, tmp_path, monkeypatch).diagnosis
    assert found is not None
    assert found.code in (form.codes if name in ("wrapped", "in_capitals") else _may_be_told(form))
