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
from types import FrameType
from urllib.parse import quote, quote_plus

from franking.errors import FrankingError

__all__ = ["RUN", "TESTS", "everything", "found", "leaks", "runs", "shapes", "variables"]

RUN = 8
"""Characters of a secret in a row, or of one of its forms, that may not come out: what was cut off is a part of it."""
CLAIMS = 80
TESTS = str(Path(__file__).parent)


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


def runs(text: str, length: int = RUN) -> set[str]:
    """Cut a text into everything that is so many characters long."""
    return {text[at : at + length] for at in range(len(text) - length + 1)}


def found(text: str, *secrets: str, run: int = RUN) -> list[str]:
    """Return every form of a secret that is in a text, and every part of one, also of what was folded there.

    Digits alone are no part: they may be any number's. Of a form that has lost its capitals (base 16, small letters)
    twice as many are needed: 8 are in some Message-ID or function's name by chance. An ID token's claims stand
    elsewhere too, in the same base64.
    """
    unfolded = re.sub(r"\s|\\[rnt]", "", text)
    hits: set[str] = set()
    for length in (run, CLAIMS):
        chosen = {one for one in secrets if (length == CLAIMS) == bool(re.match(r"eyJ[\w-]+\.eyJ", one))}
        forms = {form for secret in chosen for form in shapes(secret)}
        hits |= {form for form in forms if form in text}
        small = {one for one in forms if re.fullmatch("[0-9a-f]+", one) or (one == one.lower() and one not in chosen)}
        for some, wide in ((forms - small, length), (small, 2 * length)):
            parts = {part for form in some for part in runs(form, wide) if not part.isdigit()}
            hits |= parts & (runs(text, wide) | runs(unfolded, wide))
    return sorted(hits)


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


def frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an exception, its causes and its contexts, but for the test's own."""
    for link in _chain(error):
        trace = link.__traceback__
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(TESTS):
                yield trace.tb_frame
            trace = trace.tb_next


def parts(value: object) -> Iterator[object]:
    """Yield what stands in an object's attributes."""
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        for name in getattr(kind, "__slots__", ()):
            yield getattr(value, name, None)


def shown(frame: FrameType) -> str:
    told = []
    for name, value in frame.f_locals.items():
        for one in (value, *parts(value)):
            try:
                told.append(f"{name}={one!r}")
            except Exception as problem:
                told.append(f"{name}: {problem!r}")
    return "\n".join(told)


def leaks(error: BaseException, secrets: set[str]) -> list[str]:
    """Return which frames show what of the secrets, of an exception that passed through us."""
    hits: list[str] = []
    if not any(str(frame.f_globals.get("__name__")).startswith("franking") for frame in frames(error)):
        return hits
    for frame in frames(error):
        if told := found(shown(frame), *secrets):
            hits.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name} {told[:2]}")
    return hits


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
