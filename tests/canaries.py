"""Looking for planted secrets in all that comes out: the forms that a secret may take, and everything that an exception
holds.
"""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import quopri
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from franking.errors import FrankingError

__all__ = ["everything", "found", "runs", "shapes", "variables"]

RUN = 8
"""Characters of a secret in a row, or of one of its forms, that may not come out: what was cut off is a part of it."""


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
    forms |= {html.escape(secret), quote(secret, safe="").lower(), quopri.encodestring(octets).decode().strip("=\n")}
    for before in range(3):  # octets, modulo three; the characters in which others have a part are left out
        encoded = base64.b64encode(b"x" * before + octets).decode().rstrip("=")[before and before + 1 :]
        if before:
            encoded = encoded[:-1]
        forms |= {encoded, encoded.replace("+", "-").replace("/", "_")}
    return forms


def runs(text: str) -> set[str]:
    """Cut a text into everything that is ``RUN`` characters long."""
    return {text[at : at + RUN] for at in range(len(text) - RUN + 1)}


def found(text: str, *secrets: str) -> list[str]:
    """Return every form of a secret that is in a text, and every part of one, also of what was folded there."""
    every = {form for secret in secrets for form in shapes(secret)}
    parts = set().union(*map(runs, every))
    unfolded = re.sub(r"\s|\\[rnt]", "", text)
    return sorted({form for form in every if form in text} | parts & (runs(text) | runs(unfolded)))


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
