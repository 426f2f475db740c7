"""Stand-ins of Microsoft and Graph on loopback, and accounts that send by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from outlook.messages import Make, Tokens
from servers.microsoft import Microsoft
from servers.web import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def microsoft(tmp_path: Path, authority: Authority) -> Iterator[Microsoft]:
    with Microsoft(tmp_path, authority=authority) as made:
        yield made


@pytest.fixture
def account(microsoft: Microsoft) -> Make:
    def make(**settings: Any) -> franking.Account:
        given = {"sender": "Jan Novák <jan@contoso.com>", **microsoft.settings(), **settings}
        return franking.Account(name="office", provider="outlook", **given)

    return make


@pytest.fixture
def tokens(microsoft: Microsoft) -> Tokens:
    return Tokens(microsoft, "Mail.Send", "Mail.ReadWrite")


@pytest.fixture
def large(account: Make) -> franking.Account:
    return account(large_attachments=True)
