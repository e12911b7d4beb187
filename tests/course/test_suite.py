"""The test command: every step runs, and what failed is counted."""

import sys

import pytest

from vglib.course import suite

REPORT = """<?xml version="1.0"?><testsuites>
<testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"></testsuite></testsuites>"""


def test_reports_are_counted(tmp_path):
    report = tmp_path / "report.xml"
    assert suite.count(report) == (0, 0, 0)
    report.write_text(REPORT, encoding="utf-8")
    assert suite.count(report) == (4, 3, 3)
    report.write_text(REPORT[:60], encoding="utf-8")
    assert suite.count(report) == (0, 0, 0)


def test_last_line_counts_everything():
    outcomes = [suite.Outcome("a", 3, 0, 1, 0.5), suite.Outcome("b", 0, 1, 0, 12.25)]
    lines = suite.table(outcomes).splitlines()
    assert lines[-1] == "3 passed, 1 failed"
    assert lines[0].split() == ["step", "passed", "failed", "skipped", "seconds"]
    assert lines[2].split() == ["b", "0", "1", "0", "12.2"]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Function that runs the given steps, each a name and Python code, and returns status and output."""

    def run(steps, arguments=()):
        listed = [(name, [sys.executable, "-c", code]) for name, code in steps]
        monkeypatch.setattr(suite, "root", lambda: tmp_path)
        monkeypatch.setattr(suite, "steps", lambda folder, arguments: listed)
        return suite.run(list(arguments)), capfd.readouterr().out.splitlines()

    return run


def test_a_failing_step_does_not_stop_the_others(run):
    status, lines = run([("first", "raise SystemExit(7)"), ("second", "print('ran')")])
    assert status == 1
    assert "ran" in lines
    assert lines[-1] == "1 passed, 1 failed"


def test_all_good_is_0(run):
    status, lines = run([("only", "pass")])
    assert (status, lines[-1]) == (0, "1 passed, 0 failed")


@pytest.mark.parametrize(
    ("code", "selected", "failed"), [(5, True, 0), (5, False, 1), (2, True, 1), (0, False, 0)]
)
def test_pytest_that_collects_nothing_fails_unless_selected(tmp_path, code, selected, failed):
    command = [sys.executable, "-c", f"raise SystemExit({code})", "pytest"]
    assert suite._step(tmp_path, "tests", command, selected=selected).failed == failed


def test_steps_come_in_order_and_the_book_before_its_pages(tmp_path):
    (tmp_path / "exercises").mkdir()
    names = [name for name, _ in suite.steps(tmp_path, [])]
    assert names == ["ruff check", "ruff format", "imports", "tests", "book", "pages"]
    (tmp_path / "exercises" / "bptt.ipynb").touch()
    names = [name for name, _ in suite.steps(tmp_path, [])]
    assert names == ["ruff check", "ruff format", "imports", "tests", "exercises", "book", "pages"]


def test_arguments_reach_pytest_alone(tmp_path):
    for name, command in suite.steps(tmp_path, ["-k", "clipping"]):
        assert (command[-2:] == ["-k", "clipping"]) is (name in {"tests", "pages"})
