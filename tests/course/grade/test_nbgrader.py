"""nbgrader agrees with the marks, shows them, lets an instructor change them, and grades nothing itself."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

nbgrader = pytest.importorskip("nbgrader")
ROOT = Path(__file__).resolve().parents[3]
NAME = "Zoë O'Brien & Söhne [2] 50%"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def graded(shared, notebooks):
    """A course with right, half right, wrong and hostile answers."""
    shared.hand_in("ada", notebooks.solved())
    shared.hand_in(NAME, notebooks.half()[0])
    shared.hand_in(NAME, notebooks.solved("irnn"), "irnn")
    own = ("markdown", HOSTILE), ("code", f"print({HOSTILE!r})")
    shared.hand_in("eve", notebooks.with_cells(notebooks.blank(), *own))
    shared.grade()
    return shared


@pytest.fixture
def at_work(graded, tmp_path):
    """A function that runs nbgrader in the course folder, with nobody's configuration but the folder's."""
    variables = {"HOME": tmp_path / "home", "JUPYTER_CONFIG_DIR": tmp_path / "config"}
    variables |= {"JUPYTER_DATA_DIR": tmp_path / "data", "JUPYTER_RUNTIME_DIR": tmp_path / "run"}
    variables |= {"IPYTHONDIR": tmp_path / "ipython"}
    for path in variables.values():
        path.mkdir()
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**graded.environment, "PATH": paths, **{name: str(path) for name, path in variables.items()}}


def _run(course, environment, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=course.path, env=environment, capture_output=True, text=True)


def test_nbgrader_determines_the_same_grades(graded):
    import nbformat
    from nbgrader.utils import determine_grade, is_grade

    book = graded.book()
    try:
        seen = 0
        for path in graded.path.glob("autograded/*/*/*.ipynb"):
            topic, student = path.stem, path.parents[1].name
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            for cell in filter(is_grade, notebook.cells):
                stored = book.find_grade(cell.metadata.nbgrader.grade_id, topic, topic, student)
                assert determine_grade(cell) == (stored.auto_score, stored.max_score)
                assert not stored.needs_manual_grade
                seen += 1
        assert seen > 10
    finally:
        book.close()


def test_partial_points_are_understood_as_well(notebooks):
    import nbformat
    from nbgrader.utils import determine_grade, is_grade

    from vglib.course.grading.grade import Mark, Result
    from vglib.course.grading.intake import parse, rebuild
    from vglib.course.grading.pages import graded_notebook

    blank = notebooks.blank()
    submission = rebuild(blank, parse(json.dumps(blank).encode()))
    marks = [
        Mark(item.task, 0.5, item.points, "Half of it.") for item in submission.items if item.kind == "check"
    ]
    notebook = nbformat.from_dict(graded_notebook(submission.items, Result(marks, {}, [])))
    scores = [determine_grade(cell)[0] for cell in filter(is_grade, notebook.cells)]
    assert scores == [0.5] * len(marks)


def test_nbgrader_exports_the_same_scores(graded, at_work, tmp_path):
    done = _run(graded, at_work, "export", "--to", str(tmp_path / "theirs.csv"))
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    import csv

    with open(tmp_path / "theirs.csv", encoding="utf-8", newline="") as file:
        rows = {(row["student_id"], row["assignment"]): row for row in csv.DictReader(file)}
    for key, (score, points) in graded.marks().items():
        assert (float(rows[key]["score"]), float(rows[key]["max_score"])) == (float(score), float(points))


def test_nbgraders_own_autograder_refuses(graded, at_work, tmp_path, notebooks):
    mark = tmp_path / "mark"
    notebook = notebooks.with_cells(notebooks.solved(), ("code", f"open({str(mark)!r}, 'w')"))
    notebooks.write(graded.path / "submitted" / "ada" / "initialization" / "initialization.ipynb", notebook)
    before = graded.scores()
    try:
        done = _run(graded, at_work, "autograde", "initialization", "--force")
    finally:
        shutil.rmtree(graded.path / "submitted")
    assert done.returncode != 0
    assert "this course is graded in a sandbox: python -m vglib grade FOLDER" in done.stderr
    assert not mark.exists()
    assert graded.scores() == before
    # It has taken away what it meant to replace, which the next run puts back.
    assert "1 graded now, 3 before" in graded.grade().out
    assert (graded.path / "autograded" / "ada" / "initialization" / "initialization.ipynb").is_file()
    assert graded.scores() == before


class Formgrader:
    """A Jupyter server in the course folder, as an instructor starts it."""

    def __init__(self, course, environment, log):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", log
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
        options += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.port_retries=0"]
        wanted = {"nbgrader.server_extensions.formgrader": True, "jupyterlab": False, "notebook": False}
        options.append(f"--ServerApp.jpserver_extensions={wanted}")
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter", "server", *options],
                cwd=course.path,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path, data=None):
        """Return what the server answers, as JSON."""
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        body = None if data is None else json.dumps(data).encode()
        method = "GET" if data is None else "PUT"
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def _formgrader(course, environment, log):
    one = Formgrader(course, environment, log)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                one.ask("/formgrader/api/status")
                break
            except OSError:
                assert one.process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        yield one
    finally:
        one.process.terminate()
        one.process.wait(timeout=30)


def test_formgrader_shows_the_marks_and_an_instructor_changes_them(graded, at_work, tmp_path, browser):
    log = tmp_path / "log"
    with _formgrader(graded, at_work, log) as form:
        topics = form.ask("/formgrader/api/assignments")
        assert [topic["name"] for topic in topics] == ["initialization", "irnn"]
        listed = form.ask("/formgrader/api/submitted_notebooks/initialization/initialization")
        marks = {key: score for key, (score, _) in graded.marks().items()}
        assert {(one["student"], "initialization"): f"{one['score']:g}" for one in listed} == {
            key: score for key, score in marks.items() if key[1] == "initialization"
        }
        ids = {one["student"]: one["id"] for one in listed}
        _look(form, ids, browser)
        # The score of one cell is changed, and another gets a comment.
        grade = form.ask(f"/formgrader/api/grades?submission_id={ids['ada']}")[0]
        form.ask(f"/formgrader/api/grade/{grade['id']}", {"manual_score": 0.25, "extra_credit": None})
        comment = form.ask(f"/formgrader/api/comments?submission_id={ids['ada']}")[0]
        form.ask(f"/formgrader/api/comment/{comment['id']}", {"manual_comment": "Well *done*."})
    said = log.read_text()
    assert not [line for line in said.splitlines() if line.startswith(("[E ", "[C "))][:-1], said
    assert "Traceback" not in said
    assert "No nbgrader_config.py file found" not in said
    graded.grade()
    _is_changed(graded, grade)
    # And once more, also when the submission is graded again.
    graded.grade("--again")
    _is_changed(graded, grade)


def _is_changed(course, grade):
    rows = {row["student"]: row for row in course.table() if row["topic"] == "initialization"}
    expected = f"{8 - grade['auto_score'] + 0.25:g}"
    assert (rows["ada"]["score"], rows["ada"]["changed_by_hand"]) == (expected, "yes")
    assert rows[NAME]["changed_by_hand"] == ""
    tasks = {row["task"]: row["score"] for row in course.table("tasks") if row["student"] == "ada"}
    assert tasks[grade["name"].removesuffix("-check")] == "0.25"
    page = (course.path / "feedback" / "ada" / "initialization" / "initialization.html").read_text(
        encoding="utf-8"
    )
    assert "Well <em>done</em>." in page
    assert f"Score: {float(expected)} / 8.0" in page


def _look(form, ids, browser):
    """Open formgrader's pages as an instructor does; nothing of a learner's may run in them."""
    context = browser.new_context(extra_http_headers={"Authorization": f"token {TOKEN}"})
    page = context.new_page()
    dialogs, errors = [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{form.url}/formgrader/gradebook")
    page.get_by_role("link", name="initialization").click()
    page.get_by_role("link", name="initialization").click()
    page.wait_for_selector("text=Submission #3")
    names = page.locator("a.name-shown").all_text_contents()
    assert sorted(names) == sorted(ids)
    for student in ids:
        page.goto(f"{form.url}/formgrader/submissions/{ids[student]}/")
        page.wait_for_selector("input.score")
        assert student in page.content().replace("&amp;", "&").replace("&#39;", "'")
    page.goto(f"{form.url}/formgrader/submissions/{ids['eve']}/")
    assert page.locator("pre", has_text=HOSTILE).count() >= 2
    assert page.locator("img[onerror]").count() == 0
    assert dialogs == []
    # What the pages load from elsewhere cannot be reached from a test; that is no fault of theirs.
    assert [error for error in errors if "MathJax" not in error and "requirejs" not in error] == []
    context.close()
