"""How long composing takes, and how much memory, beside the standard library in the same run: python
tests/benchmarks/compose.py

Prints a table of ratios; --json prints one object. No network: "encoding a file" is everything before the first octet
goes into a socket. Ratios are what counts (the budgets in parentheses), as times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

import franking
from franking.message.address import Address
from franking.message.prepare import prepare

SENDER = Address.parse("Novák <info@novak.cz>")
ENGLISH = ("Dear customer, this is a line of some seventy characters in plain text.\n" * 29)[:2048]
CZECH = ("Vážený zákazníku, zde je řádek o několika desítkách znaků, jak se píší.\n" * 29)[:2048]


def ours(text: str, subject: str, number: int) -> bytes:
    return franking.Message(to=[f"Jana <jana{number}@example.cz>"], subject=f"{subject} {number}", text=text).as_bytes(
        SENDER
    )


def theirs(text: str, subject: str, number: int) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        str(SENDER),
        f"Jana <jana{number}@example.cz>",
        f"{subject} {number}",
    )
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="novak.cz")
    message.set_content(text)
    return message.as_bytes()


def our_file(path: Path) -> int:
    message = franking.Message(to="jana@example.cz", subject="File", text="Here it is.", attachments=[path])
    return sum(len(chunk) for chunk in prepare(message, sender=SENDER).content.chunks(bcc=False))


def their_file(path: Path) -> int:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = str(SENDER), "jana@example.cz", "File"
    message.set_content("Here it is.")
    message.add_attachment(path.read_bytes(), maintype="application", subtype="octet-stream", filename=path.name)
    octets = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    return len(smtplib._quote_periods(octets))  # type: ignore[attr-defined]  # what smtplib's DATA does before it sends


def side_by_side(first: Callable[[int], object], second: Callable[[int], object], rounds: int) -> tuple[float, float]:
    """Return the best seconds of each; they take turns, so that a busy machine is busy for both."""
    best = [float("inf"), float("inf")]
    for number in range(rounds):
        for place, run in enumerate((first, second)):
            started = time.perf_counter()
            run(number)
            best[place] = min(best[place], time.perf_counter() - started)
    return best[0], best[1]


def repeated(run: Callable[[int], object], times: int) -> Callable[[int], object]:
    def many(number: int) -> None:
        for each in range(times):
            run(number * times + each)

    return many


PEAK = """
import sys
sys.path[:0] = {path!r}
from benchmarks import compose
from pathlib import Path
import mimetypes, email.message, email.header, smtplib
compose.{function}(Path({small!r}))
idle = compose.highest()
compose.{function}(Path({large!r}))
print(compose.highest() - idle)
"""


def highest() -> float:
    """Return this process's highest resident memory in MiB. (getrusage would count what the parent had before exec.)"""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def peak(function: str, small: Path, large: Path) -> float:
    """Return the MiB by which a fresh process grows over what it needs for an empty file."""
    script = PEAK.format(path=sys.path, function=function, small=str(small), large=str(large))
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def measure(*, messages: int = 300, rounds: int = 7, file_size: int = 25_000_000) -> dict[str, dict[str, float]]:
    """Measure everything; times in milliseconds for one message, memory in MiB."""
    found: dict[str, dict[str, float]] = {}
    for name, text, subject in (("2 KiB, ASCII", ENGLISH, "Invoice"), ("2 KiB, Czech", CZECH, "Vyúčtování č.")):
        mine, other = side_by_side(
            repeated(lambda number, text=text, subject=subject: ours(text, subject, number), messages),  # type: ignore[misc]
            repeated(lambda number, text=text, subject=subject: theirs(text, subject, number), messages),  # type: ignore[misc]
            rounds,
        )
        found[name] = {"ms": mine / messages * 1000, "stdlib_ms": other / messages * 1000, "ratio": other / mine}
    with tempfile.TemporaryDirectory() as directory:
        large, small = Path(directory, "large.bin"), Path(directory, "small.bin")
        large.write_bytes(b"\x00\xff7e!" * (file_size // 5))
        small.write_bytes(b"")
        mine, other = side_by_side(lambda _: our_file(large), lambda _: their_file(large), max(1, rounds // 2))
        found["file"] = {"ms": mine * 1000, "stdlib_ms": other * 1000, "ratio": other / mine}
        found["file, MiB"] = {"ms": peak("our_file", small, large), "stdlib_ms": peak("their_file", small, large)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    print(f"{'':24}{'franking':>12}{'stdlib':>12}{'ratio':>9}  budget")
    for name, budget in (("2 KiB, ASCII", "≥ 10"), ("2 KiB, Czech", "≥ 10"), ("file", "≥ 6 (25 MB)")):
        row = found[name]
        print(f"{name:24}{row['ms']:9.3f} ms{row['stdlib_ms']:9.3f} ms{row['ratio']:9.1f}  {budget}")
    row = found["file, MiB"]
    print(f"{'file, peak memory':24}{row['ms']:8.1f} MiB{row['stdlib_ms']:8.1f} MiB{'':9}  ≤ 8 MiB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
