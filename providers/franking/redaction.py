"""What must not be shown is taken out of what the other side said: secrets that it repeats, tokens, one-time addresses.

The layers below take out the secrets that they used where they log; this is the last look before a person sees a text.
It explains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from franking.text import visible

__all__ = ["HIDDEN", "forms", "redacted", "without_queries"]

HIDDEN = "[hidden]"

# Patterns are texts here, compiled (and kept by re) when first used: without a failure none is, and starting would wait
# 1.5 ms for them.

# Google's 534-5.7.14 holds a sign-in address with a one-time token, over several lines: all up to the bracket goes.
_BRACKETED = r"<(https?://[^\s?<>]+)\?[^>]*(?:>|$)"
# The query of a help page (?p=BadCredentials) is a word and tells something.
_QUERY = r"(https?://[^\s?<>\"']+)\?(?!p=[A-Za-z]+(?:[\s>\"',;)]|$))[^\s<>\"']*"
_TOKENLIKE = r"(?=[A-Za-z.~+/_-]*[0-9=])[\w.~+/=-]{8,}"  # a digit or a = : "basic authentication" is no token
_USERINFO = r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@?]*):[^\s@/?]+@"
_FIELD = "access_token|refresh_token|id_token|client_secret|client_assertion|assertion|code_verifier|password|plt"
_TOKEN = (
    rf"(?i)\b(Bearer|Basic)\s+{_TOKENLIKE}"
    rf"|\b(AUTH\s+[\w-]+)\s+{_TOKENLIKE}"
    rf"|\"({_FIELD})\"\s*:\s*\"[^\"]*\""
    rf"|\b({_FIELD})=[^\s,&\"']+"
    rf"|\b(?:ya29\.|1//0|eyJ)[\w.-]{{8,}}"
)


def forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return every form in which a secret may come back, the longest first: as it is, with its blanks collapsed, as
    base64, in a URL, a page or JSON.

    Secrets of up to three characters are left out: they occur in every text, and hiding them would only tell where.
    """
    import base64
    import html
    import json
    from urllib.parse import quote, quote_plus

    found = set[str]()
    for secret in secrets:
        if len(secret) <= 3:
            continue
        octets = secret.encode("utf-8", "replace")
        percent = {quote(octets), quote(octets, safe=""), quote_plus(octets)}
        found |= {secret, " ".join(secret.split()), html.escape(secret), json.dumps(secret)[1:-1], *percent}
        found |= {re.sub("%..", lambda code: code[0].lower(), form) for form in percent}
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(octets).decode("ascii").rstrip("="))
    return tuple(sorted((form for form in found if len(form) > 3), key=len, reverse=True))


def without_queries(text: str) -> str:
    """Drop the queries of web addresses, which may hold one-time tokens; host and path stay."""
    if "://" not in text:
        return text
    return re.sub(_QUERY, r"\1?…", re.sub(_BRACKETED, r"<\1?…>", text))


def redacted(text: str, hidden: tuple[str, ...] = (), limit: int = 2000) -> str:
    """Make another side's words fit to be shown: one bounded line without what is secret.

    What goes: the ``hidden`` forms, tokens, passwords, queries of addresses; control characters become visible.
    """
    line = " ".join(text[: 8 * limit].split())
    for form in hidden:
        line = line.replace(form, HIDDEN)
    line = without_queries(re.sub(_USERINFO, rf"\1:{HIDDEN}@", line))
    line = re.sub(_TOKEN, lambda found: " ".join(filter(None, (*found.groups(), HIDDEN))), line)
    return visible(line, limit)
