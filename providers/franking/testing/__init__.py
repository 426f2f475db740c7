"""For tests: what would have left is in a list, and nothing leaves; and the suites that providers and stores pass.

    def test_the_invoice_is_mailed(franking_outbox):     # or: with franking.testing.capture() as outbox
        shop.order(...)
        assert franking_outbox[0].subject == "Your invoice"

``capture.py`` has the first, ``contracts.py`` (which needs pytest) the suites. Unlike other packages this one imports:
``franking.testing.capture`` is the function, not the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from franking.testing.capture import Captured, Outbox, capture

if TYPE_CHECKING:
    from franking.testing.contracts import ProviderContract as ProviderContract
    from franking.testing.contracts import StoreContract as StoreContract

__all__ = ["Captured", "Outbox", "ProviderContract", "StoreContract", "capture"]


def __getattr__(name: str) -> Any:
    if name not in ("ProviderContract", "StoreContract"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from franking.testing import contracts  # it needs pytest

    return getattr(contracts, name)
