r"""The octets of a message as they come → as they are kept: where they end, dots taken away, every line end CRLF.

The end is CRLF.CRLF and nothing else: where a server takes LF.LF, LF.CRLF or CR.CR for the end too, somebody's text
smuggles in messages of its own (CVE-2023-51764). One exception: a client that has ended every command with a bare LF
may end its data with LF.LF. A lone CR becomes CRLF, a bare LF a line end. No I/O, no decisions.
"""

from __future__ import annotations

import re

__all__ = ["Data", "Lines"]

_END = b"\r\n.\r\n"
# what a client whose lines all end with a bare LF may end with; never a mixture of both
_END_LF = re.compile(rb"(?<!\r)\n\.\n|\r\n\.\r\n")
# a dot at the very end stays: what is held back behind it begins with a line end
_STUFFED = re.compile(rb"\r\n\.(?![\r\n]|\Z)")
_STUFFED_LF = re.compile(rb"\n\.(?![\r\n]|\Z)")
_PREFIXES = tuple(_END[:length] for length in range(4, 0, -1))
_PREFIXES_LF = (*_PREFIXES, b"\n.", b"\n")


class Lines:
    """Note what octets are like, and give them whole lines. ``bare`` and ``nul``: such were there; ``eight_bit``."""

    __slots__ = ("_after_cr", "bare", "eight_bit", "nul", "size")

    def __init__(self) -> None:
        self.size = 0
        self.bare = self.nul = self.eight_bit = self._after_cr = False

    def take(self, octets: bytes) -> bytes:
        """Return octets with CRLF line ends; a CR at their end is completed by what follows."""
        if self._after_cr:
            self._after_cr = False
            octets = b"\r" + octets
        if octets.endswith(b"\r"):
            self._after_cr, octets = True, octets[:-1]
        # looking for single octets is a quarter of the work that counting pairs of them is
        if octets.replace(b"\r", b"").replace(b"\n", b"\r\n") != octets:
            self.bare = True
            octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        self.nul = self.nul or octets.find(b"\0") >= 0  # "in" would try first whether that is a number
        self.eight_bit = self.eight_bit or not octets.isascii()
        self.size += len(octets)
        return octets

    def end(self) -> bytes:
        """Return what is still owed: the line end that a last CR was."""
        if not self._after_cr:
            return b""
        self._after_cr, self.bare = False, True
        self.size += 2
        return b"\r\n"


class Data:
    """Read what follows ``DATA``: feed it, until ``done``; ``rest`` is then what belongs to the next command."""

    __slots__ = ("_held", "_lf", "_skip", "done", "lines", "rest")

    def __init__(self, *, bare_lf: bool) -> None:
        self._lf = bare_lf
        # the line end of DATA itself stands before a lone dot at the very beginning
        self._held = b"\n" if bare_lf else b"\r\n"
        self._skip = len(self._held)
        self.lines = Lines()
        self.done = False
        self.rest = b""

    def feed(self, octets: bytes) -> bytes:
        """Return what of the message is known so far."""
        octets = self._held + octets
        start, end = self._border(octets)
        if start >= 0:
            self.done = True
            self.rest = octets[end:]
            octets = octets[: octets.index(b"\n", start) + 1]
            self._held = b""
        else:
            octets = self._without_beginning_of_end(octets)
        if not octets:
            return b""
        stuffed = _STUFFED
        if self._lf:
            stuffed = _STUFFED_LF
        if octets.find(b"\n.") >= 0:
            octets = stuffed.sub(lambda found: found[0][:-1], octets)
        if self._skip:
            octets, self._skip = octets[self._skip :], 0
        kept = self.lines.take(octets)
        return kept + self.lines.end() if self.done else kept

    def _border(self, octets: bytes) -> tuple[int, int]:
        """Return where the end begins and ends, or -1 twice."""
        if self._lf:
            found = _END_LF.search(octets)
            return found.span() if found else (-1, -1)
        at = octets.find(_END)
        return (at, at + 5) if at >= 0 else (-1, -1)

    def _without_beginning_of_end(self, octets: bytes) -> bytes:
        """Hold back what may be the beginning of the end, or of a dot that goes."""
        for prefix in _PREFIXES_LF if self._lf else _PREFIXES:
            if octets.endswith(prefix):
                self._held = octets[-len(prefix) :]
                return octets[: -len(prefix)]
        self._held = b""
        return octets
