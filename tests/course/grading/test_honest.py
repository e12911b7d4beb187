"""Honest notebooks of all habits: whatever their authors did on the way, right answers earn their points."""

import json

import pytest

# Cells of one's own: where they stand (at the front, or behind the cell of an answer), and what they hold.
CELLS = {
    "names of others": "np = 1\nlist = print = len = 5\nstr = None\nmath = sum = 'x'",
    "a mistake": "this is no Python",
    "an exception": "1 / 0",
    "the end": "exit()",
    "quit": "import sys\nsys.exit('enough')",
    "magics": (
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\n"
        "%config InlineBackend.figure_format = 'retina'\n"
        "%timeit -n1 -r1 1 + 1\n!ls\nfiles = !ls /\n%env\n%who\n?print"
    ),
    "a cell magic": "%%time\nx = 1",
    "a shell": "%%bash\necho here",
    "widgets of a browser": "%%javascript\nalert(1)",
    "a figure": (
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()\nfig"
    ),
    "asynchronous": "import asyncio\nawait asyncio.sleep(0)",
    "threads": "import threading\nthreading.Thread(target=print, args=('here',)).start()",
    "processes": (
        "from multiprocessing import Pool\nwith Pool(2) as pool:\n    assert pool.map(abs, [-1]) == [1]\n"
        "import subprocess\nassert subprocess.run(['echo', 'x'], capture_output=True).stdout"
    ),
    "files": "open('notes.txt', 'w').write('x')\nimport tempfile\ntempfile.TemporaryDirectory().cleanup()",
    "a question": "try:\n    input('name? ')\nexcept EOFError:\n    pass",
    "warnings that are errors": "import warnings\nwarnings.simplefilter('error')",
    "other settings of NumPy": "np.seterr(all='raise')\nnp.set_printoptions(threshold=3)\nnp.random.seed(0)",
    "a self-check": "self_check('irnn', 'tolls')",
    "long ago deleted": "del np",
    "much text": "print('x' * 1_000_000)",
    "carriage returns and colours": "print('\\r50 %\\r\\x1b[31m100 %\\x1b[0m')",
    "other letters": "Δ = 'naïve – 中文 😀'\nprint(Δ)",
    "nothing": "",
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_ones_own_takes_no_points_away(notebook, hand_in, scores, name):
    # Behind the answers: there it finds the course's names, and functions have been defined.
    notebook.add(CELLS[name], after=list(notebook.points)[-1])
    last = list(notebook.points)[-1]
    result = hand_in(notebook, cell=20.0)
    earned = scores(result)
    spoilt = name in (
        "names of others",
        "long ago deleted",
        "other settings of NumPy",
        "warnings that are errors",
    )
    # These may change what one's own function computes; what was checked before does not hear of it.
    assert all(good for task, good in earned.items() if task != last or not spoilt), result.marks
    assert all(line == line.encode(errors="replace").decode() for line in result.printed.values())


def test_names_of_the_checks_may_be_taken(notebook, hand_in, scores):
    notebook.add("list = print = sum = rng = call = compare = checks = 5")
    for task in notebook.points:
        cell = notebook.cell(task)
        cell["source"] = [*cell["source"], "\nlist = tuple = print = answer = shell = pack = 'mine'"]
    assert all(scores(hand_in(notebook)).values())


def test_deleted_cells_are_put_back(notebook, hand_in, scores):
    keep = {*notebook.points}
    notebook.cells[:] = [
        cell for cell in notebook.cells if cell["metadata"].get("nbgrader", {}).get("grade_id") in keep
    ]
    assert all(scores(hand_in(notebook)).values())


def test_what_raises_in_one_exercise_does_not_touch_the_others(notebook, hand_in, others_count):
    notebook.answer("def NAME(*inputs):\n    return inputs[0] / 'x'")
    mark = others_count(notebook, hand_in(notebook))
    assert "raises TypeError" in mark.text
    assert "in line 2" in mark.text


def test_an_exercise_left_empty_is_said_to_be_empty(notebook, hand_in, others_count):
    notebook.answer("def NAME(*inputs):\n    raise NotImplementedError()")
    assert "is still empty" in others_count(notebook, hand_in(notebook)).text


def test_an_answer_may_stand_in_a_cell_of_ones_own(notebook, hand_in, scores):
    source = notebook.cell(notebook.task)["source"]
    notebook.answer("# see below")
    notebook.add(source, after=notebook.task)
    assert all(scores(hand_in(notebook)).values())


def test_helpers_text_and_torch_may_be_added(notebook, hand_in, scores):
    source = "".join(notebook.cell(notebook.task)["source"])
    notebook.add(
        "import torch\ndef helper(x):\n    return torch.as_tensor(x.copy()).numpy()\n", after="tools"
    )
    notebook.add("# Thoughts\n\nMine.", cell_type="markdown", after=notebook.task)
    notebook.add("raw", cell_type="raw")
    name = notebook.function()
    wrapped = f"\n_inner = {name}\ndef {name}(*inputs):\n    return torch.from_numpy(helper(_inner(*inputs)))"
    notebook.cell(notebook.task)["source"] = source + wrapped
    assert all(scores(hand_in(notebook, cell=30.0, memory=2**31)).values())


def test_torch_may_load_data_in_processes(notebook, hand_in, scores):
    notebook.add(
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
        "print(sum(len(x) for x, in DataLoader(TensorDataset(torch.ones(8, 2)), num_workers=2)))"
    )
    result = hand_in(notebook, cell=60.0, memory=2**31)
    assert "8\n" in result.printed.values()
    assert all(scores(result).values())


def test_cells_may_have_no_ids_and_stand_in_another_order(notebook, hand_in, scores):
    notebook.json["nbformat_minor"] = 4
    for cell in notebook.cells:
        cell.pop("id", None)
    notebook.cells.reverse()
    assert all(scores(hand_in(notebook)).values())


def test_cells_may_have_lost_their_marks(notebook, hand_in, scores):
    for cell in notebook.cells:
        cell["metadata"] = {}
    assert all(scores(hand_in(notebook)).values())


def test_line_ends_and_sources_in_one_piece(notebook, hand_in, scores):
    for cell in notebook.cells:
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    assert all(scores(hand_in(notebook)).values())


def test_a_foreign_kernel_and_stored_outputs_are_left_alone(notebook, hand_in, scores):
    notebook.json["metadata"] = {"kernelspec": {"name": "conda-env-x", "display_name": "X", "language": "R"}}
    png = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * 2_000_000}}
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [png]
    assert len(json.dumps(notebook.json)) > 5_000_000
    assert all(scores(hand_in(notebook)).values())


def test_what_is_printed_is_kept_and_bounded(notebook, hand_in):
    notebook.add("print('x' * 1_000_000)")
    notebook.add("print('before\\r\\nafter \\x1b[31mred\\x1b[0m \\x00 \\u202e')")
    result = hand_in(notebook)
    printed = [text for text in result.printed.values() if text]
    assert "before\nafter red \ufffd \ufffd\n" in printed
    assert any("1,000,001 characters in all" in text for text in printed)
    assert sum(map(len, printed)) < 30_000


def test_all_that_is_printed_together_is_bounded(notebook, hand_in, scores):
    for _ in range(100):
        notebook.add("print('x' * 20_000)")
    result = hand_in(notebook)
    assert sum(map(len, result.printed.values())) < 600_000
    assert all(scores(result).values())
