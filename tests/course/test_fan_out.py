"""Fanning out: every task has an outcome, whatever happens to workers, and nothing is left running."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from vglib.course.fan_out import LostTaskError, fan_out
from vglib.course.workers import Inline, Processes

ROOT = Path(__file__).resolve().parents[2]
# Spawned processes find these functions by name in a module of their own.
TASKS = """
import os, signal, sys, time
from pathlib import Path

def double(x):
    return 2 * x

def fail(text):
    raise ValueError(text)

class StubbornError(Exception):
    def __init__(self, one, two):
        super().__init__("cannot be unpickled")

def stubborn():
    raise StubbornError(1, 2)

def leave():
    sys.exit("left")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def quit():
    os._exit(5)

def die_once(mark):
    if not Path(mark).exists():
        Path(mark).touch()
        die()
    return "alive"

def after(path):
    while not Path(path).exists():
        time.sleep(0.02)
    return "after"

def stall_once(value, folder):
    known = list(Path(folder).glob(f"{value}.*"))
    slow(0.0 if known else 600.0, value, folder)
    return value

def slow(seconds, value, folder):
    (Path(folder) / f"{value}.{os.getpid()}").touch()
    time.sleep(seconds)
    return value

def threads():
    return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]

def process():
    return os.getpid()
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "some_tasks.py").write_text(TASKS, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield __import__("some_tasks")
    sys.path.remove(str(folder))


def outcomes(tasks, workers):
    """Return values and errors by key; each key comes once."""
    found = list(fan_out(tasks, workers))
    assert sorted(outcome.key for outcome in found) == sorted(tasks)
    return {outcome.key: outcome.value if outcome.error is None else outcome.error for outcome in found}


def gone(process):
    """Wait for a process to end."""
    for _ in range(200):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").exists() and ") Z " in Path(f"/proc/{process}/stat").read_text():
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [Inline(), Processes(2)])
def test_values_and_errors(tasks, workers):
    some = {str(i): partial(tasks.double, i) for i in range(5)}
    bad_ones = {"bad": partial(tasks.fail, "text"), "stubborn": tasks.stubborn, "left": tasks.leave}
    found = outcomes({**bad_ones, **some}, workers)
    bad, stubborn, left = (found.pop(name) for name in bad_ones)
    assert found == {str(i): 2 * i for i in range(5)}
    assert (type(bad), str(bad)) == (ValueError, "text")
    assert str(stubborn).endswith("cannot be unpickled")
    assert (type(left), str(left)) == (SystemExit, "left")
    assert outcomes({}, workers) == {}


def test_processes_are_others_with_one_thread(tasks, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = outcomes({"threads": tasks.threads, "process": tasks.process, "left": tasks.leave}, Processes(1))
    assert found["threads"] == ("1", "1", "1")
    assert found["process"] != os.getpid()
    assert isinstance(found["left"], SystemExit)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    assert outcomes({"process": tasks.process}, Inline()) == {"process": os.getpid()}


def test_what_cannot_be_pickled_is_an_outcome(tasks):
    found = outcomes({"local": lambda: 1, "good": partial(tasks.double, 1)}, Processes(1))
    assert found["good"] == 2
    assert "pickle" in str(found["local"])


def test_results_come_as_they_are_done(tasks, tmp_path):
    mark = tmp_path / "mark"
    some = {"slow": partial(tasks.after, mark), "quick": partial(tasks.double, 1)}
    with closing(fan_out(some, Processes(2))) as found:
        assert next(found).key == "quick"
        mark.touch()
        assert [(outcome.key, outcome.value) for outcome in found] == [("slow", "after")]


def test_a_killed_worker_loses_nothing(tasks, tmp_path):
    some = {f"once{i}": partial(tasks.die_once, tmp_path / str(i)) for i in range(2)}
    some |= {str(i): partial(tasks.double, i) for i in range(6)}
    found = outcomes(some, Processes(2))
    assert found == {**{f"once{i}": "alive" for i in range(2)}, **{str(i): 2 * i for i in range(6)}}


def test_a_worker_killed_from_outside(tasks, tmp_path):
    def kill():
        while not (files := list(tmp_path.glob("first.*"))):
            time.sleep(0.02)
        os.kill(int(files[0].suffix[1:]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    some = {"first": partial(tasks.stall_once, "first", tmp_path)}
    some |= {name: partial(tasks.slow, 0.0, name, tmp_path) for name in ("second", "third")}
    assert outcomes(some, Processes(2)) == {name: name for name in some}
    thread.join()
    assert len(list(tmp_path.glob("first.*"))) == 2


@pytest.mark.parametrize(("end", "how"), [("die", "signal 9"), ("quit", "exit status 5")])
def test_a_task_that_kills_its_worker_again_is_given_up_and_others_go_on(tasks, end, how):
    some = {"deadly": getattr(tasks, end), **{str(i): partial(tasks.double, i) for i in range(4)}}
    found = outcomes(some, Processes(2))
    error = found.pop("deadly")
    assert found == {str(i): 2 * i for i in range(4)}
    assert isinstance(error, LostTaskError)
    assert f"task deadly: its process died 2 times while no other task ran ({how})" in str(error)


def test_closing_ends_what_runs(tasks, tmp_path):
    some = {str(i): partial(tasks.slow, 0.0 if i == 0 else 600.0, i, tmp_path) for i in range(9)}
    with closing(fan_out(some, Processes(2))) as found:
        assert next(found).key == "0"
        while not (files := list(tmp_path.glob("[12].*"))):
            time.sleep(0.02)
        start = time.monotonic()
    assert time.monotonic() - start < 10
    assert all(gone(int(file.suffix[1:])) for file in files)


ORDERS = """
import sys
from functools import partial
sys.path.insert(0, sys.argv[1])
import some_tasks
from vglib.course.fan_out import fan_out
from vglib.course.workers import Processes
if __name__ == "__main__":
    tasks = {str(i): partial(some_tasks.slow, 600.0, i, sys.argv[2]) for i in range(4)}
    for outcome in fan_out(tasks, Processes(2)):
        pass
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_order_ends(tasks, tmp_path, how):
    script = tmp_path / "orders.py"
    script.write_text(ORDERS, encoding="utf-8")
    command = [sys.executable, str(script), str(Path(tasks.__file__).parent), str(tmp_path)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    ) as order:
        while len(files := list(tmp_path.glob("[01].*"))) < 2:
            assert order.poll() is None
            time.sleep(0.05)
        order.send_signal(how)
        error = order.communicate(timeout=30)[1].decode()
    assert order.returncode == -how
    if how == signal.SIGINT:
        assert error.rstrip().endswith("KeyboardInterrupt")
        assert error.count("Traceback") == 1
    assert all(gone(int(file.suffix[1:])) for file in files)


def test_any_executor_that_breaks():
    class Frail:
        """Hands its second task back, broken, once; and once takes none."""

        def __init__(self):
            self.log, self.moods = [], ["refuses", "breaks", "works"]

        at_once = 3

        def start(self):
            self.mood = self.moods.pop(0)
            self.given = 0
            return self

        def stop(self, executor, hurry):
            self.log.append((self.mood, hurry))
            return ""

        def submit(self, task):
            self.given += 1
            if self.mood == "refuses":
                raise BrokenExecutor
            future = Future()
            if self.mood == "breaks" and self.given == 2:
                future.set_exception(BrokenExecutor())
            else:
                future.set_result(task())
            return future

    frail = Frail()
    assert outcomes({str(i): partial(int, i) for i in range(5)}, frail) == {str(i): i for i in range(5)}
    assert frail.log == [("refuses", True), ("breaks", True), ("works", False)]


def test_bad_input():
    with pytest.raises(TypeError, match="tasks must be a mapping from keys to callables; got list"):
        fan_out([print], Inline())
    with pytest.raises(TypeError, match="tasks must be a mapping from keys to callables; 'a' has 3"):
        fan_out({"a": 3}, Inline())
    with pytest.raises(ValueError, match="jobs must be at least 1; got 0"):
        Processes(0)
    with pytest.raises(TypeError, match="jobs must be an integer; got '2'"):
        Processes("2")
