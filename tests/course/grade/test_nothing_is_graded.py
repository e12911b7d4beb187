"""Where something is wrong with the course, nothing is graded: exit code 3, and a line that says what."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from vglib.course import cli
from vglib.course.checkout import CannotRunError
from vglib.course.grading import gradebook, records
from vglib.course.grading.configured import configured
from vglib.course.grading.folder import Folder
from vglib.course.grading.limits import Limits
from vglib.course.grading.released import released


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[limits", "cannot be read, so nothing is graded"),
        (b"\xff", "cannot be read, so nothing is graded"),
        ("limit = 3", "unknown limit"),
        ("limits = 3", "limits must be a table"),
        ("[limits]\ncel = 3", "unknown limit cel; known are cell"),
        ("[limits]\ncell = '3'", "limit cell must be a positive number; got '3'"),
        ("[limits]\ncell = true", "limit cell must be a positive number; got True"),
        ("[limits]\ntotal = nan", "limit total must be a positive number; got nan"),
        ("[limits]\ncell = 0", "limit cell must be a positive number; got 0"),
        ("[limits]\nprocesses = 0.5", "limit processes must be a whole number from 1; got 0.5"),
        ("[limits]\nmemory = -1", "limit memory must be a whole number from 1; got -1"),
        ("gradebook = 3", "gradebook must be a database URL as text; got 3"),
        ("gradebook = ''", "gradebook must be a database URL as text; got ''"),
    ],
)
def test_a_damaged_configuration(tmp_path, text, why):
    path = tmp_path / "grading.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CannotRunError) as error:
        configured(path)
    assert why in str(error.value)
    assert str(path) in str(error.value)


def test_a_configuration(tmp_path):
    path = tmp_path / "grading.toml"
    assert configured(path) == (Limits(), None)
    path.write_text("gradebook = 'sqlite:////x.db'\n[limits]\ncell = 3\nmemory = 2147483648\n")
    limits, url = configured(path)
    assert (limits.cell, type(limits.cell), limits.memory, url) == (3.0, float, 2**31, "sqlite:////x.db")
    (tmp_path / "folder" / "grading.toml").mkdir(parents=True)
    with pytest.raises(CannotRunError, match="cannot be read"):
        configured(tmp_path / "folder" / "grading.toml")


@pytest.fixture(scope="module")
def small(shared, notebooks):
    """A course in which one submission has been graded."""
    shared.hand_in("ada", notebooks.blank())
    shared.grade("--no-feedback")
    return shared


def _refuses(course, capfd, *options):
    """Run the command in this process; return the one line that says why nothing is graded."""
    before = course.records()
    # Were it not refused it would be graded now.
    code = cli.main(["grade", str(course.submissions), "--again", "--no-feedback", *map(str, options)])
    said = capfd.readouterr()
    assert code == 3, said
    assert said.out == ""
    assert course.records() == before
    assert said.err.count("\n") == 1
    return said.err.removeprefix("vglib grade: ")


@pytest.fixture
def quick(monkeypatch):
    """The sandbox is not what is tried here."""
    monkeypatch.setattr("vglib.course.grading.probe.probe", lambda **options: [])


def test_damaged_files_of_the_course(small, capfd, quick, tmp_path):
    record = small.path / "records" / "initialization" / "ada.json"
    whole = record.read_text(encoding="utf-8")
    damages = {
        small.path / "grading.toml": b"?",
        small.path / "secret": b"many words",
        small.path / "gradebook.db": b"This is no database, but a text that is long enough to be one.\n" * 9,
    }
    for path, damage in damages.items():
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(damage)
        assert str(path) in _refuses(_Without(small), capfd)
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    wrong = json.loads(whole)
    del wrong["marks"][0]["points"]
    for text in (
        "",
        "[" * 100_000,
        "[]",
        '{"schema": 1}',
        whole.replace('"ada"', '"eve"'),
        json.dumps(wrong),
    ):
        record.write_text(text, encoding="utf-8")
        line = _refuses(_Without(small), capfd)
        assert line == f"{record} is damaged; delete it to grade that submission again\n"
    record.write_text(whole, encoding="utf-8")
    assert records.read(record) == json.loads(whole)


class _Without:
    """A course whose records are not to be looked at."""

    def __init__(self, course):
        self.submissions = course.submissions

    def records(self):
        return {}


def test_folders_that_cannot_be(small, capfd, quick, tmp_path, new_course):
    file = tmp_path / "file"
    file.touch()
    assert f"the course folder {file} is a file" in _refuses(small, capfd, "--course", file)
    assert "must not lie among" in _refuses(small, capfd, "--course", small.submissions / "x")
    assert "must not lie among" in _refuses(small, capfd, "--course", small.submissions)
    assert [path.name for path in small.submissions.iterdir()] == ["ada"]
    assert f"cannot read the exercises of initialization, {tmp_path}" in _refuses(
        small, capfd, "--exercises", tmp_path
    )
    nobody = new_course(tmp_path / "other")
    nobody.submissions.rmdir()
    assert _refuses(nobody, capfd) == f"there is no folder {nobody.submissions}\n"
    nobody.submissions.touch()
    assert _refuses(nobody, capfd) == f"there is no folder {nobody.submissions}\n"
    assert cli.main(["grade", "/", "--course", str(tmp_path / "c")]) == 3
    assert "must not lie among the submissions" in capfd.readouterr().err
    assert cli.main(["grade"]) == 3
    assert cli.main(["grade", str(small.submissions), "--topic", "knitting"]) == 3
    assert "there is no topic knitting; topics: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "Could not parse"),
        ("knitting://me:secret@here/db", "Can't load plugin"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "onnection refused"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
        ("mysql//me:secret@here/db", "Could not parse"),
    ],
)
def test_gradebooks_that_cannot_be_opened(small, capfd, quick, url, why):
    line = _refuses(small, capfd, "--gradebook", url)
    assert line.startswith("cannot open the gradebook at ")
    assert why in line
    assert "secret" not in line


def test_a_folder_that_cannot_be_written(small):
    # As root, nothing else than the file system itself refuses.
    inside = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", small.path, small.path, "--"]
    said = small.grade("--again", "--unsafe-no-sandbox", code=3, before=inside)
    assert f"cannot write into {small.path}: Read-only file system" in said.err


def test_a_second_grader_waits_outside(small, capfd, quick):
    with Folder.open(small.path).alone():
        assert _refuses(small, capfd) == f"another grader is at work in {small.path}\n"


def test_what_a_killed_grader_left_is_swept_up(tmp_path):
    folder = Folder.open(tmp_path / "course")
    left = folder.record("gru", "ada").with_name(".abc.new")
    left.parent.mkdir(parents=True)
    left.touch()
    with folder.alone():
        assert not left.exists()
    assert (folder.path.stat().st_mode & 0o777) == 0o700


def test_a_release_that_cannot_be_graded(tmp_path, notebooks):
    path = tmp_path / "initialization.ipynb"

    def why(change):
        notebook = notebooks.solved()
        marks = [cell["metadata"]["nbgrader"] for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]
        change([one for one in marks if one["grade"]])
        notebooks.write(path, notebook)
        with pytest.raises(CannotRunError) as error:
            released(tmp_path, "initialization")
        assert str(path) in str(error.value)
        return str(error.value)

    assert "task 'knitting' has points, and no check" in why(lambda m: m[0].update(grade_id="knitting-check"))
    assert "two cells are called" in why(lambda marks: marks[1].update(marks[0]))
    assert "must be a number from 0; got 'many'" in why(lambda marks: marks[0].update(points="many"))
    assert "is no exercise notebook" in why(lambda marks: marks[0].pop("points"))
    for text in ("", "[]", "3", '{"cells": 3}'):
        path.write_text(text)
        with pytest.raises(CannotRunError, match="is no exercise notebook"):
            released(tmp_path, "initialization")


def test_other_tasks_need_another_course_folder(small, capfd, quick, tmp_path, notebooks):
    for change in (-1, 1):
        notebook = notebooks.solved()
        graded = [i for i, cell in enumerate(notebook["cells"]) if _is_graded(cell)]
        if change < 0:
            del notebook["cells"][graded[-1]]
            exercises = tmp_path / "fewer"
            notebooks.write(exercises / "initialization.ipynb", notebook)
            line = _refuses(small, capfd, "--exercises", exercises)
        else:
            shutil.copytree(small.path, tmp_path / "course")
            shutil.copytree(small.submissions, tmp_path / "in")
            line = _refuses(small, capfd, "--exercises", exercises, "--course", tmp_path / "course")
        assert "use another course folder (--course) for a changed release" in line


def _is_graded(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade")


def test_other_points_count_for_everybody(course, notebooks, tmp_path):
    course.hand_in("ada", notebooks.solved())
    course.grade("--no-feedback")
    notebook = notebooks.solved()
    for cell in filter(_is_graded, notebook["cells"]):
        cell["metadata"]["nbgrader"]["points"] *= 3
    exercises = tmp_path / "exercises"
    notebooks.write(exercises / "initialization.ipynb", notebook)
    assert "1 graded now, 0 before" in course.grade("--no-feedback", "--exercises", exercises).out
    assert course.marks() == {("ada", "initialization"): ("24", "24")}
    assert course.scores() == {("ada", "initialization"): 24.0}


def test_no_sandbox_no_grading_unless_told(small, notebooks):
    # A machine without bubblewrap: it is on no path.
    small.environment = {**small.environment, "PATH": os.path.dirname(sys.executable)}
    try:
        said = small.grade("--again", "--no-feedback", code=3)
        assert "this machine has no safe sandbox, so nothing is graded" in said.err
        assert "apt-get install bubblewrap" in said.err
        said = small.grade("--probe", code=3)
        assert "This machine cannot grade safely, and will not grade." in said.out
        said = small.grade("--again", "--no-feedback", "--unsafe-no-sandbox")
        assert said.err == "Without a sandbox: the submissions run with your rights.\n"
        assert "1 graded now" in said.out
    finally:
        small.environment.pop("PATH")
        small.environment["PATH"] = os.environ["PATH"]


def test_checks_are_not_optimized_away(small):
    small.environment["PYTHONOPTIMIZE"] = "1"
    try:
        assert "checks are assertions" in small.grade("--again", code=3).err
    finally:
        del small.environment["PYTHONOPTIMIZE"]


def test_the_probe_finds_this_machine_safe(small):
    said = small.grade("--probe")
    lines = said.out.splitlines()
    assert all(line.startswith("yes  ") for line in lines[:-2])
    assert len(lines) > 15
    assert lines[-1].startswith("This machine can grade safely")


def test_ctrl_c_is_one_line(course, notebooks):
    course.hand_in("ada", notebooks.with_cells(notebooks.blank(), ("code", "while True: pass")))
    command = [*course.command("--no-feedback")]
    with subprocess.Popen(command, env=course.environment, stdout=-1, stderr=-1, text=True) as process:
        until = time.monotonic() + 60
        while not (course.path / "gradebook.db").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1.5)
        process.send_signal(2)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "vglib grade: interrupted\n"), out


def test_a_gradebook_is_the_same_from_wherever_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    course = tmp_path / "course"
    assert Folder.open(course).url == f"sqlite:///{course}/gradebook.db"
    assert Folder.open(course, url="sqlite:///x.db").url == f"sqlite:///{tmp_path}/x.db"
    assert Folder.open(course, url="sqlite:////a/x.db").url == "sqlite:////a/x.db"
    assert Folder.open(course, url="postgresql+psycopg:///x").url == "postgresql+psycopg:///x"
    (course / "grading.toml").write_text("gradebook = 'sqlite:///y.db'\n")
    assert Folder.open(course).url == f"sqlite:///{course}/y.db"
    for url in ("sqlite:///:memory:", "sqlite:///"):
        with pytest.raises(CannotRunError, match="name a file"):
            Folder.open(course, url=url)


def test_one_or_the_other_kind_of_workers(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["grade", "x", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert stop.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_exercises_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["exercises", str(tmp_path / "file")]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"vglib exercises: cannot write the exercises into {tmp_path / 'file'}: ")
    assert said.count("\n") == 1


def test_passwords_are_hidden():
    assert gradebook.hidden("postgresql+psycopg://me:secret@here/db") == "postgresql+psycopg://me:***@here/db"
    assert "secret" not in gradebook.hidden("postgresql//me:secret@here/db")
