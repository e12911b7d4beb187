"""Everything that has to pass: linters, tests, exercises, the book and its pages."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vglib.course.checkout import require, root

# pytest: all passed; and nothing collected, which a selection such as -k may well leave.
_PASSED, _EMPTY = 0, 5


@dataclass(frozen=True)
class Outcome:
    """What one step came to.

    Attributes
    ----------
    name
        Name of the step.
    passed, failed, skipped
        Numbers of tests; a step that holds no tests counts as one.
    seconds
        Wall-clock time.
    """

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def run(arguments: Sequence[str]) -> int:
    """Run every step, also after a failure, and print a table.

    Parameters
    ----------
    arguments
        Handed on to pytest.

    Returns
    -------
    int
        0 if everything passed, else 1.
    """
    folder = root()
    require("test", "ruff", "importlinter", "pytest", "xdist", "nbval", "playwright", "jupyter_book")
    outcomes = []
    for name, command in steps(folder, arguments):
        print(f"\n=== {name}", flush=True)
        outcomes.append(_step(folder, name, command, selected=bool(arguments)))
    print("\n" + table(outcomes))
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def steps(folder: Path, arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """List the steps in order, each a name and a command.

    Parameters
    ----------
    folder
        Root of the checkout.
    arguments
        Handed on to pytest.
    """
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest", "-q"]
    parallel = ["-n", "2"]
    # The cells of a notebook need one kernel; the tests of a page share what they have opened.
    by_file = [*parallel, "--dist", "loadfile"]
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    # These look at the built book.
    pages = ["tests/book", "tests/course/test_chapters.py"]
    others = [option for path in pages for option in ("--ignore", path)]
    listed = [
        ("ruff check", [*python, "ruff", "check", "."]),
        ("ruff format", [*python, "ruff", "format", "--check", "."]),
        ("imports", [sys.executable, "-c", linter]),
        ("tests", [*pytest, *parallel, "tests", *others, *arguments]),
    ]
    if list((folder / "exercises").glob("*.ipynb")):
        listed.append(("exercises", [*pytest, *by_file, "--nbval", "exercises", *arguments]))
    listed.append(("book", [*python, "vglib", "book", "--quiet"]))
    listed.append(("pages", [*pytest, *by_file, *pages, *arguments]))
    return listed


def _step(folder: Path, name: str, command: list[str], *, selected: bool) -> Outcome:
    """Run one step and count."""
    report = folder / "_build" / "reports" / f"{name.replace(' ', '-')}.xml"
    is_pytest = "pytest" in command
    if is_pytest:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        command = [*command, f"--junit-xml={report}"]
    # Two workers at a time, each with one thread; and what a page computes must not depend on it either.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    environment.pop("VGLIB_STATIC", None)
    start = time.perf_counter()
    status = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    seconds = time.perf_counter() - start
    if not is_pytest:
        return Outcome(name, int(status == 0), int(status != 0), 0, seconds)
    passed, failed, skipped = count(report)
    if status != _PASSED and not (status == _EMPTY and selected):
        # A crash, or an error before the first test.
        failed = max(failed, 1)
    return Outcome(name, passed, failed, skipped, seconds)


def count(report: Path) -> tuple[int, int, int]:
    """Count the tests that passed, failed (errors included) and were skipped in a JUnit report.

    Parameters
    ----------
    report
        The file; one that is not there, or not whole, counts nothing.
    """
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own file
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0
    total, failures, errors, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out the outcomes; the last line counts all that passed and all that failed.

    Parameters
    ----------
    outcomes
        One a step.
    """
    lines = [f"{'step':<14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    lines += [
        f"{one.name:<14}{one.passed:>8}{one.failed:>8}{one.skipped:>9}{one.seconds:>9.1f}" for one in outcomes
    ]
    passed = sum(one.passed for one in outcomes)
    failed = sum(one.failed for one in outcomes)
    return "\n".join([*lines, "", f"{passed} passed, {failed} failed"])
