"""Break the code on purpose, one place at a time, and see whether the tests notice: ``python tests/mutations [AREA…]``.

Run by hand; pytest does not collect this. Each ``AREA.toml`` beside this file holds mutations: a ``name`` that says
what is broken, the ``file``, ``old`` text that stands in it exactly once, the ``new`` text, and the ``tests`` that must
fail then (files or node ids, quick ones). Everything happens in copies of the tree. A mutation is killed when a test
fails, or does not end in time; the plain tests are tried first, then the others of the same files but those with real
servers.

``--before DIR --layout FILE…`` breaks an older tree in the same places and runs the tests of its own, where a list of
old → new paths (JSON) says what a file was called and the text still stands in it, however it is wrapped.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from older import Older

HERE = Path(__file__).parent
PATIENCE = 120.0
"""Seconds for the tests of one mutation."""
TIERS = ("not process and not matrix and not slow and not real", "(process or matrix or slow) and not real")
MARKERS = ("-o", "markers=process\nmatrix\nslow\nreal")  # an older tree has not all of them
NOT_COPIED = (".git", ".venv*", "__pycache__", ".mypy_cache", ".ruff_cache", ".import_linter_cache", "dist", "site")
NOTHING_SELECTED = 5  # pytest's exit code
_MOMENTS = itertools.count(int(time.time()))


@dataclass(frozen=True)
class Mutation:
    area: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    mutation: Mutation
    outcome: str
    """``killed``, ``survived``, ``skipped``, or ``wrong``: the entry itself, or its tests without it."""
    detail: str = ""
    seconds: float = 0.0


class Tree:
    """A copy of a tree that is mutated, tested and put right again; one thread at a time."""

    def __init__(self, root: Path, where: Path) -> None:
        self.root = where
        self._green: set[str] = set()
        shutil.copytree(root, where, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        python = root / ".venv" / "bin" / "python"
        self._python = sys.executable
        if python.exists():
            self._python = str(python)

    @contextlib.contextmanager
    def mutated(self, file: str, text: str) -> Iterator[None]:
        path = self.root / file
        before = path.read_text("utf-8")
        self._write(path, text)
        try:
            yield
        finally:
            self._write(path, before)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text, "utf-8")
        moment = next(_MOMENTS)  # a moment of its own: no cached bytecode of another text fits
        os.utime(path, (moment, moment))

    def fails(self, tests: tuple[str, ...], *, tiers: tuple[str, ...] = TIERS) -> str:
        """Run tests until one fails; return which, or an empty string. Raises ``ValueError`` where none could run."""
        codes = []
        for tier in tiers:
            code, said = self._pytest(tests, tier)
            if code == 1 or code is None:
                return said
            codes.append(code)
        if set(codes) - {0, NOTHING_SELECTED} or 0 not in codes:
            raise ValueError(said)
        return ""

    def fails_anyway(self, test: str) -> bool:
        """Return whether a test fails without a mutation too; one that passed once is not run again."""
        if test not in self._green and not self.fails((test,)):
            self._green.add(test)
        return test not in self._green

    def _pytest(self, tests: tuple[str, ...], tier: str) -> tuple[int | None, str]:
        sources = [str(self.root / "providers"), str(self.root / "cli")]
        kept = {name: text for name, text in os.environ.items() if name not in ("PYTEST_ADDOPTS", "FRANKING_FUZZ")}
        process = subprocess.Popen(
            [
                self._python,
                "-m",
                "pytest",
                "-q",
                "-x",
                "--tb=no",
                "-rfE",
                *MARKERS,
                "-m",
                tier,
                f"--basetemp={self.root}-tmp",
                *tests,
            ],
            cwd=self.root,
            env={**kept, "PYTHONPATH": os.pathsep.join(sources)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, "time-out"
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
        code: int = process.returncode
        if failed:
            return 1, failed[1]
        return code, "\n".join(said.splitlines()[-3:])


def read(areas: list[str]) -> list[Mutation]:
    """Read the mutations of these areas, or of all. Raises ``SystemExit`` for an area that has none."""
    found = []
    for area in areas or sorted(path.stem for path in HERE.glob("*.toml")):
        path = HERE / f"{area}.toml"
        if not path.exists():
            raise SystemExit(f"there is no {path}")
        for entry in tomllib.loads(path.read_text("utf-8"))["mutation"]:
            entry["tests"] = tuple(entry["tests"].split())
            found.append(Mutation(area, **entry))
    return found


def run_all(mutations: list[Mutation], root: Path, older: Older | None, jobs: int) -> list[Result]:
    """Run every mutation on a copy of ``root``, some at a time, and print each result as it comes."""
    trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()

    def one(mutation: Mutation) -> Result:
        tree = trees.get()
        began = time.monotonic()
        try:
            result = run(mutation, tree, older)
        finally:
            trees.put(tree)
        result = Result(result.mutation, result.outcome, result.detail, time.monotonic() - began)
        print(
            f"{result.outcome:9}{result.seconds:6.1f} s  {mutation.area:9} {mutation.name}  [{result.detail}]",
            flush=True,
        )
        return result

    with tempfile.TemporaryDirectory(prefix="franking-mutations-") as where:
        for number in range(jobs):
            trees.put(Tree(root, Path(where) / str(number)))
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, mutations))


def run(mutation: Mutation, tree: Tree, older: Older | None) -> Result:
    file, tests = mutation.file, mutation.tests
    if older is not None:
        place = older.mutated(tree.root, mutation.file, mutation.old, mutation.new)
        tests = older.tests(tree.root, mutation.tests)
        if place is None or not tests:
            return Result(mutation, "skipped", "the text stands in no older file")
        file, text = place
    else:
        before = (tree.root / file).read_text("utf-8")
        if before.count(mutation.old) != 1:
            return Result(mutation, "wrong", f"the old text stands {before.count(mutation.old)} times in {file}")
        text = before.replace(mutation.old, mutation.new)
    try:
        with tree.mutated(file, text):
            failed = tree.fails(tests)
        if not failed:
            return Result(mutation, "survived", " ".join(tests))
        # a test that fails without the mutation too kills nothing
        if failed != "time-out" and tree.fails_anyway(failed.partition("[")[0]):
            return Result(mutation, "wrong", f"fails without it too: {failed}")
    except ValueError as error:
        return Result(mutation, "wrong", str(error))
    return Result(mutation, "killed", failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", metavar="AREA", help="the name of a .toml beside this file; all without")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the tree to break (this one)")
    parser.add_argument("--before", type=Path, help="break an older tree instead, and run its own tests")
    parser.add_argument("--layout", type=Path, nargs="+", default=[], help="what old paths are called now (JSON)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    arguments = parser.parse_args()
    older = None
    if arguments.before:
        older = Older(arguments.layout)
    mutations = read(arguments.areas)
    results = run_all(mutations, (arguments.before or arguments.root).resolve(), older, arguments.jobs)
    print(f"\n{'area':12}{'killed':>8}{'of':>5}{'skipped':>9}{'wrong':>7}")
    for area in [*dict.fromkeys(mutation.area for mutation in mutations), "all"]:
        counts = Counter(result.outcome for result in results if area in (result.mutation.area, "all"))
        tried = counts["killed"] + counts["survived"]
        print(
            f"{area:12}{counts['killed']:8}{tried:5}{counts['skipped']:9}{counts['wrong']:7}"
            f"{counts['killed'] / max(tried, 1):8.0%}"
        )
    return int(any(result.outcome in ("survived", "wrong") for result in results))


if __name__ == "__main__":
    sys.exit(main())
