"""However much a learner's code prints, the grading process stays small, and so does what it writes."""

import subprocess
import time
from pathlib import Path

import pytest

from vglib.course.grading import bounded
from vglib.course.grading.export import grades, tasks
from vglib.course.grading.grade import Mark, Result


def test_what_is_too_long_is_cut(monkeypatch):
    marks = [Mark("a", 0.0, 1.0, "x" * 10**6)]
    result = Result(marks, dict.fromkeys(range(100), "y" * 10**5), ["z" * 10**5] * 1000)
    monkeypatch.setattr(bounded, "grade", lambda job: result)
    found = bounded.graded(None)
    assert found.marks[0].text.startswith("x" * 4000 + "… (1,000,000 characters")
    assert sum(map(len, found.printed.values())) < 450_000
    assert found.printed.keys() == result.printed.keys()
    assert len(found.reports) == 41
    assert found.reports[-1] == "and 960 more like these"
    assert max(map(len, found.reports)) < 500
    short = Result([Mark("a", 1.0, 1.0, "Right.")], {0: "1"}, ["one"])
    monkeypatch.setattr(bounded, "grade", lambda job: short)
    assert bounded.graded(None) == short


def test_floods_do_not_fill_the_grading_process(course, notebooks):
    cell = "code", "print('x' * 20_000)"
    for number in range(6):
        course.hand_in(f"wordy-{number}", notebooks.with_cells(notebooks.blank(), *[cell] * 300))
    endless = "code", "while True:\n    print('x' * 1000)"
    course.hand_in("endless", notebooks.with_cells(notebooks.solved(), endless))
    peak = 0
    with subprocess.Popen(
        course.command("--jobs", 2), env=course.environment, stdout=-1, stderr=-1, text=True
    ) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
            peak = max([peak, *(int(line.split()[1]) for line in lines)])
            time.sleep(0.02)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert peak / 1024 < 250
    assert "7 graded now" in out
    (line,) = [line for line in out.splitlines() if line.startswith("endless") and "of" in line]
    assert "8 of 8" in line
    assert "printed more than any reader would read" in line
    sizes = [path.stat().st_size for path in course.path.glob("[af]*/*/*/*")]
    assert len(sizes) == 14
    assert max(sizes) < 2 * 2**20


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "-1"),
        ("+1.5e-3", "+1.5e-3"),
        ("-1-1", "'-1-1"),
        ("fine;=1+1", '"fine;\'=1+1"'),
        ("a\n=b\x1b[0m\x00", "a =b[0m"),
        ("\t=1", "'=1"),
        ("a,b", '"a,b"'),
        ('say "x"', '"say ""x"""'),
    ],
)
def test_cells_of_tables(text, cell):
    mark = {"task": "t", "score": 1 / 3, "points": 1.0, "text": text, "stopped": ""}
    record = {"student": "ada", "topic": "gru", "status": "graded", "handed_in": "", "reason": ""}
    record |= {"marks": [mark], "reports": [text]}
    cell = cell.replace('"', "") if ";" in text else cell
    assert tasks([record], {}).splitlines()[1] == f"ada,gru,t,0.3333333333,1,,{cell}"
    assert grades([record], {}).splitlines()[1] == f"ada,gru,graded,0.3333333333,1,,,{cell}"
    refused = {**record, "status": "refused", "reason": text, "reports": [], "marks": []}
    assert grades([refused], {}).splitlines()[1] == f"ada,gru,refused,,,,,{cell}"
