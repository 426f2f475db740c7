"""The providers that there are: found by name, in order, one object each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from franking import registry
from franking.errors import SettingsError
from franking.file import FileProvider
from franking.registry import provider, providers, register


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PROVIDERS", dict(registry._PROVIDERS))


def test_ours_are_found_by_name_in_their_order() -> None:
    assert [found.name for found in providers()] == ["smtp", "gmail", "outlook", "file"]
    assert provider(" Gmail ") is provider("gmail")


@pytest.mark.parametrize(
    ("name", "words"),
    [("gmial", "did you mean gmail?"), ("zzz", "choose one of smtp, gmail, outlook, file.")],
)
def test_an_unknown_name_says_which_there_are(name: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        provider(name)
    assert str(caught.value) == f"provider: {name!r} is not known; {words}"
    assert caught.value.field == "provider"


def test_one_that_is_registered_takes_the_place_of_its_name() -> None:
    mine = FileProvider()
    register(mine)
    assert provider("file") is mine
    assert [found.name for found in providers()] == ["smtp", "gmail", "outlook", "file"]


def test_a_provider_is_one_object_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    both, real = threading.Barrier(2, timeout=20), FileProvider

    class Slow(FileProvider):
        def __init__(self) -> None:
            both.wait()
            super().__init__()

    monkeypatch.setattr("franking.file.FileProvider", Slow)
    registry._PROVIDERS["file"] = "franking.file:FileProvider"
    with ThreadPoolExecutor(2) as threads:
        one, other = (found.result(20) for found in [threads.submit(provider, "file") for _ in range(2)])
    found: Any = provider("file")
    assert one is other is found
    assert isinstance(found, real)
