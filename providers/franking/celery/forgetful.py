"""The journal of those who want none: it remembers nothing, so that a task that is delivered twice sends twice. All
attempts of one task still go with one Message-ID, which many mailboxes show once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from franking.sending.journal import LEASE_SECONDS, Answer, Claim, with_room

if TYPE_CHECKING:
    from franking.sending.limit_places import Room

__all__ = ["Forgetful"]


class Forgetful:
    """Let every delivery send."""

    lease = LEASE_SECONDS

    def claim(self, claim: Claim, room: Room | None = None) -> Answer:
        """Return that the message is this delivery's, with the Message-ID that its key makes."""
        name = hashlib.sha256(claim.key.encode()).hexdigest()[:32]
        domain = claim.message_id.rpartition("@")[2]
        return with_room(Answer("claimed", f"<{name}@{domain}", claim.date), room)

    def started(self, claim: Claim) -> bool:
        return True

    def renew(self, claim: Claim) -> bool:
        return True

    def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
        return True

    def give_back(self, claim: Claim) -> bool:
        return True
