"""What a refusing reply is called: refused for good, for now, or too much and too fast. Which remedy it calls for, a
diagnosis says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from franking.errors import Evidence, RecipientsRefused, Refused, Throttled
from franking.smtp.protocol import Reply

__all__ = ["recipient_refused", "refusal", "throttled"]

# texts, compiled when something is refused
_PACE = r"(?i)\brate\b|too (?:many|much|fast|quickly)|slow(?:ing)? down|throttl|limit|quota|busy|thread"
# 4.2.1 receiving too quickly, 4.3.2 not accepting now, 4.4.5 busy, 4.7.28 flood, 4.7.500 to 4.7.699 Microsoft's "server
# busy"
_PACE_CODES = r"4\.(?:2\.1|3\.2|4\.5|7\.28|7\.[56]\d\d)\Z"
_LATER = r"(?i)(?:\bin|after|wait)\s+(\d{1,5})\s*(s|m|h)(?:ec|in|our|\b)"
_UNITS = {"s": 1, "m": 60, "h": 3600}


def throttled(reply: Reply) -> bool:
    """Return whether a reply means: less, or later (as distinct from a passing trouble with this message)."""
    if reply.code in (421, 432):
        return True
    return 400 <= reply.code < 500 and bool(re.match(_PACE_CODES, reply.enhanced or "") or re.search(_PACE, reply.text))


def refusal(reply: Reply, what: str, *, step: str) -> Refused:
    """Make the error for a sender or message that the server refused with ``reply``."""
    evidence = reply.evidence("smtp")
    if throttled(reply):
        later = re.search(_LATER, reply.text)
        seconds = float(int(later[1]) * _UNITS[later[2].lower()]) if later else None
        return Throttled(
            f"The server asks for less, or for later: {reply}", retry_after=seconds, step=step, evidence=evidence
        )
    temporary = 400 <= reply.code < 500
    later_words = " for now" if temporary else ""
    return Refused(
        f"The server refused the {what}{later_words}: {reply}", step=step, temporary=temporary, evidence=evidence
    )


def recipient_refused(refused: Mapping[str, Mapping[str, Any]]) -> RecipientsRefused:
    """Make the error for a message all of whose recipients were refused; temporary if any of them may be taken
    later.
    """
    address, answer = next(iter(refused.items()))
    first, details = answer["reply"], {"recipient": address}
    found = re.match(r"(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))? ?(.*)", first, re.DOTALL)
    if found:
        evidence = Evidence("smtp", code=int(found[1]), enhanced=found[2], text=found[3], details=details)
    else:
        evidence = Evidence("smtp", text=first, details=details)
    temporary = any(answer["temporary"] for answer in refused.values())
    who = "the recipient" if len(refused) == 1 else "every recipient"
    return RecipientsRefused(
        f"The server refused {who}: {first}", refused=refused, temporary=temporary, evidence=evidence
    )
