"""Setting up .venv: once, again after a change, afresh after an interruption."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vglib.course import environment

SCRIPT = Path(environment.__file__)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder to set up, where making and installing only leave traces."""
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    (tmp_path / "constraints.txt").write_text("numpy\n", encoding="utf-8")
    done = []

    def create(venv):
        done.append("create")
        python = environment.python_of(venv)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(environment, "_create", create)
    monkeypatch.setattr(environment, "_install", lambda python, root, extra: done.append(f"install {extra}"))
    return tmp_path, done


def test_environment_is_made_once(checkout):
    root, done = checkout
    assert environment.ensure(root) == environment.python_of(root / ".venv")
    assert done == ["create", "install test"]
    environment.ensure(root)
    assert done == ["create", "install test"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_pin_is_installed_in_place(checkout, name):
    root, done = checkout
    environment.ensure(root)
    with (root / name).open("a") as file:
        file.write("# changed\n")
    environment.ensure(root)
    assert done == ["create", "install test", "install test"]


def test_another_extra_is_installed(checkout):
    root, done = checkout
    environment.ensure(root, "book")
    environment.ensure(root, "test")
    assert done == ["create", "install book", "install test"]


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_installation_starts_afresh(checkout, monkeypatch, before):
    root, done = checkout
    if before:
        environment.ensure(root)
        (root / "constraints.txt").write_text("numpy==2\n", encoding="utf-8")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environment.ensure(root)
    done.clear()
    environment.ensure(root)
    assert done == ["create", "install test"]


def test_an_environment_that_the_reader_made_is_kept(checkout):
    root, done = checkout
    own = environment.python_of(root / ".venv")
    own.parent.mkdir(parents=True)
    own.touch()
    environment.ensure(root)
    assert done == ["install test"]
    environment.ensure(root)
    assert done == ["install test"]


def test_an_old_python_is_told(monkeypatch):
    monkeypatch.setattr(environment, "OLDEST", (99, 0))
    with pytest.raises(SystemExit, match=r"Python 99\.0 or later is needed; this is \d"):
        environment.main([])


def test_a_python_without_ensurepip_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt-get install python3"):
        environment._create(tmp_path / ".venv")


def test_a_failing_installation_is_told():
    with pytest.raises(SystemExit, match=r"Installing failed \(exit status 3\)"):
        environment._run([sys.executable, "-c", "raise SystemExit(3)"], "installing")


@pytest.mark.parametrize("arguments", [["--help"], ["book", "lab"]])
def test_wrong_arguments_are_told(arguments):
    with pytest.raises(SystemExit, match=r"usage: environment\.py"):
        environment.main(arguments)


def test_it_runs_by_path_with_the_standard_library_alone():
    # -S: no site-packages. The wrong argument keeps it from setting anything up.
    command = [sys.executable, "-I", "-S", str(SCRIPT), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: environment.py")


def test_it_costs_nothing_when_up_to_date(checkout):
    root, _ = checkout
    environment.ensure(root)
    # The best of a few: what else the machine does is not its cost.
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        environment.ensure(root)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.1
