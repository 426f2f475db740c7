"""What a server says is not the trouble: clauses that deny one, or tell that a thing is as it should be, and things
that are only named. One place for fact and polarity; which trouble a word tells of, the tables know. No codes here.

A clause is what stands between two marks of punctuation, in plain words. What it denies is dropped with all of it: of
"the daily limit has not been exceeded" neither the limit is left nor that it is exceeded.
"""

from __future__ import annotations

import re

__all__ = ["CLAUSE", "told"]

CLAUSE = re.compile(r"[.,;:!?()\[\]|]+(?=\s|$)|\s[(\[]|\b(?:but|although)\b")
"""Where a clause ends, in a text whose names and addresses are gone."""

_TROUBLES = (
    "full|exceeded|exhausted|reached|blacklisted|blocklisted|blacklists?|blocklists?|rbls?|dnsbls?|blocked|banned"
    "|required|needed|necessary|mandatory|suspended|disabled|locked|expired|infected|spam|virus|viruses|malware|loop"
    "|greylisting|greylisted|greylist|too|larger|failed|fail|app passwords?|bad reputation|compromised"
)
_NOT = r"(?:not|no|never|nor|none|nothing|without)"
_BETWEEN = (
    "been|yet|be|a|an|any|the|was|is|are|identified|detected|recognized|classified|as|on|in|of|our|currently|listed"
    "|considered|found|contain|contains|look|looks|like|appear|seem|to|do|does|doing|use|using|have|has|known|need"
)
_DENIED = re.compile(rf"\b{_NOT}(?: (?:{_BETWEEN})){{0,4}} (?:{_TROUBLES})\b(?! please)")
_UNLIMITED = re.compile(r"\bno limits? (?:on|for|to)\b")
_NOT_FOR_US = re.compile(
    r"\bapp passwords?\b.{0,40}\bnot (?:be )?(?:supported|needed|necessary|required|allowed|used|available)\b"
    r"|\b(?:two factor|2fa|mfa|multi factor|two step|2 step|otp)\b.{0,40}"
    r"\b(?:not (?:been |yet )?(?:enabled|active|activated|on|set up|required|used)|is (?:off|disabled))\b"
    r"|\bgr[ea]ylisting (?:is |has been )?(?:off|disabled|not (?:used|active|enabled))\b"
)
"""Things that are no trouble while they are off."""

_AS_IT_SHOULD_BE = re.compile(
    r"\b(?:check|checks|scan|scanner|test|spf|dkim|dmarc|signature|dns|ptr|rdns|record|lookup|quota|size|limits?|helo"
    r"|ehlo|hostname|name|reputation|domain|sender|message|mail)\b.{0,40}"
    r"\b(?:pass|passed|(?:is|are|was|were|looks?) (?:ok|okay|fine|valid|good|correct|clean)|ok|okay"
    r"|within (?:the |its )?limits?|below the (?:limit|maximum)|records? found|found nothing)\b"
    r"|\b(?:scanner|scan|filter|check)\b.{0,20}\bfound (?:nothing|no)\b"
)
_DEMAND = re.compile(
    r"\b(?:not|no|never|without|must|should|shall|needs?|require[sd]?|ensure|sure|please|if|unless|until"
    r"|whether|when|only|before|after|once|verify|can|could|cannot|may|have to|has to|expected?)\b"
)
"""What makes of such a clause a demand, a condition or its contrary."""

_NAMED = re.compile(
    r"\b[^\W_]+ (?=(?:pages?|team|department|gateway|appliance|documentation|guide|article|faq|editors?)\b)"
    r"|\banti (?:virus|malware)\b"
    r"|\b(?:check|see|review|monitor|look up|verify) (?:your|the|its) (?:[^\W_]+ )?reputation\b"
    r"|\b(?:after|during|before|in|by means of) (?:the |an? )?(?:virus|spam|malware) (?:scan|check|test)\w*"
)
"""What is only named: what stands before the word for a page, people or a device; where somebody is told to look; when
it happened.
"""


def told(clause: str) -> str:
    """Return what a clause tells: nothing where it denies a trouble, else its words without what is only named."""
    if _DENIED.search(clause) or _UNLIMITED.search(clause) or _NOT_FOR_US.search(clause):
        return "fine"
    if _AS_IT_SHOULD_BE.search(clause) and not _DEMAND.search(clause):
        return "fine"
    return _NAMED.sub("", clause)
