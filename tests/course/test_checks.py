"""The checks of all exercises: right answers pass with any seed, others fail with words."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from vglib.course.checks import CheckFailed, Topic, find, self_check
from vglib.course.checks.topic import NAMES
from vglib.course.release import blank

EXERCISES = Path(__file__).parents[2] / "exercises"
TASKS = [(topic, task) for topic in NAMES for task in find(topic).tasks]


def notebook(topic):
    return json.loads((EXERCISES / f"{topic}.ipynb").read_text(encoding="utf-8"))


def marks(cell):
    return cell["metadata"].get("nbgrader", {})


def run_cells(topic, cells):
    """Run all cells but checks and those that only show something; return the names."""
    names = {"__name__": topic}
    for cell in cells:
        about = marks(cell)
        if cell["cell_type"] != "code" or about.get("grade") or "show" in cell["metadata"].get("tags", ()):
            continue
        exec(compile("".join(cell["source"]), about.get("grade_id", "cell"), "exec"), names)
    return names


def functions_of(topic, task):
    """Return the names of the functions that a learner fills for a task."""
    (cell,) = [cell for cell in notebook(topic)["cells"] if marks(cell).get("grade_id") == task]
    return [
        node.name for node in ast.parse("".join(cell["source"])).body if isinstance(node, ast.FunctionDef)
    ]


@pytest.fixture(scope="module")
def solved():
    made = {}

    def of(topic):
        if topic not in made:
            made[topic] = run_cells(topic, notebook(topic)["cells"])
        return dict(made[topic])

    return of


@pytest.mark.parametrize(("topic", "task"), TASKS)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_solution_passes_with_other_inputs(topic, task, seed, solved):
    from vglib.course.calling import local

    checks = find(topic)
    assert checks.run(task, local(solved(topic)), checks.rng(task, seed))


@pytest.mark.parametrize(("topic", "task"), TASKS)
def test_an_empty_answer_is_said_to_be_empty(topic, task, solved):
    names = run_cells(topic, blank(notebook(topic))["cells"])
    with pytest.raises(CheckFailed, match="is still empty"):
        self_check(topic, task, names)


class _Equal(float):
    """A number that is equal to everything."""

    def __eq__(self, other):
        return True

    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = float.__hash__
    __sub__ = __rsub__ = __add__ = __radd__ = lambda self, other: self

    def __abs__(self):
        return self


ODD = {
    "text": "7",
    "empty list": [],
    "empty array": np.zeros((0, 3)),
    "NaN": np.nan,
    "NaNs": np.full((4, 5), np.nan),
    "four NaNs": (np.nan,) * 4,
    "infinities": np.full(3, np.inf),
    "ragged": [[1.0, 2.0], [3.0]],
    "objects": np.array([None, "x"], dtype=object),
    "equal": _Equal(3),
    "four equal": (_Equal(3),) * 4,
    "complex": np.ones(3) * 1j,
    "texts": ["a", "b", "c", "d"],
    "dict": {"a": 1.0},
    "deep": [[[[[1.0]]]]],
    "big": np.broadcast_to(1.0, (10_000, 10_000)),
    "a number": 0.123,
    "two arrays": (np.ones(3), np.ones((2, 2))),
    "function": print,
    "True": True,
}


@pytest.mark.parametrize(("topic", "task"), TASKS)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_fails_with_words(topic, task, odd, solved):
    names = solved(topic)
    for name in functions_of(topic, task):
        names[name] = lambda *inputs: ODD[odd]
    with pytest.raises(CheckFailed) as failed:
        self_check(topic, task, names)
    assert len(str(failed.value)) > 10


@pytest.mark.parametrize("topic", NAMES)
def test_notebook_and_checks_name_the_same_tasks(topic):
    graded = {marks(cell)["grade_id"]: cell for cell in notebook(topic)["cells"] if marks(cell).get("grade")}
    assert set(graded) == {f"{task}-check" for task in find(topic).tasks}
    for name, cell in graded.items():
        task = name.removesuffix("-check")
        assert f'self_check("{topic}", "{task}")' in "".join(cell["source"])
        assert functions_of(topic, task)


@pytest.mark.parametrize("topic", NAMES)
def test_every_code_cell_has_a_place_in_the_release(topic):
    for cell in notebook(topic)["cells"]:
        if cell["cell_type"] == "code":
            about = marks(cell)
            assert about["locked"] != about["solution"], about["grade_id"]


def test_every_topic_with_exercises_has_checks():
    assert sorted(path.stem for path in EXERCISES.glob("*.ipynb")) == NAMES


def test_an_unknown_topic_and_an_unknown_task_are_named():
    with pytest.raises(ValueError, match=r"no checks for 'alchemy'; topics: .*clipping"):
        find("alchemy")
    with pytest.raises(ValueError, match="clipping has no task 'gold'; its tasks: predictions"):
        self_check("clipping", "gold", {})


def test_a_task_has_one_check():
    topic = Topic("clipping")
    topic.check("a")(print)
    with pytest.raises(ValueError, match="task 'a' of clipping has two checks"):
        topic.check("a")(print)
