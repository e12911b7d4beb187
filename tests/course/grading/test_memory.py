"""The grader's own memory stays small, whatever a submission prints, sends or returns."""

import json
import subprocess
import sys
from pathlib import Path

MOST = 250_000  # KiB; about half of it is Python with NumPy

# Grades one hostile notebook in a process of its own and prints the most memory that it ever had.
CODE = """if True:
    import json, sys
    from dataclasses import replace
    from vglib.course.grading.grade import Job, grade
    from vglib.course.grading.intake import parse, rebuild
    from vglib.course.grading.limits import Limits
    from vglib.course.release import blank

    with open(sys.argv[1], encoding="utf-8") as file:
        released = blank(json.load(file))
    cells = list(released["cells"])
    for source in json.loads(sys.argv[2]):
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        cells.append({**cell, "source": source})
    submission = rebuild(released, parse(json.dumps({**released, "cells": cells}).encode()))
    # What stands behind the last cell runs in vain: a learner's own cells go in front.
    own = [item for item in submission.items if item.kind == "own"]
    items = own + [item for item in submission.items if item.kind != "own"]
    limits = Limits(cell=10.0, call=10.0, total=40.0, memory=1 << 30)
    result = grade(Job(sys.argv[3], items, {}, (1,), limits))
    assert sum(mark.score for mark in result.marks) == 0
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
# Each of the course's functions answers like this, whatever it is called.
ALL = """
class Names(dict):
    def get(self, name, default=None):
        return answered
import numpy as np, vglib.course.guest as guest, vglib.course.calling as calling
real = guest.answer
guest.answer = lambda names, request: real(Names(), request)
"""
ANSWERS = [
    "lambda *inputs: np.zeros(2**21, complex)",
    "lambda *inputs: np.zeros(2**21, bool)",
    "lambda *inputs: [np.zeros(900) for i in range(2300)]",
    "lambda *inputs: [np.zeros(2**20, bool), np.zeros(2**20, complex)]",
    "lambda *inputs: ['x' * 300] * 2_000 + ['y'] * 40_000",
    "lambda *inputs: [[[]]] * 10_000",
    "lambda *inputs: {str(i): i for i in range(20_000)}",
]
FLOODS = [
    "import vglib.course.guest as guest\nguest._Printed.taken = lambda self: '\\U0001f600' * 60_000",
    "print('\\U0001f600' * 9_000_000)",
    "'x' * 9_000_000",
    *["print('\\U0001f600' * 20_000)"] * 200,
    "import os\nwhile True: os.write(int(sorted(os.listdir('/proc/self/fd'), key=int)[-2]), b'\\0' * 65536)",
]


def most(topic, sources):
    """Return the most memory that the grader ever had over a notebook with these cells, in KiB."""
    path = Path(__file__).parents[3] / "exercises" / f"{topic}.ipynb"
    command = [sys.executable, "-c", CODE, str(path), json.dumps(sources), topic]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_of_answers_no_more_is_kept_than_a_checker_needs(sandbox):
    for answer in ANSWERS:
        assert most("irnn", [f"{ALL}\nanswered = {answer}"]) < MOST, answer


def test_of_what_is_printed_little_is_kept(sandbox):
    assert most("irnn", FLOODS) < MOST
