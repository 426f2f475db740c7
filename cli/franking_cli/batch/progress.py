"""The moving line of ``send-many``: a bar, how far it is, how fast, how long still, and what was not accepted. On a
terminal only; one line, no library.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from franking_cli.console import Console

__all__ = ["Progress", "count_lines"]

BETWEEN = 0.1  # seconds between two drawings: more often only flickers


def count_lines(path: Path, *, header: bool) -> int:
    """Count the messages of a file roughly, without reading them: its lines."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return max(lines + (last != b"\n") - header, 0)


class Progress:
    """Draw one line again and again; ``earlier`` messages were done before this run and do not count for its speed."""

    def __init__(self, console: Console, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._total, self._clock = console, total, clock
        self._started = clock()
        self._drawn = self._started - BETWEEN

    def show(self, done: int, *, earlier: int = 0, bad: int = 0) -> None:
        """Show the state, unless it was shown just now."""
        now = self._clock()
        if now - self._drawn < BETWEEN and self._console.shows_passing:
            return
        self._drawn = now
        self._console.passing(self.line(done, earlier, bad, now - self._started, self._console.width))

    def line(self, done: int, earlier: int, bad: int, seconds: float, width: int) -> str:
        """Write the line for so many columns: what matters stays, the bar takes what is left."""
        finished = done + earlier
        total = max(self._total, finished)
        words = self._console.words
        parts = [words("send-many.progress", number=finished, all=total)]
        if done and seconds > 0:
            speed = done / seconds
            parts.append(f"{speed:,.0f}/s" if speed >= 10 else f"{speed * 60:,.0f}/min")
            parts.append(words("send-many.left", time=_span((total - finished) / speed)))
        if bad:
            parts.append(words("send-many.not-accepted", number=bad))
        text = "  ".join(parts)
        room = min(width - len(text) - 6, 40)
        if room < 4:
            return text[: width - 1]
        full = room * finished // total if total else room
        return f"  {'#' * full}{'·' * (room - full)}  {text}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
