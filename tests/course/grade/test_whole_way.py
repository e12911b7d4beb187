"""Honest work gets what it deserves, once, and every file says the same of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vglib.course.checks.topic import NAMES

ROOT = Path(__file__).resolve().parents[3]
EXERCISES = sorted(path.stem for path in (ROOT / "exercises").glob("*.ipynb"))


def test_every_topic_can_be_graded():
    assert EXERCISES == NAMES


def test_right_answers_get_all_points_and_empty_ones_none(course, notebooks):
    points = {}
    for topic in NAMES:
        solved = notebooks.solved(topic)
        points[topic] = f"{notebooks.points(solved):g}"
        course.hand_in("ada", solved, topic)
        course.hand_in("blank", notebooks.blank(topic), topic)
    said = course.grade("--jobs", 2, "--no-feedback")
    expected = {("ada", topic): (most, most) for topic, most in points.items()}
    expected |= {("blank", topic): ("0", most) for topic, most in points.items()}
    messages = {(row["topic"], row["task"]): row["message"] for row in course.table("tasks")}
    assert course.marks() == expected, messages
    assert f"{2 * len(NAMES)} graded now, 0 before, 0 not graded" in said.out
    assert all(int(points[topic]) > 0 for topic in NAMES)


@pytest.fixture(scope="module")
def graded(shared, notebooks):
    """A course in which one learner has half of it right."""
    notebook, right = notebooks.half()
    shared.hand_in("ada", notebook)
    shared.hand_in("Zoë O'Brien, & Söhne [2]", notebooks.solved(), "irnn")
    return shared, right, shared.grade("--jobs", 2)


def test_records_gradebook_and_tables_agree(graded):
    course, right, _ = graded
    scores = course.scores()
    assert len(scores) == 2
    for key, record in course.records().items():
        assert scores[key] == sum(mark["score"] for mark in record["marks"])
        assert course.marks()[key][0] == f"{scores[key]:g}"
        task_rows = [row for row in course.table("tasks") if (row["student"], row["topic"]) == key]
        assert [(row["task"], float(row["score"])) for row in task_rows] == [
            (mark["task"], mark["score"]) for mark in record["marks"]
        ]
    marks = {mark["task"]: mark["score"] for mark in course.records()["ada", "initialization"]["marks"]}
    assert {task for task, score in marks.items() if score} == set(right)
    assert 0 < len(right) < len(marks)


def test_one_line_a_student_and_a_table(graded):
    course, _, said = graded
    score, points = course.marks()["ada", "initialization"]
    assert f"ada                      initialization   {score:>5} of {points}\n" in said.out
    table = said.out[said.out.index("student ") :].splitlines()
    assert table[0].split() == ["student", "initialization", "irnn"]
    assert table[2].split() == ["ada", f"{score}/{points}", "–"]
    assert said.out.count("Zoë O'Brien, & Söhne [2]") == 2


def test_a_second_run_changes_nothing(graded):
    course, _, _ = graded
    # The configuration of nbgrader is written each time, and says the same.
    before = {path: path.read_bytes() for path in course.path.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in course.path.glob("[rf]e*/**/*") if path.is_file()}
    said = course.grade()
    assert "0 graded now, 2 before, 0 not graded" in said.out
    assert {path: path.read_bytes() for path in course.path.rglob("*") if path.is_file()} == before
    kept = {path: path.stat().st_mtime_ns for path in times if path.suffix != ".ipynb"}
    assert kept == {path: times[path] for path in kept}


def test_whoever_hands_in_again_is_graded_again_and_with_other_inputs(course, notebooks):
    course.hand_in("ada", notebooks.blank())
    course.hand_in("bob", notebooks.blank())
    course.grade("--no-feedback")
    before = course.records()
    course.hand_in("ada", notebooks.solved())
    assert "1 graded now, 1 before" in course.grade("--no-feedback").out
    after = course.records()
    assert after["bob", "initialization"] == before["bob", "initialization"]
    assert after["ada", "initialization"]["digest"] != before["ada", "initialization"]["digest"]
    assert course.marks()["ada", "initialization"] == ("8", "8") != course.marks()["bob", "initialization"]
    assert "2 graded now, 0 before" in course.grade("--again", "--no-feedback").out
    assert course.records() == after


def test_only_some_topics(course, notebooks):
    course.hand_in("ada", notebooks.blank())
    course.hand_in("ada", notebooks.blank("irnn"), "irnn")
    course.hand_in("bob", "", "irnn")
    said = course.grade("--topic", "initialization", "--no-feedback")
    assert "1 graded now, 0 before, 0 not graded" in said.out
    assert course.marks().keys() == {("ada", "initialization")}
    course.grade("--no-feedback", code=1)
    assert course.marks()["bob", "irnn"] == ("", "")


@pytest.mark.skipif(os.environ.get("MAKELEVEL") is not None, reason="make within make")
def test_make_grade_takes_a_folder_with_a_space(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("no make: apt-get install make")
    folder = tmp_path / "of the course"
    command = ["make", "-n", "grade", f"SUBMISSIONS={folder}", "ARGS=--jobs 4"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == f'.venv/bin/python -m vglib grade "{folder}" --jobs 4'
    command = ["make", "-n", "grade", "ARGS=--probe"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].split() == [".venv/bin/python", "-m", "vglib", "grade", "--probe"]
