"""What starting costs, beside comparable programs in the same run: python tests/benchmarks/startup.py [--json]

Wall-clock times of whole processes, the best of many that take turns; the budgets are ratios, as times depend on the
machine. Each program runs with its bytecode compiled, as installed programs do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers.daemon import HOST
from servers.sink import Sink

Rows = dict[str, dict[str, float]]

TYPER = """
import sys
import typer
app = typer.Typer(
    name="other",
    help="A program of as many commands.",
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    no_args_is_help=True,
)
@app.callback(epilog="The end.")
def root(version: bool = typer.Option(False, "--version", help="Show the version and exit.")): ...
{commands}
app(prog_name="other")
"""
COMMAND = """
@app.command("{name}", help="{help}")
def command_{number}(
    account: str = typer.Argument(None, help="An account."), json: bool = typer.Option(False, "--json", help="JSON.")
): ...
"""
SMTPLIB = """
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "info@example.cz", "jana@example.com", "x"
message.set_content("Hello")
with smtplib.SMTP("{host}", {port}, local_hostname="client.test") as client:
    client.send_message(message)
"""
MAIL = b"From: info@example.cz\nTo: jana@example.com\nSubject: x\n\nHello\n"


def best(commands: Sequence[Sequence[str]], rounds: int, *, env: dict[str, str], stdin: bytes = b"") -> list[float]:
    """Return each command's best time in milliseconds; they take turns, so that a busy machine is busy for all."""
    times = [float("inf")] * len(commands)
    for number in range(rounds + 1):
        for place, command in enumerate(commands):
            started = time.perf_counter()
            done = subprocess.run(command, input=stdin, env=env, capture_output=True, check=False)
            spent = (time.perf_counter() - started) * 1000
            if done.returncode:
                raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
            if number:  # the first round fills caches and writes bytecode
                times[place] = min(times[place], spent)
    return times


def program(name: str) -> list[str]:
    """Return the command of an installed console script, beside this interpreter."""
    return [str(Path(sys.executable).with_name(name))]


def measure(*, rounds: int = 20) -> Rows:
    """Measure everything: milliseconds, and the ratio that has a budget."""
    from franking_cli.app import COMMANDS

    with tempfile.TemporaryDirectory() as directory, Sink() as sink:
        env = {
            **os.environ,
            "HOME": directory,
            "XDG_CONFIG_HOME": directory,
            "PYTHONPYCACHEPREFIX": f"{directory}/cache",
            "NO_COLOR": "1",
        }
        env["FRANKING_CONFIG"], env["FRANKING_STATE_DIR"] = f"{directory}/accounts.toml", f"{directory}/state"
        for unwanted in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
            env.pop(unwanted, None)
        other = Path(directory, "other.py")
        commands = "".join(
            COMMAND.format(name=name, help=text, number=number) for number, (name, text) in enumerate(COMMANDS.items())
        )
        other.write_text(TYPER.format(commands=commands))
        script = Path(directory, "deliver.py")
        script.write_text(SMTPLIB.format(host=HOST, port=sink.port))
        Path(directory, "accounts.toml").write_text(
            f'default = "sink"\n[accounts.sink]\nprovider = "smtp"\nfrom = "info@example.cz"\nhost = "{HOST}"\n'
            f'port = {sink.port}\nsecurity = "none"\n'
        )
        python = [sys.executable, "-c"]
        pairs = {
            "import franking": ([*python, "import franking"], [*python, "import smtplib, email.message"]),
            "franking --help": ([*program("franking"), "--help"], [sys.executable, str(other), "--help"]),
            "franking-sendmail --version": ([*program("franking-sendmail"), "--version"], [*python, "pass"]),
            "franking-sendmail -t": ([*program("franking-sendmail"), "-t"], [sys.executable, str(script)]),
        }
        found: Rows = {}
        for name, pair in pairs.items():
            mine, theirs = best(pair, rounds, env=env, stdin=MAIL)
            found[name] = {"ms": mine, "other_ms": theirs, "ratio": mine / theirs}
        return found


BUDGETS = {
    "import franking": ("import smtplib, email.message", "≤ 1.3"),
    "franking --help": ("a Typer program of as many commands", "≤ 1.15"),
    "franking-sendmail --version": ("python -c pass", "≤ 4"),
    "franking-sendmail -t": ("a script with smtplib", "≤ 1.3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    found = measure()
    if as_json:
        print(json.dumps(found))
        return
    print(f"{'':30}{'ms':>8}  {'beside':38}{'ms':>8}{'ratio':>8}  budget")
    for name, row in found.items():
        beside, budget = BUDGETS[name]
        print(f"{name:30}{row['ms']:8.1f}  {beside:38}{row['other_ms']:8.1f}{row['ratio']:8.2f}  {budget}")


if __name__ == "__main__":
    main()
