"""What a server says, as plain words, and phrases that are looked for in them. No rules and no codes are known here.

``Words`` makes plain words of a text: lower case, in Latin letters without accents, contractions, links, punctuation;
an address, or the name of a host, becomes ``@``. A phrase is a line of slots: ``sender|from ~ not allowed|permitted``.
Alternatives stand between bars, ``word*`` is any word that begins so, ``two_words`` are two words, ``?is`` may be
missing, ``~`` stands for up to five other words, ``&`` parts what may stand anywhere, in any order. Nothing repeats
without end: a phrase costs at most a constant for each word of the text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from franking.diagnosis.denials import CLAUSE, told

__all__ = ["Phrase", "Words", "phrase"]

GAP = 5  # words that may stand between two slots
LIMIT = 400  # words of a text that are looked at

_LINK = re.compile(r"(?:https?://|(?<![\w.-])www\.|(?<![\w.@-])(?:[\w-]+\.)+[a-z]{2,24}/)[^\s<>\"']*")
_MARKS = ",;:.!?"
_NAME = r"[\w-]+(?:\.[\w-]+)+"
_HOST = re.compile(r"(?<![\w.@-])(?:[\w-]+\.)+[a-z]{2,24}(?=\[|:\d)")  # as logs write it: mx.example.com[192.0.2.1]:25
_NEGATED = (("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("n't", " not"))
_CYRILLIC = (*"abvgdezh"[:6], "zh", *"ziyklmnoprstuf", "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya")
_LETTERS = str.maketrans({**dict(enumerate(_CYRILLIC, 0x430)), 0x451: "e"}) | str.maketrans(
    {"ł": "l", "ß": "ss", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "’": "'", "`": "'"}
)


class Words:
    """The plain words of a text, the first ``LIMIT`` of them, and where each stands."""

    __slots__ = ("_places", "words")

    def __init__(self, text: str) -> None:
        if "\\x" in text:
            text = _decoded(text)
        chunks = [_name_or_words(chunk) for chunk in text.casefold().translate(_LETTERS).split()]
        text = unicodedata.normalize("NFKD", " ".join(chunks))
        text = "".join([char for char in text if not unicodedata.combining(char)])
        for short, long in _NEGATED:
            text = text.replace(short, long)
        clauses = (" ".join(re.findall(r"[^\W_]+|@", clause)) for clause in CLAUSE.split(text))
        self.words = " ".join(map(told, filter(None, clauses))).split()[:LIMIT]
        self._places: dict[str, list[int]] = {}
        for place, word in enumerate(self.words):
            self._places.setdefault(word, []).append(place)

    def places(self, wanted: str) -> Iterable[int]:
        """Return where a word stands, or any word that begins so (``word*``)."""
        if not wanted.endswith("*"):
            return self._places.get(wanted, ())
        return [place for word, all_ in self._places.items() if word.startswith(wanted[:-1]) for place in all_]

    def ends(self, way: str) -> Iterable[int]:
        """Return the places behind a way of saying it: a word, or several joined by ``_``."""
        if "_" not in way:
            return [place + 1 for place in self.places(way)]
        return self._ends_of_several(*way.split("_"))

    def _ends_of_several(self, first: str, *rest: str) -> Iterable[int]:
        for place in self.places(first):
            following = self.words[place + 1 : place + 1 + len(rest)]
            if len(following) == len(rest) and all(map(_like, following, rest)):
                yield place + 1 + len(rest)


def _decoded(text: str) -> str:
    """Read octets of an older character set, which ``text.py`` shows as ``\\xe1``: Windows's of Central Europe where it
    has letters that ISO's has not; accents are dropped later, so that those of the West are read too.
    """
    charset = "cp1250" if re.search(r"\\x[89]", text) else "iso-8859-2"
    return re.sub(r"\\x([89a-f][0-9a-f])", lambda octet: bytes.fromhex(octet[1]).decode(charset, "replace"), text)


def _name_or_words(chunk: str) -> str:
    """Leave links out, and put ``@`` in the place of an address, a host's name, or a number with dots."""
    if "/" in chunk or "www." in chunk:
        chunk = _LINK.sub(" ", chunk)
    bare = chunk.strip(f"<>()[]{{}}\"'{_MARKS} ")
    if "@" in bare or re.fullmatch(_NAME, bare):
        return "@" + chunk[len(chunk.rstrip(_MARKS)) :]
    return _HOST.sub("@", chunk)


class Phrase:
    """A phrase that is looked for; ``weight`` is the number of words that it demands."""

    __slots__ = ("_besides", "_slots", "weight")

    def __init__(self, text: str) -> None:
        text, *besides = text.split(" & ")
        self._besides = tuple(map(Phrase, besides))
        slots: list[tuple[tuple[str, ...], bool, int]] = []
        gap = 0
        for slot in text.split():
            if slot == "~":
                gap = GAP
                continue
            ways = tuple(map(sys.intern, slot.removeprefix("?").split("|")))
            slots.append((ways, slot.startswith("?"), gap))
            gap = 0
        self._slots = tuple(slots)
        self.weight = sum(1 + min(way.count("_") for way in ways) for ways, optional, _ in slots if not optional)
        self.weight += sum(more.weight for more in self._besides)

    def among(self, words: Words) -> bool:
        """Return whether the words say this phrase somewhere."""
        ends: set[int] | None = None  # behind the slots so far; None: anywhere
        for ways, optional, gap in self._slots:
            after = {
                end
                for way in ways
                for end in words.ends(way)
                if ends is None or any(end - 1 - way.count("_") - more in ends for more in range(gap + 1))
            }
            if optional:
                after |= {end + more for end in ends or () for more in range(gap + 1)}
            if not after:
                return False
            ends = after
        return all(more.among(words) for more in self._besides)


def _like(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


@lru_cache(maxsize=2048)
def phrase(text: str) -> Phrase:
    """Return a phrase, read once."""
    return Phrase(text)
