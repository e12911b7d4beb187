"""A stranger's notebook and its way through the grader: JSON bytes, rebuilt, run in a sandbox, marked."""

import ast
import json
import os
import shutil
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vglib.course.grading.grade import Job, grade
from vglib.course.grading.intake import parse, rebuild
from vglib.course.grading.limits import Limits
from vglib.course.grading.session import Session
from vglib.course.grading.syscalls import FilterError, program
from vglib.course.release import blank

EXERCISES = Path(__file__).parents[3] / "exercises"
# Its checks are quick, and nothing in it needs PyTorch.
TOPIC = "irnn"
SMALL = Limits(cell=2.0, call=2.0, total=60.0, memory=512 * 2**20)


@pytest.fixture(scope="session")
def sandbox(unavailable):
    """Let a test through on a machine that has sandboxes; elsewhere skip it, in CI fail."""
    for name in ("bwrap", "setpriv"):
        if shutil.which(name) is None:
            unavailable(f"no {name}: apt-get install bubblewrap util-linux libseccomp2")
    try:
        program()
    except FilterError as error:
        unavailable(str(error))


@pytest.fixture(scope="session")
def small():
    """Limits that are soon reached."""
    return SMALL


def nbgrader(cell):
    """Return the mark of a cell."""
    return cell["metadata"].get("nbgrader", {})


class Notebook:
    """The notebook of an honest learner, to be spoilt."""

    def __init__(self):
        source = json.loads((EXERCISES / f"{TOPIC}.ipynb").read_text(encoding="utf-8"))
        self.released = blank(source)
        self.json = deepcopy(self.released)
        self.points = {}
        for cell, solved in zip(self.json["cells"], source["cells"], strict=True):
            about = nbgrader(cell)
            if about.get("solution"):
                cell["source"] = [line for line in solved["source"] if "SOLUTION" not in line]
            if about.get("grade"):
                self.points[about["grade_id"].removesuffix("-check")] = about["points"]
        self.task = list(self.points)[1]

    @property
    def cells(self):
        return self.json["cells"]

    def cell(self, grade_id):
        """Return the cell with this mark."""
        return next(one for one in self.cells if nbgrader(one).get("grade_id") == grade_id)

    def function(self, task=None):
        """Return the name of the function that is asked for."""
        body = ast.parse("".join(self.cell(task or self.task)["source"])).body
        return [node.name for node in body if isinstance(node, ast.FunctionDef)][-1]

    def answer(self, source, task=None):
        """Give another answer; `NAME` is the function that is asked for."""
        self.cell(task or self.task)["source"] = source.replace("NAME", self.function(task))

    def wrong(self):
        """Give an answer that earns nothing."""
        self.answer("def NAME(*inputs):\n    return 0.123")

    def add(self, source, after=None, **about):
        """Add a cell of one's own, at the front or behind a cell with a mark; return it."""
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": source}
        cell = {**cell, "id": f"own-{len(self.cells)}", **about}
        self.cells.insert(self.cells.index(self.cell(after)) + 1 if after else 0, cell)
        return cell


@pytest.fixture
def notebook():
    """The notebook of an honest learner."""
    return Notebook()


@pytest.fixture
def hand_in(sandbox):
    """Return function that grades a notebook as a stranger's file, and sees that nothing is left of it."""

    def graded(notebook, **limits):
        submission = rebuild(notebook.released, parse(json.dumps(notebook.json).encode()))
        result = grade(Job(TOPIC, submission.items, submission.spoilt, (7,), replace(SMALL, **limits)))
        assert [mark.task for mark in result.marks] == list(notebook.points)
        assert [mark.points for mark in result.marks] == list(notebook.points.values())
        assert not survivors()
        return result

    return graded


def survivors():
    """Return the processes of sandboxes made by this one that have not ended within a second."""
    for _ in range(20):
        left = [one for one in _below(os.getpid()) if "bwrap" in one or "vglib.course.guest" in one]
        if not left:
            break
        time.sleep(0.05)
    return left


def _below(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                found.append(Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
            found += _below(int(child))
    return found


@pytest.fixture
def scores():
    """Return function that tells the tasks of a result that earned all from those that earned nothing."""

    def told(result):
        assert all(mark.score in (0.0, mark.points) for mark in result.marks)
        return {mark.task: mark.score > 0 for mark in result.marks}

    return told


@pytest.fixture
def others_count(scores):
    """Return function that asserts that of all tasks only the notebook's target earned nothing."""

    def asserted(notebook, result):
        assert scores(result) == {task: task != notebook.task for task in notebook.points}, result.marks
        return next(mark for mark in result.marks if mark.task == notebook.task)

    return asserted


@pytest.fixture
def session(sandbox):
    """A sandbox with small limits."""
    with Session(replace(SMALL, cell=10.0)) as opened:
        yield opened


@pytest.fixture(scope="session")
def same():
    """Whether two values are alike, kinds and all."""
    return _same


def _same(a, b):
    if isinstance(a, np.ndarray | np.generic):
        return (
            type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
        )
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or a != a)
