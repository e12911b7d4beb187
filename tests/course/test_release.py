"""Learners get the exercises without solutions."""

import ast
import json
import re
from pathlib import Path

import pytest

from vglib.course.release import blank, points, release

EXERCISES = Path(__file__).parents[2] / "exercises"


def notebook(*sources):
    cells = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "source": [s],
            "outputs": [1],
            "execution_count": 3,
            "metadata": {},
        }
        for i, s in enumerate(sources)
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_the_solution_goes_and_the_rest_stays():
    source = (
        'def f(x):\n    """Double."""\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n\nf(1)'
    )
    given = notebook(source)
    (cell,) = blank(given)["cells"]
    assert "".join(cell["source"]) == 'def f(x):\n    """Double."""\n    raise NotImplementedError()\n\nf(1)'
    assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert given == notebook(source)


@pytest.mark.parametrize("source", ["### BEGIN SOLUTION\n1", "1\n### END SOLUTION"])
def test_half_a_mark_is_refused(source):
    with pytest.raises(ValueError, match="cell c0: a mark of a solution has no partner"):
        blank(notebook(source))


def test_the_real_exercises_have_solutions_and_their_release_has_none(tmp_path):
    written = release(EXERCISES, tmp_path / "out")
    assert [path.name for path in written] == [path.name for path in sorted(EXERCISES.glob("*.ipynb"))]
    for path in written:
        assert "BEGIN SOLUTION" in (EXERCISES / path.name).read_text(encoding="utf-8")
        text = path.read_text(encoding="utf-8")
        assert "SOLUTION" not in text
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                ast.parse("".join(cell["source"]))
                assert cell["outputs"] == []


def test_nothing_is_written_twice(tmp_path):
    first = [path.stat().st_mtime_ns for path in release(EXERCISES, tmp_path)]
    assert [path.stat().st_mtime_ns for path in release(EXERCISES, tmp_path)] == first


def test_what_a_notebook_is_worth():
    for path in EXERCISES.glob("*.ipynb"):
        worth = points(path)
        text = "\n".join(
            "".join(cell["source"])
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "markdown"
        )
        # The headings say it too: (2 points), (2 + 1 points).
        said = re.findall(r"^## \d.*\(([\d + ]+) points?\)$", text, re.M)
        assert sum(int(number) for one in said for number in one.split("+")) == sum(worth.values())
