"""Wrong answers that want to be taken for right ones: they earn nothing, and everything else counts."""

import pytest

# Cells of one's own, at the front; the target's answer is wrong.
TRICKS = {
    "an AST transformer strips assertions": """
import ast
class Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Strip())
""",
    "an input transformer strips checks": """
def strip(lines):
    return [line for line in lines if "assert" not in line and "self_check" not in line]
get_ipython().input_transformers_cleanup.append(strip)
get_ipython().input_transformers_post.append(strip)
""",
    "compile and exec are patched": """
import builtins
real = builtins.compile
builtins.compile = lambda source, *rest, **more: real(
    source.replace("assert ", "0 and ") if isinstance(source, str) else source, *rest, **more
)
plain = builtins.exec
builtins.exec = lambda code, *rest, **more: plain(code, *rest, **more)
""",
    "comparisons are patched": """
import numpy as np, math
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
np.allclose = np.isclose = np.array_equal = math.isclose = lambda *a, **k: True
""",
    "the self-check is patched": """
import vglib.course.checks as checks, vglib.course.calling as calling, vglib.course.guest as guest
checks.self_check = lambda *a, **k: print("passed")
class CheckFailed(BaseException):
    def __new__(cls, *a):
        return super().__new__(cls)
calling.CheckFailed = guest.CheckFailed = CheckFailed
""",
    "a module of checks of one's own": """
import sys, types
sys.modules["vglib.course.checks"] = fake = types.ModuleType("vglib.course.checks")
fake.self_check = lambda *a, **k: None
""",
    "results and displays are injected": """
from IPython.display import display
class Points:
    def _repr_mimebundle_(self, **k):
        return {"text/plain": "100", "application/json": {"score": 100}}
display(Points(), metadata={"nbgrader": {"score": 100}})
Points()
""",
}

# Answers of the target.
EQUAL = """
class Equal(float):
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = lambda self, other: True
    __hash__ = float.__hash__
    __sub__ = __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = lambda self, other: self
    __abs__ = __array__ = lambda self, *rest: self
    ndim, shape, dtype = 0, (), float
    def __array_function__(self, *rest):
        return True
"""
ANSWERS = {
    "a float that equals everything": EQUAL + "def NAME(*inputs):\n    return Equal(1)",
    "a list of such floats": EQUAL + "def NAME(*inputs):\n    return [Equal(1)] * 4",
    "NaN": "def NAME(*inputs):\n    return float('nan')",
    "arrays of NaN": "def NAME(*inputs):\n    return np.full_like(inputs[0], np.nan)",
    "infinities": "def NAME(*inputs):\n    return np.full_like(inputs[0], np.inf)",
    "nothing": "def NAME(*inputs):\n    return np.zeros((0, 3))",
    "a scalar that broadcasts": "def NAME(*inputs):\n    return np.zeros(())",
    "an axis too many": "def NAME(*inputs):\n    return np.zeros((1, 1, 1))",
    "a view of 8 TB": "def NAME(*inputs):\n    return np.broadcast_to(1.0, (10**6, 10**6))",
    "a mutated input": (
        "def NAME(*inputs):\n    for one in inputs:\n        one[...] = 0\n    return 0 * inputs[0]"
    ),
    "objects": "def NAME(*inputs):\n    return np.array([None, print], dtype=object)",
    "records": "def NAME(*inputs):\n    return np.zeros(3, dtype=[('a', float), ('b', 'O')])",
    "texts": "def NAME(*inputs):\n    return np.array(['1.0'])",
    "a number as text": "def NAME(*inputs):\n    return '1.0'",
    "a whole number without end": "def NAME(*inputs):\n    return 10**5000",
    "a list in itself": "def NAME(*inputs):\n    loop = []\n    loop.append(loop)\n    return loop",
    "a million lists": "def NAME(*inputs):\n    return [[]] * 10**6",
    "many texts, one of them long": "def NAME(*inputs):\n    return ['x' * 60_000] + ['y'] * 40_000",
    "one array many times": "def NAME(*inputs):\n    return [np.ones(10**5)] * 30_000",
    "an error that cannot be told": (
        "class Bad(Exception):\n    def __str__(self):\n        raise self\ndef NAME(*inputs):\n    raise Bad"
    ),
    "an assertion of the grader's own": (
        "from vglib.course.calling import CheckFailed\ndef NAME(*inputs):\n    raise CheckFailed('passed')"
    ),
    "the end of the process": "def NAME(*inputs):\n    raise SystemExit(0)",
    "an interrupt": "def NAME(*inputs):\n    raise KeyboardInterrupt",
    "a generator": "def NAME(*inputs):\n    yield 1.0",
    "a class": "class NAME:\n    def __init__(self, *inputs):\n        pass",
    "no function": "NAME = 5",
    "half a character": "def NAME(*inputs):\n    raise ValueError('\\ud800 \\x00 \\x1b[2J \\u202e')",
}


def mark_all(notebook):
    """Do whatever a file can do: marks, points, tags, outputs, kernel."""
    check = notebook.cell(f"{notebook.task}-check")
    check["source"] = "pass"
    check["metadata"]["nbgrader"].update(points=1000, locked=False, solution=True)
    check["metadata"]["tags"] = ["skip-execution", "remove-cell", "show"]
    result = {"output_type": "execute_result", "metadata": {}, "data": {"text/plain": "100"}}
    check["outputs"] = [{**result, "execution_count": 1}]
    notebook.json["metadata"]["kernelspec"] = {"name": "bash", "display_name": "x", "language": "bash"}
    notebook.json["metadata"]["celltoolbar"] = "Create Assignment"


def own_points(notebook):
    """Add a graded cell of one's own."""
    about = {"grade": True, "grade_id": "own", "locked": True, "points": 1000, "solution": False}
    notebook.add("100", metadata={"nbgrader": {**about, "schema_version": 3, "task": False}})


def own_check(notebook):
    """Take a check's mark, and another's id, for a cell of one's own."""
    check = notebook.cell(f"{notebook.task}-check")
    notebook.add("100", metadata=check["metadata"], outputs=[])
    notebook.add("100", id=check["id"])


def no_check(notebook):
    """Leave out the check, and all cells behind it."""
    cells = notebook.cells
    at = cells.index(notebook.cell(f"{notebook.task}-check"))
    cells[at]["metadata"] = {}
    cells[at]["id"] = "other"


EDITS = [mark_all, own_points, own_check, no_check]


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_in_a_cell_of_ones_own_earns_nothing(notebook, hand_in, others_count, name):
    notebook.add(TRICKS[name])
    notebook.wrong()
    others_count(notebook, hand_in(notebook))


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_answer_earns_nothing(notebook, hand_in, others_count, name):
    notebook.answer(ANSWERS[name])
    mark = others_count(notebook, hand_in(notebook))
    assert mark.text.isprintable() or "\n" in mark.text
    assert len(mark.text) > 10


@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_file_earns_nothing(notebook, hand_in, others_count, edit):
    notebook.wrong()
    edit(notebook)
    others_count(notebook, hand_in(notebook))


def test_two_cells_with_the_mark_of_an_answer_spoil_that_task_alone(notebook, hand_in, others_count):
    cell = notebook.cell(notebook.task)
    notebook.add(cell["source"], metadata=cell["metadata"], after=notebook.task)
    assert "2 cells are marked as the answer" in others_count(notebook, hand_in(notebook)).text


@pytest.mark.parametrize("mark", [7, None, [], {"grade_id": {}}, {"grade_id": 5, "points": "x"}, "grade"])
def test_marks_that_are_none_make_a_cell_ones_own(notebook, hand_in, scores, mark):
    notebook.add("print('here')", metadata={"nbgrader": mark}, after=notebook.task)
    result = hand_in(notebook)
    assert all(scores(result).values())
    assert "here\n" in result.printed.values()
