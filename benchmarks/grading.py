"""``python -m benchmarks grading``: grading in a sandbox beside nbgrader as it comes.

Both grade notebooks of a topic that imports no PyTorch. nbgrader runs each in a kernel of its own, without a
sandbox and one after the other, as its command does. Told are seconds a submission and their
ratio, how long a sandbox takes to start beside a plain kernel, and the memory of the grading process when
submissions print without end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import report
from .suite import Row

TOPIC = "initialization"
ROOT = Path(__file__).resolve().parents[1]
LATEST = Path(__file__).parent / "grading.json"
# Of every three learners one leaves all cells empty.
EMPTY = 3
FLOOD = "\n\nfor number in range(10**9):\n    print('x' * 1000)\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks grading", description=__doc__)
    parser.add_argument("--submissions", type=int, default=60, metavar="N", help="for us (default: 60)")
    parser.add_argument("--theirs", type=int, default=8, metavar="N", help="for nbgrader (default: 8)")
    parser.add_argument("--output", type=Path, default=LATEST, metavar="FILE", help=f"default: {LATEST.name}")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = _ours(folder, arguments.submissions)
        theirs = _theirs(folder, arguments.theirs)
        rows = [
            Row("seconds a submission, two at a time", ours, "s", theirs, theirs / ours, [], at_most=0.5),
            _starts(),
            Row("memory when submissions print without end", _memory(folder), "MB", at_most=250.0),
        ]
    print(report.table(rows))
    busy = report.busy()
    if busy:
        print(f"\nbenchmarks: {busy}", file=sys.stderr)
    else:
        report.write(arguments.output, rows, "cpu", 1)
        print(f"\nwritten to {arguments.output}")
    return 1 if any(row.met is False for row in rows) else 0


def _hand_in(folder: Path, count: int, extra: str = "") -> Path:
    """Write notebooks as learners hand them in."""
    from vglib.course.release import blank

    solved = json.loads((ROOT / "exercises" / f"{TOPIC}.ipynb").read_text(encoding="utf-8"))
    for number in range(count):
        notebook = blank(solved) if number % EMPTY == EMPTY - 1 else json.loads(json.dumps(solved))
        if extra:
            notebook["cells"][-1] = {
                "cell_type": "code",
                "metadata": {},
                "outputs": [],
                "source": extra,
                "execution_count": None,
                "id": "extra",
            }
        path = folder / f"learner-{number:03d}" / TOPIC / f"{TOPIC}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def _run(command: list[str], cwd: Path) -> tuple[float, int]:
    """Run a command; return its seconds, and the peak memory in bytes of the process itself."""
    # nbgrader calls its tools by their names.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    environment = {**os.environ, "PATH": path}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"benchmarks: {' '.join(command)} failed:\n{said.decode()[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def _ours(folder: Path, count: int) -> float:
    """Return seconds a submission, the start of the command taken off: a folder of one tells it."""
    grade = [sys.executable, "-m", "vglib", "grade", "--jobs", "2", "--no-feedback"]
    one, _ = _run([*grade, str(_hand_in(folder / "one", 1))], ROOT)
    many, _ = _run([*grade, str(_hand_in(folder / "many", count))], ROOT)
    return (many - one) / (count - 1)


def _theirs(folder: Path, count: int) -> float:
    """Return seconds a submission of ``nbgrader autograde``, the start taken off in the same way."""
    course = folder / "nbgrader"
    source = course / "source" / TOPIC
    source.mkdir(parents=True)
    text = (ROOT / "exercises" / f"{TOPIC}.ipynb").read_text(encoding="utf-8")
    (source / f"{TOPIC}.ipynb").write_text(text, encoding="utf-8")
    nbgrader = [sys.executable, "-m", "nbgrader"]
    _run([*nbgrader, "generate_assignment", TOPIC, "--force"], course)
    _hand_in(course / "submitted", count)
    one, _ = _run([*nbgrader, "autograde", TOPIC, "--student", "learner-000", "--force"], course)
    many, _ = _run([*nbgrader, "autograde", TOPIC, "--force"], course)
    graded = len(list((course / "autograded").glob("*/*/*.ipynb")))
    if graded != count:
        sys.exit(f"benchmarks: nbgrader graded {graded} of {count} submissions")
    return (many - one) / (count - 1)


def _starts(rounds: int = 7) -> Row:
    """Compare the start of a sandbox, ready to run a cell, with that of a plain kernel."""
    from jupyter_client.manager import start_new_kernel

    from vglib.course.grading.limits import Limits
    from vglib.course.grading.session import Session

    ours, theirs = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        with Session(Limits()) as session:
            session.cell("1")
            ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        manager, client = start_new_kernel()
        client.execute_interactive("1", output_hook=lambda message: None)
        theirs.append(time.perf_counter() - start)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    middle = [statistics.median(values) for values in (ours, theirs, ratios)]
    # It may take 0.2 s longer than a plain kernel.
    most = round(middle[1] + 0.2, 2)
    return Row(
        "start of a sandbox / of a plain kernel", middle[0], "s", middle[1], middle[2], ratios, at_most=most
    )


def _memory(folder: Path) -> float:
    """Return the peak memory of grading, in megabytes, over submissions that print without end."""
    flood = _hand_in(folder / "flood", 6, FLOOD)
    grade = [sys.executable, "-m", "vglib", "grade", "--jobs", "2", "--no-feedback", str(flood)]
    _, peak = _run(grade, ROOT)
    return peak / 1e6


if __name__ == "__main__":
    sys.exit(main())
