"""The moving line of ``send-many``: what it says, how it fits, and how often it is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from franking_cli.batch.progress import BETWEEN, Progress, count_lines
from franking_cli.console import Console


def test_the_moving_line_fits_and_tells_the_truth() -> None:
    progress = Progress(Console(), 10_000, clock=lambda: 0.0)
    line = progress.line(1_000, 500, 3, 10.0, 80)
    assert line.split("  ")[2:] == ["1,500 of 10,000", "100/s", "1:25 left", "3 not accepted"]
    assert len(line) <= 80
    assert progress.line(2, 0, 0, 60.0, 80).endswith("2 of 10,000  2/min  83:19:00 left")
    assert len(progress.line(1_000, 0, 3, 10.0, 30)) < 30
    assert progress.line(20_000, 0, 0, 10.0, 80).endswith("20,000 of 20,000  2,000/s  0:00 left")


@pytest.mark.parametrize(
    ("text", "header", "lines"), [("", False, 0), ("a\nb\n", False, 2), ("a\nb", False, 2), ("to\na\nb", True, 2)]
)
def test_lines_are_counted(tmp_path: Path, text: str, header: bool, lines: int) -> None:
    (tmp_path / "x").write_text(text)
    assert count_lines(tmp_path / "x", header=header) == lines


class Line(Console):
    """A console that remembers its passing lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.stands = False

    @property
    def shows_passing(self) -> bool:
        return self.stands

    def passing(self, text: str) -> None:
        self.lines.append(text)
        self.stands = True


def test_the_line_is_drawn_ten_times_a_second_and_again_at_once_where_something_took_it_away() -> None:
    now = [0.0]
    console = Line()
    progress = Progress(console, 10, clock=lambda: now[0])
    progress.show(0)
    assert len(console.lines) == 1, "at once"
    now[0] += BETWEEN / 2
    progress.show(1)
    assert len(console.lines) == 1
    now[0] += BETWEEN / 2
    progress.show(2, earlier=1, bad=1)
    assert len(console.lines) == 2
    assert "3 of 10" in console.lines[-1] and console.lines[-1].endswith("1 not accepted")
    console.stands = False
    progress.show(3)
    assert len(console.lines) == 3


def test_hours_and_minutes_are_told_apart() -> None:
    progress = Progress(Console(), 1_000, clock=lambda: 0.0)
    assert progress.line(1, 0, 0, 3.0, 120).endswith("20/min  49:57 left")
    assert progress.line(1, 0, 0, 4.0, 120).endswith("15/min  1:06:36 left")
    assert progress.line(10, 0, 0, 1.0, 120).endswith("10/s  1:39 left")


def test_a_bar_of_nothing_is_full_and_one_of_half_is_half() -> None:
    progress = Progress(Console(), 0, clock=lambda: 0.0)
    assert progress.line(0, 0, 0, 0.0, 80) == f"  {'#' * 40}  0 of 0"
    progress = Progress(Console(), 10, clock=lambda: 0.0)
    assert progress.line(0, 5, 0, 0.0, 80) == f"  {'#' * 20}{'·' * 20}  5 of 10"
    assert progress.line(0, 5, 0, 0.0, 17) == f"  {'#' * 2}{'·' * 2}  5 of 10"
    assert progress.line(0, 5, 0, 0.0, 16) == "5 of 10", "no room for a bar"
