"""Looking for planted secrets in all that comes out: the forms that a secret may take, and everything that an exception
holds.
"""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from franking.errors import FrankingError

__all__ = ["everything", "found", "pieces", "shapes", "variables"]

PIECE = 16
"""Characters; a part of a long secret that is so long was cut off it, not met by chance."""


def shapes(secret: str) -> set[str]:
    """Return the forms in which a secret might come out."""
    octets = secret.encode()
    forms = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        octets.hex(),
    }
    forms |= {html.escape(secret), quote(secret, safe="").lower()}
    forms |= {base64.b64encode(octets).decode().rstrip("="), base64.urlsafe_b64encode(octets).decode().rstrip("=")}
    forms |= {base64.b64encode(b"\0jana\0" + octets).decode().rstrip("=")}
    return forms


def pieces(secret: str) -> Iterator[str]:
    """Cut a long secret up, so that half of it is found too."""
    yield from (secret[at : at + PIECE] for at in range(0, len(secret) - PIECE + 1, PIECE))


def found(text: str, *secrets: str) -> list[str]:
    """Return every form of a secret, and every longer part of one, that is in a text."""
    hits = [form for secret in secrets for form in shapes(secret) if form in text]
    return hits + [part for secret in secrets if len(secret) >= 2 * PIECE for part in pieces(secret) if part in text]


def everything(error: BaseException) -> str:
    """Return all that can be got out of an exception: text, attributes, notes, copy and pickle, causes and contexts all
    the way down.
    """
    parts = ["".join(traceback.format_exception(error)), pickle.dumps(error, protocol=0).decode("latin-1")]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    for link in (*_chain(error), again, copy.copy(error)):
        parts += [
            repr(link),
            str(link),
            repr(getattr(link, "__dict__", "")),
            repr(link.args),
            repr(getattr(link, "__notes__", "")),
        ]
    if isinstance(error, FrankingError) and error.diagnosis is not None:
        parts.append(
            json.dumps(error.diagnosis.as_dict(), ensure_ascii=False) + repr(error.diagnosis) + str(error.diagnosis)
        )
    return "\n".join(parts)


def variables(error: BaseException) -> str:
    """Return the variables of all frames, of ours and of libraries, that an error came through: error trackers do."""
    parts = []
    for link in _chain(error):
        for frame in traceback.TracebackException(type(link), link, link.__traceback__, capture_locals=True).stack:
            if "tests" not in Path(frame.filename).parts:
                parts.append(f"{frame.filename} {frame.name} {frame.locals}")
    return "\n".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go through causes and contexts, those that ``raise … from None`` hides from a traceback too."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if not any(link is one for one in seen):
            seen.append(link)
            yield link
            waiting += [one for one in (link.__cause__, link.__context__) if one is not None]
