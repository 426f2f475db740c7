"""A leased place that something breaks into while it is taken."""

from __future__ import annotations

import pytest

from franking.sending.slots import LeasedSlot
from franking.shared.afterwards import Afterwards, Held


class Struck(Afterwards):
    """Tell as usual; a signal strikes as soon as something is held."""

    def hold(self, held: Held) -> None:
        super().hold(held)
        raise KeyboardInterrupt


def test_a_place_is_given_back_when_a_signal_strikes_while_it_is_taken() -> None:
    teller, ended = Struck(), list[str]()
    with pytest.raises(KeyboardInterrupt):
        LeasedSlot.taken(teller, 60.0, take=lambda: True, renew=lambda: True, end=lambda: ended.append("given back"))
    teller.close()
    assert ended == ["given back"]
    assert not teller._held
