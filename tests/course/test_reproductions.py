"""Reproductions: nothing is computed twice, nothing is lost, and what is stored is what the code computes."""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vglib.course import checkout, cli, reproductions
from vglib.course.reproductions import Reproduction, find, recall, runner, store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def toy():
    """A reproduction of four quick runs, and the list of the runs it did."""
    ran = []

    def run(settings, seed):
        ran.append((settings["size"], seed))
        return {"value": settings["size"] / 3 + seed, "list": np.arange(2) / 7, "none": None}

    settings = ({"size": 2}, {"size": 1})
    return Reproduction("toy", "a toy", run, settings, seeds=(0, 1), device="an abacus"), ran


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "toy.jsonl"


@pytest.fixture
def course(monkeypatch, tmp_path, toy):
    """A checkout whose only reproduction is the toy."""
    for module in (reproductions, store):
        monkeypatch.setattr(module, "NAMES", ("toy",))
    for module in (runner, store):
        monkeypatch.setattr(module, "root", lambda: tmp_path)
    monkeypatch.setattr(reproductions, "find", lambda name: toy[0])
    for variable in runner.ONE_THREAD:
        monkeypatch.setenv(variable, "1")


def test_a_record_holds_what_identifies_a_run_and_what_came_out(toy, path):
    assert runner.run(toy[0], path) == (4, 0)
    records = store.read(path)
    keys = [(record["settings_hash"], record["seed"]) for record in records]
    assert keys == sorted(keys)
    assert {(record["settings"]["size"], record["seed"]) for record in records} == set(toy[1])
    record = next(record for record in records if record["settings"]["size"] == 2 and record["seed"] == 1)
    assert record["schema"] == store.SCHEMA
    assert record["numbers"] == {"value": 1.66667, "list": [0.0, 0.142857], "none": None}
    assert record["versions"].keys() == {"python", "vglib", "numpy"}
    assert record["versions"]["numpy"] == np.__version__
    meta = store.read_meta(path)
    assert meta.keys() == {store.key(record["settings"], record["seed"]) for record in records}
    assert {run["device"] for run in meta.values()} == {"an abacus"}


def test_what_is_done_is_skipped_unless_fresh(toy, path):
    reproduction, ran = toy
    runner.run(reproduction, path)
    before = path.read_bytes()
    assert runner.run(reproduction, path) == (0, 0)
    assert len(ran) == 4
    assert runner.run(reproduction, path, fresh=True) == (4, 0)
    assert len(ran) == 8
    assert path.read_bytes() == before


def test_an_interruption_loses_the_run_at_hand_alone(toy, path, tmp_path):
    reproduction, ran = toy

    def stops(settings, seed):
        if len(ran) == 2:
            raise KeyboardInterrupt
        return reproduction.run(settings, seed)

    with pytest.raises(KeyboardInterrupt):
        runner.run(Reproduction("toy", "", stops, reproduction.settings, reproduction.seeds), path)
    assert len(store.read(path)) == 2
    assert runner.run(reproduction, path) == (2, 0)
    assert ran == list(dict.fromkeys(ran))
    whole = tmp_path / "whole.jsonl"
    runner.run(reproduction, whole)
    assert path.read_bytes() == whole.read_bytes()


def test_a_killed_process_leaves_whole_files(toy, path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from vglib.course.reproductions import Reproduction, runner\n"
        "def run(settings, seed):\n"
        "    if seed == 1: os._exit(9)\n"
        "    return {'value': settings['size'] / 3 + seed, 'list': [0.0, 1 / 7], 'none': None}\n"
        "toy = Reproduction('toy', '', run, ({'size': 2}, {'size': 1}), (0, 1))\n"
        "runner.run(toy, Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"", b"")
    assert len(store.read(path)) == 2
    assert runner.run(toy[0], path) == (2, 0)
    assert toy[1] == [(2, 1), (1, 1)]


def test_fresh_keeps_the_old_file_until_a_run_is_done(toy, path):
    runner.run(toy[0], path)
    before = path.read_bytes()

    def stops(settings, seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(Reproduction("toy", "", stops, toy[0].settings, (0, 1)), path, fresh=True)
    assert path.read_bytes() == before


def test_runs_no_longer_asked_for_are_left_out(toy, path):
    runner.run(toy[0], path)
    fewer = Reproduction("toy", "", toy[0].run, toy[0].settings[:1], seeds=(0, 1))
    assert runner.run(fewer, path) == (0, 2)
    assert {record["settings"]["size"] for record in store.read(path)} == {2}
    assert len(store.read_meta(path)) == 2


FRAGILE = """
import os, signal
from pathlib import Path

def run(settings, seed):
    mark = Path(settings["folder"]) / str(seed)
    if settings["kind"] == "dies once" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if settings["kind"] == "fails" and seed == 1:
        raise ValueError("no luck")
    if settings["kind"] == "is not finite" and seed == 1:
        return {"value": float("nan")}
    return {"value": seed / 3}
"""


@pytest.fixture
def fragile(tmp_path, monkeypatch):
    """Return a function that makes a reproduction of four runs whose processes die, or which fail."""
    (tmp_path / "fragile.py").write_text(FRAGILE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fragile", raising=False)
    run = importlib.import_module("fragile").run
    return lambda kind: Reproduction(
        "toy", "", run, ({"kind": kind, "folder": str(tmp_path)},), tuple(range(4))
    )


def test_the_file_is_the_same_whatever_the_number_of_jobs(tmp_path):
    small = {**recall.REPRODUCTION.settings[0], "lag": 3, "updates": 20, "window": 10}
    settings = (small, {**small, "start": "orthogonal"})
    reproduction = Reproduction("toy", "", recall.run, settings, (0, 1, 2))
    paths = [tmp_path / f"{jobs}.jsonl" for jobs in (1, 3)]
    assert runner.run(reproduction, paths[0]) == (6, 0)
    assert runner.run(reproduction, paths[1], jobs=3) == (6, 0)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert store.read_meta(paths[0]).keys() == store.read_meta(paths[1]).keys()


def test_runs_whose_process_is_killed_are_done_again(fragile, path):
    assert runner.run(fragile("dies once"), path, jobs=2) == (4, 0)
    assert [record["numbers"]["value"] for record in store.read(path)] == [0.0, 0.333333, 0.666667, 1.0]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", ["fails", "is not finite"])
def test_a_run_that_fails_is_reported_and_the_others_go_on(fragile, path, capsys, kind, jobs):
    message = rf"^toy: 1 of 4 runs failed; {path} has the others$"
    with pytest.raises(runner.RunsFailedError, match=message):
        runner.run(fragile(kind), path, jobs=jobs)
    said = capsys.readouterr().err
    assert said.startswith(f"seed 1, {{'kind': '{kind}', ")
    assert ("ValueError: no luck" if kind == "fails" else "ValueError: value must be finite") in said
    assert [record["seed"] for record in store.read(path)] == [0, 2, 3]


@pytest.mark.usefixtures("course")
def test_a_failure_is_the_exit_code(fragile, monkeypatch, capsys):
    monkeypatch.setattr(reproductions, "find", lambda name: fragile("fails"))
    assert cli.main(["reproduce", "--jobs", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("vglib reproduce: toy: 1 of 4 runs failed; ")


@pytest.mark.usefixtures("course")
def test_load_selects_by_settings(toy, path):
    runner.run(toy[0], path)
    assert len(store.load("toy")) == 4
    assert [record["seed"] for record in store.load("toy", size=1)] == [0, 1]
    assert store.provenance("toy")["devices"] == ["an abacus"]
    with pytest.raises(ValueError, match=r"no run with the settings \{'size': 3\}"):
        store.load("toy", size=3)
    with pytest.raises(ValueError, match="name must be one of 'toy'"):
        store.load("recall")


@pytest.mark.usefixtures("course")
def test_load_says_which_command_is_missing(path):
    with pytest.raises(store.ResultsError, match="python -m vglib reproduce toy") as raised:
        store.load("toy")
    assert str(path) in str(raised.value)


@pytest.mark.usefixtures("course")
def test_the_command(capsys, toy, path):
    assert cli.main(["reproduce", "--list"]) == 0
    assert "0/4 runs  a toy" in capsys.readouterr().out
    assert cli.main(["reproduce"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{path}: 4 runs done in ")
    assert said.err == ""  # no progress bar but on a terminal
    assert runner.command("toy") == 0
    assert capsys.readouterr().out == f"{path}: nothing to do\n"
    assert cli.main(["reproduce", "--fresh"]) == 0
    assert len(toy[1]) == 8
    path.write_text("x", encoding="utf-8")
    assert cli.main(["reproduce"]) == 1
    assert capsys.readouterr().err.startswith(f"vglib reproduce: {path}, line 1: not a whole record")
    assert path.read_text(encoding="utf-8") == "x"
    assert cli.main(["reproduce", "--fresh"]) == 0
    assert len(store.load("toy")) == 4


@pytest.mark.usefixtures("course")
def test_more_threads_mean_another_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    calls = []

    def record(command, env, check):
        calls.append((command[1:], env["OMP_NUM_THREADS"]))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(runner.subprocess, "run", record)
    assert runner.command("toy", fresh=True) == 7
    assert runner.command(jobs=3) == 7
    assert calls == [
        (["-m", "vglib", "reproduce", "toy", "--fresh"], "1"),
        (["-m", "vglib", "reproduce", "--jobs", "3"], "1"),
    ]


def test_the_command_line_is_checked(capsys, monkeypatch, tmp_path):
    for wrong in (["--fly"], ["nothing"], ["--jobs", "0"], ["--jobs", "two"], ["--jobs", "-1"], ["--jobs"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["reproduce", *wrong])
        assert stop.value.code == 2
    assert "argument --jobs: must be a whole number from 1; got 'two'" in capsys.readouterr().err
    monkeypatch.setattr(checkout.vglib, "__file__", str(tmp_path / "vglib" / "__init__.py"))
    assert cli.main(["reproduce"]) == 3
    assert capsys.readouterr().err.startswith("vglib reproduce: no book beside the library")


@pytest.mark.parametrize("name", reproductions.NAMES)
def test_every_reproduction_is_stored_whole(name):
    reproduction = find(name)
    assert reproduction.name == name
    stored = [store.key(record["settings"], record["seed"]) for record in store.load(name)]
    assert set(stored) == {store.key(*task) for task in reproduction.tasks()}
    path = ROOT / "results" / f"{name}.jsonl"
    assert store.read_meta(path).keys() == set(stored)
    assert path.stat().st_size < 600_000
    assert pickle.loads(pickle.dumps(reproduction.run)) is reproduction.run  # --jobs sends it elsewhere


def test_finding_what_is_not_there():
    with pytest.raises(ValueError, match=r"name must be one of .*'recall'"):
        find("nothing")
