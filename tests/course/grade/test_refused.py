"""What cannot be graded has one clear line with the file and the reason, and no score. The rest goes on."""

import json
import os
import re
import unicodedata

import pytest

from vglib.course.grading.collect import collect

TOPICS = ("gru", "initialization", "irnn")
ODD = os.fsdecode(b"\xff\xfe")
ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture
def found(tmp_path):
    """Return a function: files, or links, in a folder, and what is found there."""

    def look(*names, links=(), folders=()):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name in folders:
            (tmp_path / name).mkdir(parents=True)
        for name in links:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to("/etc/passwd" if name.endswith("ipynb") else "/etc")
        return [(one.student, one.topic, one.file, one.problem) for one in collect(tmp_path, TOPICS)]

    return look


def test_three_ways_to_hand_in(found):
    some = found(
        "ada/gru.ipynb",
        "bob/gru/gru.ipynb",
        "a_b_gru.ipynb",
        "ada/notes.txt",
        "ada/irnn/x.csv",
        ".git/gru.ipynb",
    )
    assert some == [
        ("a_b", "gru", "a_b_gru.ipynb", ""),
        ("ada", "gru", "ada/gru.ipynb", ""),
        ("ada", "irnn", "ada/irnn", "there is no notebook in this folder"),
        ("bob", "gru", "bob/gru/gru.ipynb", ""),
    ]


@pytest.mark.parametrize(
    ("name", "topic", "problem"),
    [
        (
            "ada/gru (1).ipynb",
            "gru",
            "its name is that of a copy; the notebook to be graded is called gru.ipynb",
        ),
        (
            "ada/gru-Copy1.ipynb",
            "gru",
            "its name is that of a copy; the notebook to be graded is called gru.ipynb",
        ),
        ("ada/GRU.ipynb", "gru", "its name is to end in gru.ipynb, letter by letter"),
        ("ada/gru.IPYNB", "gru", "its name is to end in gru.ipynb, letter by letter"),
        ("ada/essay.ipynb", "", "there is no topic 'essay'"),
        ("ada/gru/other.ipynb", "gru", "in this folder a notebook is called gru.ipynb"),
        (
            "ada_gru (2).ipynb",
            "gru",
            "its name is that of a copy; the notebook to be graded is called gru.ipynb",
        ),
        ("gru.ipynb", "gru", "its name is not STUDENT_TOPIC.ipynb"),
        ("ada.ipynb", "", "its name is not STUDENT_TOPIC.ipynb: there is no topic 'ada'"),
    ],
)
def test_names_of_notebooks(found, name, topic, problem):
    ((_, of, file, why),) = found(name)
    assert (of, file, why) == (topic, name, problem)


def test_one_student_with_two_notebooks_of_a_topic(found):
    some = found("ada/gru.ipynb", "ada/gru/gru.ipynb", "ada_gru.ipynb", "Ada/gru.ipynb")
    assert [problem for _, _, _, problem in some] == [
        "",
        "",
        "it was handed in twice; the one that counts is ada/gru.ipynb",
        "it was handed in twice; the one that counts is ada/gru.ipynb",
    ]


def test_a_student_is_the_same_however_a_machine_writes_the_name(found):
    name = "José"
    some = found(f"{unicodedata.normalize('NFD', name)}/gru.ipynb", f"{name}_irnn.ipynb")
    assert [(student, problem) for student, _, _, problem in some] == [(name, ""), (name, "")]


@pytest.mark.parametrize(
    "name", ["O'Brien", "Zoë & Co", "张伟", "a b", "x" * 100, "é" * 99, "{0}", "[a]", "%41"]
)
def test_ordinary_names(found, name):
    assert found(f"{name}/gru.ipynb") == [(name, "gru", f"{name}/gru.ipynb", "")]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("=1+1", "must not begin with '='"),
        ("@x", "must not begin with '@'"),
        ("<img src=x onerror=alert(1)>", "must not hold '<'"),
        ('"+alert(1)+"', "must not hold '\"'"),
        ("a\\", "must not hold"),
        (ESCAPE, "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        (ODD, "cannot be printed"),
        (" ada", "begins or ends with a space"),
        ("x" * 101, "longer than 100 letters"),
        ("😀" * 60, "or 200 bytes"),
    ],
    ids=ascii,
)
def test_names_that_are_no_names(found, name, why):
    ((student, topic, file, problem),) = found(f"{name}/gru.ipynb")
    assert why in problem
    assert topic == "gru"
    assert student.isprintable()
    assert file.isprintable()
    assert re.fullmatch(r".{0,40}~[0-9a-f]{8}", student)
    assert not set('<>"\\') & set(student)


def test_links_and_empty_folders(found):
    some = found(links=["ada", "bob/gru.ipynb", "eve/gru", "x_gru.ipynb"], folders=["nobody", "__MACOSX"])
    assert [(student, file, problem) for student, _, file, problem in some] == [
        ("ada", "ada", "it is a symbolic link"),
        # Whoever opens it sees that it is a link.
        ("bob", "bob/gru.ipynb", ""),
        ("eve", "eve/gru", "it is a symbolic link"),
        ("nobody", "nobody", "there is no notebook in this folder"),
        ("x", "x_gru.ipynb", ""),
    ]


@pytest.fixture(scope="module")
def refused(shared, notebooks):
    """A course with one good submission among all kinds of bad ones."""
    folder = shared.submissions
    shared.hand_in("ada", notebooks.solved())
    shared.hand_in("ada", notebooks.solved(), "initialization (1)")
    bad = {
        "empty": b"",
        "spaces": b" \n\n",
        "binary": bytes(range(256)),
        "text": "hello",
        "list": "[]",
        "old": json.dumps({"nbformat": 3, "worksheets": []}),
        "deep": "[" * 100_000,
        "number": json.dumps({"nbformat": 4, "cells": [1]}),
        "words": json.dumps({"nbformat": f"={ESCAPE}<script>", "cells": []}),
    }
    for name, content in bad.items():
        shared.hand_in(name, content)
    for name in ("link", "pipe", "folder", "huge"):
        (folder / name).mkdir()
    (folder / "link" / "initialization.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe" / "initialization.ipynb")
    (folder / "folder" / "initialization.ipynb").mkdir()
    with open(folder / "huge" / "initialization.ipynb", "wb") as file:
        file.truncate(500 * 2**20)
    (folder / "loop").symlink_to(folder)
    for name in ("=1+1", ESCAPE, ODD, "<img src=x onerror=alert(1)>", "x" * 200):
        shared.hand_in(name, notebooks.solved())
    notebooks.write(folder / f"{ODD}_irnn.ipynb", notebooks.solved("irnn"))
    old = shared.hand_in("bob", notebooks.solved())
    os.utime(old, (10**10, -(10**9)))
    return shared, [*bad, "link", "pipe", "folder", "huge"], shared.grade(code=1)


def test_each_has_a_line_with_file_and_reason(refused):
    _, bad, said = refused
    lines = [line for line in said.out.splitlines() if "not graded: " in line]
    files = [line.split("not graded: ")[1].split(":")[0] for line in lines]
    # Those of names that are none, a copy, and two links.
    assert len(files) == len(bad) + 6 + 1 + 1
    for name in bad:
        (line,) = [line for line in lines if f"{name}/initialization.ipynb: " in line]
        assert len(line) < 300
    assert ESCAPE not in said.out
    assert all(letter.isprintable() or letter == "\n" for letter in said.out)
    assert f"2 graded now, 0 before, {len(lines)} not graded" in said.out
    reasons = {
        "empty": "it is empty",
        "link": "symbolic link",
        "pipe": "a pipe",
        "folder": "folder",
        "huge": "500 MB",
        "deep": "nested deeper",
        "old": "format",
    }
    for name, reason in reasons.items():
        assert any(f"{name}/initialization.ipynb: " in line and reason in line for line in lines), name


def test_what_is_refused_has_an_empty_score_and_a_reason(refused):
    course, bad, _ = refused
    rows = {row["student"]: row for row in course.table() if row["topic"] == "initialization"}
    for name in bad:
        row = rows[name]
        assert (row["status"], row["score"], row["points"]) == ("refused", "", "")
        assert row["why"].startswith(f"{name}/initialization.ipynb: ")
    assert rows["ada"]["score"] == rows["bob"]["score"] == "8"
    # There is a second notebook, which was not looked at: that is said as well.
    assert "initialization (1).ipynb: its name is that of a copy" in rows["ada"]["why"]
    assert set(course.scores()) == {("ada", "initialization"), ("bob", "initialization")}


def test_no_cell_of_a_table_is_a_formula_or_moves_a_terminal(refused):
    course, _, _ = refused
    for name in ("grades", "tasks"):
        text = (course.path / f"{name}.csv").read_text(encoding="utf-8")
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        for row in course.table(name):
            assert not any(value.startswith(("=", "+", "-", "@")) for value in row.values())


def test_a_second_run_says_the_same(refused):
    course, _, said = refused
    before = {path: path.read_bytes() for path in course.path.glob("records/*/*")}
    times = {path: path.stat().st_mtime_ns for path in before}
    again = course.grade(code=1)
    assert again.out.count("not graded: ") == said.out.count("not graded: ")
    assert {path: path.read_bytes() for path in course.path.glob("records/*/*")} == before
    assert {path: path.stat().st_mtime_ns for path in before} == times


def test_what_was_earned_stays_when_something_broken_comes_later(course, notebooks):
    path = course.hand_in("ada", notebooks.solved())
    good = path.read_bytes()
    course.grade("--no-feedback")
    course.hand_in("ada", "oops")
    course.grade("--no-feedback", code=1)
    (row,) = course.table()
    assert (row["status"], row["score"]) == ("graded", "8")
    assert row["why"].startswith("ada/initialization.ipynb: it is no notebook")
    path.write_bytes(good)
    course.grade("--no-feedback")
    assert course.table()[0]["why"] == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_cannot_be_read_is_refused(course, notebooks):
    course.hand_in("ada", notebooks.blank()).chmod(0)
    course.hand_in("bob", notebooks.blank()).parent.chmod(0)
    said = course.grade("--no-feedback", code=1)
    assert "not graded: ada/initialization.ipynb: it cannot be opened (Permission denied)" in said.out
    assert "not graded: bob: the folder cannot be read (Permission denied)" in said.out
    (course.submissions / "bob").chmod(0o700)


def test_what_a_terminal_cannot_show_stops_nothing(course, notebooks):
    course.hand_in("Łukasz", notebooks.blank())
    course.environment |= {"PYTHONIOENCODING": "ascii"}
    assert "\\u0141ukasz" in course.grade("--no-feedback").out
    assert ("Łukasz", "initialization") in course.marks()
