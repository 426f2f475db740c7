"""What was measured as Markdown and as a plot: ratios first. Measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.smtp import Rows

BASE = "smtplib"


def budgets(found: dict[str, Rows], wanted: dict[str, dict[str, tuple[str, str, float]]]) -> str:
    """Return a table of the budgets: what was measured, and whether it holds.

    ``wanted``: part → row → (column, relation, number).
    """
    lines = ["| what | measured | budget | |", "|---|---|---|---|"]
    for part, rows in wanted.items():
        for name, (column, relation, number) in rows.items():
            row = found.get(part, {}).get(name)
            if row is None or column not in row:
                continue
            value = row[column]
            holds = value >= number if relation == "≥" else value <= number
            unit = {"round_trips": "", "count": "", "MiB": " MiB", "KiB": " KiB", "ms": " ms"}.get(column, " ×")
            if "MiB" in name:
                unit = " MiB"
            lines.append(
                f"| {part}: {name} | {value:.2f}{unit} | {relation} {number:g} | {'holds' if holds else '**missed**'} |"
            )
    return "\n".join(lines)


def throughput(found: dict[str, dict[str, float]], peers: list[Peer], *, tls: bool) -> str:
    """Return a table of messages per second as multiples of the standard library's."""
    columns = [name for name in found if name.endswith(", TLS") is tls]
    lines = [
        "| | " + " | ".join(name.removesuffix(", TLS") for name in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for peer in peers:
        cells = [
            f"{found[name][peer.name] / found[name][BASE]:.2f}" if peer.name in found[name] else "–" for name in columns
        ]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {peer.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def versions(peers: list[Peer], environment: dict[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in environment.items()]
    lines += [
        f"- {peer.name.partition(',')[0]} {peer.version}{f' ({peer.note})' if peer.note else ''}"
        for peer in peers
        if peer.version and peer.name not in ("franking, send_many", "franking, send")
    ]
    missing = [peer.name for peer in peers if not peer.version]
    return "\n".join(lines + ([f"- not installed: {', '.join(missing)}"] if missing else []))


def plot(found: dict[str, dict[str, float]], peers: list[Peer], path: Path, columns: tuple[str, ...]) -> None:
    """Draw one panel of bars for each column: multiples of the standard library's rate."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [name for name in columns if name in found]
    figure, axes = pyplot.subplots(
        1, max(len(shown), 1), figsize=(4.6 * max(len(shown), 1), 3.6), sharey=True, squeeze=False
    )
    names = [peer.name for peer in reversed(peers) if peer.version]
    for axis, column in zip(axes[0], shown, strict=True):
        values = [found[column].get(name, 0.0) / found[column][BASE] for name in names]
        bars: Any = axis.barh(
            names, values, color=["#b4232a" if name.startswith("franking") else "#8a94a0" for name in names]
        )
        axis.bar_label(bars, labels=[f"{value:.2g}" if value else "–" for value in values], padding=3, fontsize=8)
        axis.axvline(1.0, color="#444444", linewidth=0.8)
        axis.set_title(column, fontsize=10)
        axis.set_xmargin(0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("messages per second, as a multiple of smtplib's", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` of a page."""
    before, opening, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, closing, after = rest.partition(f"<!-- /{name} -->")
    if not opening or not closing:
        raise ValueError(f"{page.name} has no place for {name!r}")
    page.write_text(f"{before}{opening}\n{text}\n\n{closing}{after}")
