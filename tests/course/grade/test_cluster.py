"""Workers of a Dask cluster do what those of this machine do, and no mark is lost, whichever of them dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from vglib.course.checkout import CannotRunError
from vglib.course.fan_out import fan_out

pytest.importorskip("distributed")
from vglib.course import cluster

ROOT = str(Path(__file__).resolve().parents[3])
TASKS = """
import os, signal, time
from pathlib import Path

def double(x):
    return 2 * x

def fail(text):
    raise ValueError(text)

def slow(seconds, value, folder):
    (Path(folder) / f"{value}.{os.getpid()}").touch()
    time.sleep(seconds)
    return value

def die_once(mark):
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"
"""


class Cluster:
    """A scheduler and workers on the loopback device, each a process of its own."""

    def __init__(self, folder, environment):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.folder, self.environment = folder, environment
        self.address, self.processes, self.workers = f"tcp://127.0.0.1:{port}", [], []
        about = ["--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start("dask_scheduler", *about)

    def _start(self, module, *options):
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *options]
        log = open(self.folder / f"{len(self.processes)}.log", "wb")  # noqa: SIM115 - the process writes it
        process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    def add_worker(self, *options):
        about = ["--nthreads", "1", "--local-directory", str(self.folder / "workers"), *options]
        self.workers.append(self._start("dask_worker", self.address, "--no-nanny", *about))

    def wait(self):
        """Wait until all workers are known."""
        for number, process in enumerate(self.processes):
            log, until = self.folder / f"{number}.log", time.monotonic() + 60
            said = b"Scheduler at" if process is self.scheduler else b"Registered to"
            while said not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        return self

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def _cluster(folder, workers):
    folder.mkdir()
    (folder / "some_dask_tasks.py").write_text(TASKS, encoding="utf-8")
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")]), ROOT])
    one = Cluster(folder, {**os.environ, "PYTHONPATH": paths})
    try:
        for _ in range(workers):
            one.add_worker()
        yield one.wait()
    finally:
        one.end()


@pytest.fixture
def two(tmp_path):
    """A cluster of two workers."""
    with _cluster(tmp_path / "cluster", 2) as one:
        yield one


@pytest.fixture
def tasks(two, monkeypatch):
    """Functions that the workers know as well."""
    monkeypatch.syspath_prepend(str(two.folder))
    yield __import__("some_dask_tasks")
    sys.modules.pop("some_dask_tasks", None)


def _outcomes(found):
    return {one.key: one.error or one.value for one in found}


def test_a_cluster_grades_as_this_machine_does(course, new_course, notebooks, tmp_path, two):
    other = new_course(tmp_path / "other")
    some = [notebooks.solved(), notebooks.half()[0], notebooks.blank(), {"nbformat": 3}]
    for one in (course, other):
        for number, notebook in enumerate(some):
            one.hand_in(f"learner-{number}", notebook)
        one.hand_in("learner-1", notebooks.solved("irnn"), "irnn")
    course.grade("--jobs", 2, code=1)
    said = other.grade("--scheduler", two.address, code=1)
    assert "4 graded now, 0 before, 1 not graded" in said.out
    assert other.marks() == course.marks()
    assert other.scores() == course.scores()
    pages = sorted(str(path.relative_to(course.path)) for path in course.path.glob("feedback/*/*/*.html"))
    assert pages == sorted(
        str(path.relative_to(other.path)) for path in other.path.glob("feedback/*/*/*.html")
    )
    assert len(pages) == 4
    assert all(process.poll() is None for process in two.processes)


def test_a_worker_that_is_killed_loses_nothing(course, notebooks, two):
    expected = {}
    for number in range(10):
        course.hand_in(f"learner-{number:02d}", notebooks.blank() if number % 3 else notebooks.solved())
        expected[f"learner-{number:02d}", "initialization"] = ("0" if number % 3 else "8", "8")
    command = course.command("--no-feedback", "--scheduler", two.address)
    with subprocess.Popen(command, env=course.environment, stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and len(course.records()) < 3:
            time.sleep(0.01)
        two.workers[0].kill()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "10 graded now, 0 before, 0 not graded" in out
    assert course.marks() == expected


def test_when_the_scheduler_is_gone_the_marks_so_far_are_kept(course, notebooks, two):
    for number in range(12):
        course.hand_in(f"learner-{number:02d}", notebooks.blank())
    command = course.command("--no-feedback", "--scheduler", two.address)
    with subprocess.Popen(command, env=course.environment, stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and len(course.records()) < 3:
            time.sleep(0.01)
        two.scheduler.kill()
        start = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, (out, err)
    assert time.monotonic() - start < 15
    said = f"stopped, and all marks so far are kept: no Dask scheduler answers at {two.address}: "
    assert re.fullmatch(f"vglib grade: {said}.*\n", err)
    kept = len(course.records())
    assert 3 <= kept < 12
    assert f"{12 - kept} graded now, {kept} before" in course.grade("--no-feedback").out


def test_values_errors_and_what_cannot_be_sent(two, tasks):
    workers = cluster.Dask(two.address)
    assert workers.at_once == 4
    lock = threading.Lock()
    some = {str(i): partial(tasks.double, i) for i in range(9)} | {"bad": partial(tasks.fail, "text")}
    found = _outcomes(fan_out({**some, "unsendable": partial(tasks.double, lock)}, workers))
    assert isinstance(found.pop("unsendable"), Exception)
    bad = found.pop("bad")
    assert (type(bad), str(bad)) == (ValueError, "text")
    assert found == {str(i): 2 * i for i in range(9)}
    # The same workers serve a second batch.
    assert _outcomes(fan_out({"a": partial(tasks.double, 1)}, workers)) == {"a": 2}


def test_a_task_that_kills_its_worker_is_run_on_another(two, tasks, tmp_path):
    some = {"once": partial(tasks.die_once, tmp_path / "mark")}
    some |= {str(i): partial(tasks.double, i) for i in range(6)}
    found = _outcomes(fan_out(some, cluster.Dask(two.address)))
    assert found == {"once": "alive", **{str(i): 2 * i for i in range(6)}}


def test_an_interrupted_run_takes_back_what_has_not_begun(two, tasks, tmp_path):
    some = {str(i): partial(tasks.slow, 0.0 if i == 0 else 3.0, i, tmp_path) for i in range(9)}
    with closing(fan_out(some, cluster.Dask(two.address))) as outcomes:
        assert next(outcomes).key == "0"
        while len(list(tmp_path.glob("[12].*"))) < 2:
            time.sleep(0.02)
        start = time.monotonic()
    assert time.monotonic() - start < 3
    time.sleep(4)
    assert len(list(tmp_path.glob("[1-8].*"))) == 2


def test_all_workers_gone(two, tasks, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "NOBODY", 1.0)
    some = {str(i): partial(tasks.slow, 60.0, i, tmp_path) for i in range(2)}
    with pytest.raises(CannotRunError, match=f"kept: the Dask scheduler at {two.address} has no workers"):
        for _ in _killing(fan_out(some, cluster.Dask(two.address)), two, tmp_path):
            pass


def _killing(outcomes, two, folder):
    def kill():
        while len(list(folder.glob("[01].*"))) < 2:
            time.sleep(0.02)
        for worker in two.workers:
            worker.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield from outcomes
    thread.join()


def test_a_broken_executor_takes_nothing_more(two):
    workers = cluster.Dask(two.address)
    executor = workers.start()
    workers.stop(executor, hurry=True)
    with pytest.raises(BrokenExecutor):
        executor.submit(print)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("8786", "a scheduler's address looks like tcp://127.0.0.1:8786; got '8786'"),
        ("tcp://127.0.0.1", "looks like"),
        ("tcp://127.0.0.1:99999", "looks like"),
        ("inproc://x:1", "looks like"),
        ("tcp://192.0.2.1:8786", "marks and submissions would travel unencrypted"),
        ("tcp://0.0.0.0:8786", "marks and submissions would travel unencrypted"),
        ("tcp://nowhere.invalid:8786", "there is no host 'nowhere.invalid'"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ("tls://127.0.0.1:1", "no Dask scheduler answers at tls://127.0.0.1:1"),
    ],
)
def test_addresses(address, why, monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    with pytest.raises(CannotRunError) as error:
        cluster.Dask(address)
    assert why in str(error.value)


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    with _cluster(tmp_path / "cluster", 0) as one, pytest.raises(CannotRunError, match="has no workers"):
        cluster.Dask(one.address)


def test_workers_of_another_version(two, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "0.0.0")
    with pytest.raises(CannotRunError, match=r"has a worker, tcp://.*, with vglib .* instead of 0\.0\.0"):
        cluster.Dask(two.address)
