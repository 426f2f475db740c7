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
    if not reply.temporary or reply.code in (421, 432):
        return reply.temporary
    return bool(re.match(_PACE_CODES, reply.enhanced or "") or re.search(_PACE, reply.text))


def refusal(reply: Reply, what: str, *, step: str) -> Refused:
    """Make the error for a sender or message that the server refused with ``reply``."""
    evidence = reply.evidence("smtp", what=what)
    if throttled(reply):
        later = re.search(_LATER, reply.text)
        seconds = float(int(later[1]) * _UNITS[later[2].lower()]) if later else None
        words = f"The server asks for less, or for later: {reply}"
        return Throttled(words, retry_after=seconds, step=step, evidence=evidence)
    if reply.temporary:
        what += " for now"
    words = f"The server refused the {what}: {reply}"
    return Refused(words, step=step, temporary=reply.temporary, evidence=evidence)


def recipient_refused(refused: Mapping[str, Mapping[str, Any]]) -> RecipientsRefused:
    """Make the error for a message all of whose recipients were refused; temporary if any of them may be taken
    later.
    """
    address, first = next(iter(refused.items()))
    reply = first["reply"]
    found = re.match(r"(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))? ?(.*)", reply, re.DOTALL)
    assert found is not None  # it is a reply's own text
    code, enhanced, text = found.groups()
    details = {"recipient": address, "what": "recipient"}
    evidence = Evidence("smtp", code=int(code), enhanced=enhanced, text=text, details=details)
    temporary = any(each["temporary"] for each in refused.values())
    who = "the recipient" if len(refused) == 1 else "every recipient"
    words = f"The server refused {who}: {reply}"
    return RecipientsRefused(words, refused=refused, temporary=temporary, evidence=evidence)
