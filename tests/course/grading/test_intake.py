"""The door: what is let in, what is refused and why, and the notebook that is rebuilt from it."""

import json
import os
import socket
import subprocess
import sys

import pytest

from vglib.course.grading.intake import MAX_FILE, Refused, parse, read, rebuild


def written(**changed):
    """Return a small notebook as bytes."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": "x = 1"}
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell], **changed}
    ).encode()


@pytest.fixture
def make(tmp_path):
    """Return function that puts something else than a file in its place."""
    path = tmp_path / "one.ipynb"

    def sparse():
        with open(path, "wb") as file:
            file.truncate(500 * 2**20)

    def link():
        (tmp_path / "other.ipynb").write_bytes(written())
        path.symlink_to("other.ipynb")

    def bound():
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))

    kinds = {
        "a link": link,
        "a link to nowhere": lambda: path.symlink_to("nowhere"),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
        "a socket": bound,
        "nothing": lambda: None,
        "a large file": sparse,
        "a file a byte too large": lambda: path.write_bytes(b" " * (MAX_FILE + 1)),
    }

    def made(kind):
        kinds[kind]()
        return path

    return made


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a link", "symbolic link"),
        ("a link to nowhere", "symbolic link"),
        ("a pipe", "no file but a pipe"),
        ("a folder", "no file but a folder"),
        ("a socket", "cannot be opened"),
        ("nothing", "cannot be opened"),
        ("a large file", "it has 500 MB; 12 MB are allowed"),
        ("a file a byte too large", "it has 12 MB"),
    ],
)
def test_what_is_no_file_of_a_learners_is_refused(make, kind, why):
    with pytest.raises(Refused, match=why):
        read(make(kind))


def test_a_file_is_read(tmp_path):
    path = tmp_path / "one.ipynb"
    path.write_bytes(written())
    assert [cell.source for cell in parse(read(path))] == ["x = 1"]


def test_a_byte_order_mark_is_left_out():
    assert len(parse(b"\xef\xbb\xbf" + written())) == 1


CODE = {"cell_type": "code", "source": "x"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"\0", "not JSON"),
        (b"\xff\xfe{}", "no text in UTF-8"),
        ("{}".encode("utf-16"), "no text in UTF-8"),
        (written()[:-2], "not JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper"),
        (b"[" + b"[]," * 10**6 + b"[]]", "values; 524,288 are allowed: clear its outputs"),
        (b'{"nbformat": ' + b"1" * 10_000 + b"}", "not JSON"),
        (b"7", "there is no nbformat"),
        (b"[]", "there is no nbformat"),
        (b"{}", "there is no nbformat"),
        (written(nbformat=3), "its format is 3; notebooks of format 4 are graded"),
        (written(nbformat=5), "its format is 5"),
        (written(nbformat="4"), "its format is '4'"),
        (written(nbformat=4.0), "its format is 4.0"),
        (written(nbformat=True), "its format is True"),
        (written(nbformat=None), "its format is None"),
        (written(cells=None), "no list of cells"),
        (written(cells={}), "no list of cells"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "no list of cells"),
        (b'{"nbformat": 4, "worksheets": [{"cells": []}]}', "no list of cells"),
        (written(cells=[7]), "its cell 1 is neither code nor text"),
        (written(cells=[CODE, {"cell_type": "heading"}]), "its cell 2 is neither"),
        (written(cells=[CODE, {"cell_type": ["code"]}]), "its cell 2 is neither"),
        (written(cells=[{**CODE, "source": 7}]), "its cell 1 has no source"),
        (written(cells=[{**CODE, "source": ["x", 7]}]), "its cell 1 has no source"),
        (written(cells=[{**CODE, "source": {}}]), "its cell 1 has no source"),
        (written(cells=[CODE] * 1001), "1,001 cells; 1,000 are allowed"),
        (written(cells=[{**CODE, "source": "x" * 300_000}] * 2), "600,000 characters; 524,288 are allowed"),
    ],
)
def test_what_is_no_notebook_is_refused(data, why):
    with pytest.raises(Refused, match=why):
        parse(data)


@pytest.mark.parametrize("metadata", [None, 7, [], {"nbgrader": 7}, {"nbgrader": {"grade_id": []}}])
def test_strange_metadata_is_none(metadata):
    (cell,) = parse(written(cells=[{**CODE, "metadata": metadata, "id": 5, "outputs": "x", "more": {}}]))
    assert (cell.grade_id, cell.cell_id, cell.source) == (None, None, "x")


def test_half_a_character_is_replaced():
    (cell,) = parse(written(cells=[{**CODE, "source": "x = '\ud800'"}]))
    assert cell.source == "x = '?'"


def test_the_door_takes_little_memory():
    """Costly are: many values in few bytes, and one letter that makes each of a long text take four bytes."""
    code = """if True:
        from vglib.course.grading.intake import MAX_FILE, MAX_VALUES, Refused, parse
        start, most = b'{"nbformat": 4, "cells": [], "x": [', MAX_VALUES - 10
        values = start + b'{"a":{}},' * (most // 4) + b'0], "y": "'
        for data in (start + b"[]," * 5_000_000 + b"0]}", values + "\\N{GRINNING FACE}".encode()):
            data += b"x" * (MAX_FILE - len(data) - 2) + b'"}'
            try:
                print(len(parse(data)), end=" ")
            except Refused:
                print("no", end=" ")
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    refused, cells, most = done.stdout.split()
    assert (refused, cells) == ("no", "0")
    assert int(most) < 250_000


def kinds(submission):
    return [
        (item.kind, item.source) for item in submission.items if item.kind not in ("text", "given", "show")
    ]


def submission(notebook):
    return rebuild(notebook.released, parse(json.dumps(notebook.json).encode()))


def test_an_honest_notebook_is_rebuilt_as_it_was(notebook):
    made = submission(notebook)
    assert not made.spoilt
    assert not made.notes
    assert len(made.items) == len(notebook.released["cells"])
    for item, cell in zip(made.items, notebook.cells, strict=True):
        assert item.source == "".join(cell["source"])
    checks = [item for item in made.items if item.kind == "check"]
    assert {item.task: item.points for item in checks} == notebook.points


def test_only_answers_and_own_cells_come_from_the_learner(notebook):
    for cell in notebook.cells:
        cell["source"] = "mine"
        cell["metadata"]["tags"] = ["show"]
        cell["metadata"].get("nbgrader", {}).update(points=1000)
        cell["outputs"] = [{"output_type": "stream", "text": "mine"}]
    made = submission(notebook)
    for item, cell in zip(made.items, notebook.released["cells"], strict=True):
        theirs = item.kind == "answer"
        assert item.source == ("mine" if theirs else "".join(cell["source"]))
        assert item.cell == cell
    assert "mine" not in json.dumps([item.cell for item in made.items])
    assert "the cell 'tools' was changed; it is the course's, and ran as it was released" in made.notes
    assert sum(item.points for item in made.items) == sum(notebook.points.values())


def test_own_cells_stay_behind_the_cell_that_they_stood_behind(notebook):
    first, second, *_ = notebook.points
    notebook.add("zero")
    notebook.add("one", after=first)
    notebook.add("two", after=second, cell_type="markdown")
    notebook.add("three", after=f"{second}-check")
    found = kinds(submission(notebook))
    order = [what for what in found if what[0] in ("own", "note", "check") or what[1] in ("one", "two")]
    assert order[0] == ("own", "zero")
    assert [what for what in found if what[0] in ("own", "note")] == [
        *[("own", "zero"), ("own", "one"), ("note", "two"), ("own", "three")]
    ]
    names = [what[0] for what in found]
    assert names[:4] == ["own", "answer", "own", "check"]
    assert names[4:8] == ["answer", "note", "check", "own"]


def test_lost_marks_are_found_by_ids_and_marks_go_first(notebook):
    cell = notebook.cell(notebook.task)
    mark, cell["metadata"] = cell["metadata"], {}
    cell["source"] = "by id"
    assert ("answer", "by id") in kinds(submission(notebook))
    # Another cell has the mark: then that one is the answer, and there are two.
    notebook.add("by mark", metadata=mark)
    assert notebook.task in submission(notebook).spoilt


def test_copies_spoil_and_what_is_missing_is_put_back(notebook):
    cell = notebook.cell(notebook.task)
    notebook.cells.append({**cell, "id": "copy"})
    made = submission(notebook)
    assert list(made.spoilt) == [notebook.task]
    notebook.cells[:] = []
    made = submission(notebook)
    assert not made.spoilt
    assert len(made.notes) > len(notebook.points)
    released = ["".join(cell["source"]) for cell in notebook.released["cells"]]
    assert [item.source for item in made.items] == released


def test_an_answer_that_became_text_is_put_back_empty(notebook):
    notebook.cell(notebook.task)["cell_type"] = "markdown"
    made = submission(notebook)
    assert any("no code any more" in note for note in made.notes)
    answer = next(item for item in made.items if item.kind == "answer" and item.task == notebook.task)
    assert "NotImplementedError" in answer.source


def test_a_check_that_was_copied_counts_once(notebook):
    notebook.cells.append(dict(notebook.cell(f"{notebook.task}-check")))
    assert sum(item.points for item in submission(notebook).items) == sum(notebook.points.values())
