"""What importing costs, what it loads, what it documents."""

import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import vglib
import vglib.base

HEAVY = ("torch", "matplotlib", "ipywidgets", "sklearn", "IPython", "scipy", "pandas")
TOPICS = [m.name for m in pkgutil.iter_modules(vglib.__path__) if not m.ispkg and m.name != "__main__"]
BASE = [m.name for m in pkgutil.walk_packages(vglib.base.__path__, "base.")]
MODULES = ["vglib", *(f"vglib.{name}" for name in TOPICS + BASE)]


def fresh(code):
    """Run code in a Python of its own; return what it prints, read as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def module(name):
    """Import a module, or skip for want of what it needs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] == "vglib":
            raise
        pytest.skip(f"{name} needs {error.name}")


def test_import_loads_nothing_heavy():
    names = fresh("import vglib, sys, json; print(json.dumps(sorted(sys.modules)))")
    assert "vglib.base.rnn" in names
    assert not {name.split(".")[0] for name in names} & set(HEAVY)
    # Nor a topic: what one costs is paid by those who use it.
    assert not {f"vglib.{topic}" for topic in TOPICS if topic != "version"} & set(names)


@pytest.mark.parametrize(
    "ask",
    [
        "import vglib; found = vglib.clipping",
        "from vglib import clipping as found",
        "import vglib.clipping as found",
        "from vglib import *; found = clipping",
        "import vglib; found = getattr(vglib, 'clipping')",
    ],
)
def test_a_topic_is_loaded_when_it_is_asked_for(ask):
    code = f"{ask}\nimport sys, json, vglib; print(json.dumps([found.__name__, 'clipping' in vars(vglib)]))"
    assert fresh(code) == ["vglib.clipping", True]


def test_every_topic_is_a_name_of_the_package():
    assert set(TOPICS) - {"version"} == set(vglib.__all__) - {
        *("GRU", "LSTM", "RNN"),
        *("NonFiniteError", "__version__"),
    }
    assert set(vglib.__all__) <= set(dir(vglib))
    names = fresh("import vglib, json; print(json.dumps(dir(vglib)))")
    assert set(vglib.__all__) <= set(names)  # before any is loaded: what a notebook completes
    with pytest.raises(AttributeError, match="module 'vglib' has no attribute 'cliping'"):
        vglib.cliping  # noqa: B018 - asking is what is tested


def test_import_costs_little_beyond_numpy():
    # Time of the processor, and the best of a few: what else the machine does is not the library's.
    code = "import numpy, time; t = time.process_time(); import vglib; print(time.process_time() - t)"
    assert min(fresh(code) for _ in range(3)) < 0.05


def test_the_mathematics_runs_where_torch_and_the_rest_are_missing():
    code = f"""
import sys, json
for name in {HEAVY}:
    sys.modules[name] = None
import numpy as np
from vglib import RNN, bptt, jacobians
import vglib.base.data, vglib.base.losses
trace = bptt.unroll(RNN.init(2, 3), np.ones((4, 1, 2)))
grads = bptt.backprop(trace, trace.outputs)
found = [grads.states.shape, jacobians.log_norms(trace).shape, jacobians.log_norms(trace, 2).shape]
try:
    RNN.from_torch(None)
except ImportError:
    found.append("no torch")
print(json.dumps(found))
"""
    assert fresh(code) == [[5, 1, 3], [5, 1], [5, 1], "no torch"]


def test_names_of_the_package():
    assert set(vglib.__all__) >= {"RNN", "NonFiniteError", "bptt", "jacobians", "__version__"}
    assert vglib.__version__ == importlib.import_module("vglib.version").__version__


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_exists_and_is_documented(name):
    found = module(name)
    assert inspect.getdoc(found), f"{name} has no docstring"
    names = found.__all__ if hasattr(found, "__all__") else []
    assert names or name in ("vglib.base", "vglib.version"), f"{name} has no __all__"
    assert len(set(names)) == len(names)
    for public in names:
        thing = getattr(found, public)
        if not inspect.isclass(thing) and not inspect.isroutine(thing):
            continue
        assert thing.__doc__, f"{name}.{public} has no docstring"
        # A dataclass without one is given its signature.
        assert not thing.__doc__.startswith(f"{public}("), f"{name}.{public} has no docstring"
        if not inspect.isclass(thing):
            hints = inspect.signature(thing)
            assert hints.return_annotation is not inspect.Signature.empty, f"{name}.{public}: no return type"
            for parameter in hints.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, (
                    f"{name}.{public}: {parameter.name}"
                )


def test_examples_in_docstrings():
    attempted = {}
    for name in MODULES:
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        result = doctest.testmod(found)
        assert result.failed == 0, name
        attempted[name] = result.attempted
    for name in ("vglib.base.rnn", "vglib.jacobians", "vglib.base.precision"):
        assert attempted[name] > 0
