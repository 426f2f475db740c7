"""How a machine of a test leaves a shared store: its threads end before the store's server does."""

from __future__ import annotations

import threading
from typing import Any

from franking.shared.afterwards import afterwards


def leave(*stores: Any) -> None:
    """Let nothing of these stores be under way any more, and close them."""
    for thread in threading.enumerate():
        if thread.name == "franking-unsaved":  # it may be just about to ask once more
            thread.join(60)
    for store in stores:
        afterwards(store).close()  # what renews locks lingers for two seconds by itself
        store.server.close()
