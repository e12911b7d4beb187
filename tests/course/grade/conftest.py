"""From a folder of submissions to marks, with the real command, the real sandbox and the real gradebook."""

import copy
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vglib.course.release import blank

ROOT = Path(__file__).resolve().parents[3]
EXERCISES = ROOT / "exercises"
BESIDE = "bwrap", "setpriv"


@pytest.fixture(scope="session", autouse=True)
def sandboxed(unavailable):
    """Nothing here can be tried without the sandbox."""
    if not sys.platform.startswith("linux"):
        pytest.skip("grading needs Linux")
    missing = [name for name in BESIDE if shutil.which(name) is None]
    if missing:
        unavailable(f"missing {', '.join(missing)}: apt-get install bubblewrap util-linux")


class Notebooks:
    """Notebooks as learners hand them in."""

    @staticmethod
    def solved(topic="initialization"):
        """Return the exercise with its solutions."""
        return json.loads((EXERCISES / f"{topic}.ipynb").read_text(encoding="utf-8"))

    @classmethod
    def blank(cls, topic="initialization"):
        """Return the exercise as it is released."""
        return blank(cls.solved(topic))

    @classmethod
    def half(cls, topic="initialization"):
        """Return the exercise with every second task answered, and the tasks that are."""
        notebook, right = cls.solved(topic), []
        empty = {cell["id"]: cell for cell in cls.blank(topic)["cells"]}
        answers = [
            cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution", False)
        ]
        for number, cell in enumerate(answers):
            if number % 2:
                cell["source"] = empty[cell["id"]]["source"]
            else:
                right.append(cell["metadata"]["nbgrader"]["grade_id"])
        return notebook, right

    @staticmethod
    def points(notebook):
        """Return the points of a notebook's tasks."""
        marks = [cell["metadata"].get("nbgrader", {}) for cell in notebook["cells"]]
        return sum(one["points"] for one in marks if one.get("grade"))

    @staticmethod
    def with_cells(notebook, *cells):
        """Return a copy with cells of the learner's own at its end."""
        notebook = copy.deepcopy(notebook)
        for number, (kind, source) in enumerate(cells):
            cell = {"cell_type": kind, "id": f"own-{number}", "metadata": {}, "source": source}
            if kind == "code":
                cell |= {"outputs": [], "execution_count": None}
            notebook["cells"].append(cell)
        return notebook

    @staticmethod
    def write(path, notebook):
        """Write a notebook, or any text or bytes in its place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(notebook, bytes):
            path.write_bytes(notebook)
        else:
            text = notebook if isinstance(notebook, str) else json.dumps(notebook)
            path.write_text(text, encoding="utf-8")
        return path


class Course:
    """A folder of submissions, its course folder, and the command."""

    def __init__(self, folder):
        self.submissions, self.path = folder / "in", folder / "in-graded"
        self.submissions.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}

    def hand_in(self, student, notebook, topic="initialization"):
        """Write one submission."""
        return Notebooks.write(self.submissions / student / f"{topic}.ipynb", notebook)

    def command(self, *options):
        """Return the command line."""
        return [sys.executable, "-m", "vglib", "grade", str(self.submissions), *map(str, options)]

    def grade(self, *options, code=0, before=()):
        """Run the command; return what it said."""
        command = [*before, *self.command(*options)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=240)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return SimpleNamespace(out=done.stdout, err=done.stderr)

    def table(self, name="grades"):
        """Return the rows of a table."""
        with open(self.path / f"{name}.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def marks(self):
        """Return score and points by student and topic, as the table has them."""
        return {(row["student"], row["topic"]): (row["score"], row["points"]) for row in self.table()}

    def records(self):
        """Return all records by student and topic."""
        paths = (self.path / "records").glob("*/*.json")
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return {(record["student"], record["topic"]): record for record in found}

    def book(self, url=None):
        """Return nbgrader's own gradebook; close it."""
        from nbgrader.api import Gradebook

        return Gradebook(url or f"sqlite:///{self.path / 'gradebook.db'}", "vanishing-gradients")

    def scores(self, url=None):
        """Return the scores of nbgrader's gradebook by student and topic."""
        book = self.book(url)
        try:
            return {
                (one.student.id, assignment.name): one.score
                for assignment in book.assignments
                for one in assignment.submissions
            }
        finally:
            book.close()


@pytest.fixture(scope="session")
def notebooks():
    """Notebooks as learners hand them in."""
    return Notebooks


@pytest.fixture
def course(tmp_path):
    """A folder of submissions and the command that grades it."""
    return Course(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same for all tests of a module."""
    return Course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="session")
def new_course():
    """Make another one."""
    return Course
