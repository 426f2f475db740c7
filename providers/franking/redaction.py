"""What must not be shown is taken out of what the other side said: secrets that it repeats, tokens, one-time addresses.

The layers below take out the secrets that they used where they read and log; ``redacted`` is the last look before a
person sees a text. It explains nothing.

Everything here takes time in proportion to the text, whatever stands in it: each pattern that is without a bound ends
with what has no bound, so that nothing is looked at twice (``tests/test_redaction.py`` reads that off the patterns).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from franking.text import visible

__all__ = ["HIDDEN", "RUN", "Redactor", "Veiled", "redacted", "revealed", "veiled", "without_queries"]

HIDDEN = "[hidden]"

RUN = 8
"""Characters of a secret in a row, or of one of its encodings, that are not shown: what is cut off is a part of it."""
LEAST = 4
"""Characters of a secret from which on it is hidden anywhere."""
_STEP = 4
_PART = RUN - _STEP + 1  # wherever a run begins, it holds such a part that begins at a multiple of the step
_LONG = 1024  # characters of a form; of a token of thousands, every part would take a megabyte

# Patterns are texts here, compiled (and kept by re) when first used: without a failure none is, and starting would wait
# 1.5 ms for them.

# What a secret may be folded with: white space, quoted-printable's = before it, the codes at the next line's beginning.
_GAPS = r"(?:=?\r?\n[ \t]{0,9}(?:(?:[245]\d\d[ -])?[245]\.\d{1,3}\.\d{1,3} )?|=?\s)+"
# Google's 534-5.7.14 holds a sign-in address with a one-time token, over several lines: all up to the bracket goes.
_BRACKETED = r"<(https?://[^\s?<>]++)(\?[^>]*+>?)?"
_QUERY = r"(https?://[^\s?<>\"']++)(\?[^\s<>\"']*+)?"
_HELP = r"\?p=[A-Za-z]++[,;)]*+"  # the query of a help page (?p=BadCredentials) is a word and tells something
_AUTHORITY = r"://[^\s/?]*+"
_FIELD = "access_token|refresh_token|id_token|client_secret|client_assertion|assertion|code_verifier|password|plt"
_TOKEN = (
    r"(?i)\b(Bearer|Basic|AUTH [\w-]{1,40}+) ([\w.~+/=-]{8,}+)"
    rf"|\"({_FIELD})\" ?: ?\"[^\"]*+\"?"
    rf"|\b({_FIELD})=[^\s,&\"']++"
    rf"|\b(?:ya29\.|1//0|eyJ)[\w.-]{{8,}}+"
)


class Redactor:
    """Take out of a text what repeats a secret: the whole of it or any ``RUN`` characters in a row, folded too; as it
    is, in base64, in hexadecimal, in a URL, a page, JSON or quoted-printable.

    Of secrets with fewer characters the whole is hidden; with up to three, only where it is a word: it occurs in every
    text. A part that ``public`` texts hold is not hidden: a password may begin as the login name does.
    """

    __slots__ = ("_entire", "_forms", "_known", "_parts", "_public", "_runs", "_step", "_words")

    def __init__(self, secrets: Iterable[str] = (), *, public: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._forms: list[str] = []
        self._parts: set[str] = set()  # of the forms, of which nearly no text holds one
        self._step = _STEP  # from place to place in a text at which such a part is looked for
        self._runs: set[str] | None = None  # of the forms, at every place: made when a text does
        self._entire: set[str] = set()
        self._words: list[str] = []
        self._public = [_packed(text) for text in public]
        self.add(*secrets)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"

    def __len__(self) -> int:
        return len(self._known)

    def add(self, *secrets: str) -> None:
        """Know further secrets."""
        for secret in secrets:
            if secret and len(_packed(secret)) < LEAST and secret not in self._known:
                self._known.add(secret)
                self._words.append(rf"(?<![\w.]){re.escape(secret)}(?![\w.])")
            else:
                self._add(secret, _forms(secret))

    def add_whole(self, text: str) -> None:
        """Know a text with a secret in it, parts of which tell nothing: a line that went over the wire."""
        if len(text) >= LEAST:
            self._known.add(text)
            self._entire.add(_packed(text))

    def _add(self, secret: str, forms: Iterable[str]) -> None:
        if not secret or secret in self._known:
            return
        self._known.add(secret)
        self._runs = None
        self._entire.add(_packed(secret))  # all of it, whatever is public
        for form in set(map(_packed, forms)):
            if len(form) < RUN:
                if len(form) >= LEAST:
                    self._entire.add(form)
                continue
            self._forms.append(form)
            step = 1
            if len(form) > _LONG:
                step, self._step = _STEP, 1
            self._parts.update([form[at : at + _PART] for at in range(0, len(form) - _PART + 1, step)])

    def __call__(self, text: str) -> str:
        """Return a text without what repeats a secret; line ends stay."""
        packed = _packed(text)
        looked_at = [packed[at : at + _PART] for at in range(0, len(packed) - _PART + 1, self._step)]
        if not self._parts.isdisjoint(looked_at) or any(form in packed for form in self._entire):
            text = _hidden(text, self._spans(packed))
        for word in self._words:
            text = re.sub(word, HIDDEN, text)
        return text

    def octets(self, data: bytes) -> bytes:
        """Do the same with octets."""
        return self(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _spans(self, packed: str) -> list[tuple[int, int]]:
        """Return where in a packed text secrets are, in order."""
        if self._runs is None:
            self._runs = set(_runs(self._forms)).difference(_runs(self._public))
        found = [(at, at + RUN) for at in range(len(packed) - RUN + 1) if packed[at : at + RUN] in self._runs]
        for form in self._entire:
            at = packed.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = packed.find(form, at + len(form))
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return spans


def _runs(texts: Iterable[str]) -> Iterator[str]:
    return (text[at : at + RUN] for text in texts for at in range(len(text) - RUN + 1))


def _packed(text: str) -> str:
    """Return a text without what a secret may be folded with."""
    if "=" in text or "\n" in text:
        return re.sub(_GAPS, "", text)
    return "".join(text.split())


def _hidden(text: str, spans: list[tuple[int, int]]) -> str:
    """Hide spans of the packed text in the text itself; each line end in them stays."""
    places: list[int] = []
    at = 0
    for gap in re.finditer(_GAPS, text):
        places += range(at, gap.start())
        at = gap.end()
    places += range(at, len(text))
    pieces, done = [], 0
    for start, end in spans:
        first, last = places[start], places[end - 1] + 1
        pieces += [text[done:first], "\n".join([HIDDEN] * (text.count("\n", first, last) + 1))]
        done = last
    return "".join([*pieces, text[done:]])


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which a secret may come back."""
    import base64
    import html
    import json
    from binascii import b2a_qp
    from urllib.parse import quote, quote_plus

    octets = secret.encode("utf-8", "surrogateescape" if secret.isascii() else "replace")
    percent = {quote(octets), quote(octets, safe=""), quote_plus(octets)}
    found = {secret, html.escape(secret), json.dumps(secret)[1:-1], b2a_qp(octets).decode("ascii"), *percent}
    found |= {re.sub("%..", lambda code: code[0].lower(), form) for form in percent}
    found |= {octets.hex(), octets.hex().upper()}
    for before in range(3):  # octets, modulo three, that stand before it in what was encoded
        whole = base64.b64encode(b"\0" * before + octets).decode("ascii").rstrip("=")
        if before:  # without the characters that others have a part in
            whole = whole[before + 1 : len(whole) - bool((before + len(octets)) % 3)]
        if not before or len(whole) > RUN - 3:
            found |= {whole, whole.replace("+", "-").replace("/", "_")}
    yield from found


_Secret = TypeVar("_Secret")


class Veiled(Generic[_Secret]):
    """A text, or a key, that nobody sees who looks at variables and attributes: collectors of errors do, and they show
    what the library was handed, too.
    """

    __slots__ = ("reveal",)

    def __init__(self, secret: _Secret) -> None:
        self.reveal: Callable[[], _Secret] = lambda: secret

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __repr__(self) -> str:
        return HIDDEN


def veiled(secret: Any) -> Any:
    """Return a text as a ``Veiled`` one, and anything else as it is."""
    if isinstance(secret, str):
        return Veiled(secret)
    return secret


def revealed(secret: Veiled[str] | str | None) -> str | None:
    """Return what ``veiled`` was given."""
    if isinstance(secret, Veiled):
        return secret.reveal()
    return secret


def without_queries(text: str) -> str:
    """Drop the queries of web addresses, which may hold one-time tokens; host and path stay."""
    if "://" not in text:
        return text
    return re.sub(_QUERY, _without_query, re.sub(_BRACKETED, _without_rest, text))


def _without_rest(found: re.Match[str]) -> str:
    if found[2] is None:
        return found[0]
    return f"<{found[1]}?…>"


def _without_query(found: re.Match[str]) -> str:
    if found[2] is None or re.fullmatch(_HELP, found[2]):
        return found[0]
    return f"{found[1]}?…"


def _without_password(found: re.Match[str]) -> str:
    who, _, place = found[0].rpartition("@")
    user, colon, _ = who.removeprefix("://").partition(":")
    if not colon:
        return found[0]
    return f"://{user}:{HIDDEN}@{place}"


def _without_token(found: re.Match[str]) -> str:
    if found[2] and not re.search("[0-9=]", found[2]):
        return found[0]  # "basic authentication" is no token
    return " ".join(filter(None, (found[1], found[3], found[4], HIDDEN)))


def redacted(text: str, hidden: Redactor | None = None, limit: int = 2000) -> str:
    """Make another side's words fit to be shown: one bounded line without what is secret.

    What goes: what ``hidden`` knows, tokens, passwords, queries of addresses; control characters become visible.
    """
    line = " ".join(text[: 8 * limit].split())
    if hidden:
        line = hidden(line)
    line = without_queries(re.sub(_AUTHORITY, _without_password, line))
    return visible(re.sub(_TOKEN, _without_token, line), limit)
