"""What every test may ask for: array libraries, problems to differentiate, and oracles that share no code.

All of it comes as fixtures, so no test file imports another.
"""

import os
import shutil
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from vglib import GRU, LSTM, RNN
from vglib.base.recurrence import Recurrence

# The same examples in every run, so that a failure is everybody's.
settings.register_profile("vglib", derandomize=True, deadline=None, max_examples=20, database=None)
settings.load_profile("vglib")

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True)
class Backend:
    """One array library on one device."""

    name: str
    xp: ModuleType
    device: Any = None

    def array(self, values, dtype="float64"):
        """Return a fresh array of this library."""
        plain = np.array(values, dtype="float64" if "float" in dtype else dtype)
        return self.xp.asarray(plain, dtype=getattr(self.xp, dtype), device=self.device)

    def numpy(self, array):
        """Return the values in NumPy, float64 for floats, without the library's own conversion."""
        if hasattr(array, "detach"):
            array = array.detach().cpu()
            array = array.double() if array.is_floating_point() else array
        plain = np.asarray(array)
        return plain.astype("float64") if plain.dtype.kind == "f" else plain

    def cell(self, inputs=3, hidden=4, dtype="float64", scale=1.0, kind=RNN, **options):
        """Return a cell of this library; its recurrent weights are multiplied by `scale`."""
        cell = kind.init(inputs, hidden, xp=self.xp, device=self.device, dtype=dtype, **options)
        return cell.replace(weight_hh=cell.weight_hh * scale)

    def length(self, steps):
        """Return so many steps, or fewer where each takes long."""
        return min(steps, {"numpy": 5000, "array-api-strict": 300}.get(self.name, 1500))

    def scalar(self, weight, dtype="float64", **options):
        """Return the linear cell h' = weight · h + x."""
        plain = {"weight_ih": [[1.0]], "weight_hh": [[weight]], "bias_ih": [0.0], "bias_hh": [0.0]}
        weights = {name: self.array(values, dtype) for name, values in plain.items()}
        return RNN(**weights, **{"activation": "linear", **options})

    def check(self, actual, expected, dtype="float64", scale=None):
        """Assert library, device, dtype, shape, and values within the dtype's tolerance of the largest."""
        like = self.array([0.0], dtype)
        # NumPy's sum of everything is a scalar of NumPy's, not an array of no axes.
        assert type(actual) is type(like) or (np.shape(expected) == () and isinstance(actual, np.generic))
        assert actual.dtype == like.dtype
        assert actual.device == like.device
        expected = np.asarray(expected)
        assert tuple(actual.shape) == expected.shape
        scale = np.max(np.abs(expected), initial=0.0) if scale is None else scale
        np.testing.assert_allclose(
            self.numpy(actual), expected, rtol=0, atol=TOLERANCE[dtype] * scale + 1e-300
        )


@pytest.fixture(scope="session")
def torch():
    """PyTorch, or a skipped test."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


def _unavailable(message):
    """Skip on a reader's machine; in CI nothing may be missing."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


@pytest.fixture(scope="session")
def unavailable():
    """Function that says what is missing: a skip, in CI a failure."""
    return _unavailable


@pytest.fixture(scope="session")
def browser():
    """Chromium, one for all tests of a process; it can reach nothing but this machine."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ["chromium", "chromium-browser", "google-chrome"]
    # None lets Playwright take its own.
    found = next(filter(None, map(shutil.which, names)), None)
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with sync_api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=found, args=options)
        except sync_api.Error as error:
            _unavailable(f"no browser: apt-get install chromium ({error.message:.200})")
        yield opened
        opened.close()


def _libraries():
    """Name the array libraries; a GPU only where there is one, not as a skip of every test elsewhere."""
    names = ["numpy", "array-api-strict", "torch"]
    try:
        import torch
    except ModuleNotFoundError:
        return names
    return [*names, "torch-cuda"] if torch.cuda.is_available() else names


@pytest.fixture(scope="session", params=_libraries())
def backend(request):
    """Each array library in turn."""
    if request.param == "numpy":
        return Backend("numpy", np)
    if request.param == "array-api-strict":
        return Backend(request.param, pytest.importorskip("array_api_strict"))
    torch = request.getfixturevalue("torch")
    return Backend(request.param, torch, torch.device("cuda:0" if request.param == "torch-cuda" else "cpu"))


@pytest.fixture(scope="session", params=["float64", "float32"])
def dtype(request):
    """Each full precision."""
    return request.param


class Leaky(Recurrence):
    """A two-block cell [h; c] whose recurrent side is not its input side, to stand for LSTM and GRU.

    a = W_ih x + b_ih + ½(W_hh h + b_hh);  c' = 0.9 c + tanh a;  h' = tanh c'
    """

    blocks = ("h", "c")

    def project(self, x):
        return self.xp.matmul(x, self.weight_ih.T) + self.bias_ih

    def step(self, projected, state):
        parts = self.split(state)
        a = projected + 0.5 * (self.xp.matmul(parts["h"], self.weight_hh.T) + self.bias_hh)
        c = 0.9 * parts["c"] + self.xp.tanh(a)
        return self.xp.concat([self.xp.tanh(c), c], axis=-1), (a, c)

    def factors(self, saved):
        return tuple(1.0 - self.xp.tanh(z) ** 2 for z in saved)

    def backward_step(self, factors, d_state):
        slope_a, slope_c = factors
        parts = self.split(d_state)
        d_c = parts["c"] + parts["h"] * slope_c
        delta = d_c * slope_a
        d_h = self.xp.matmul(0.5 * delta, self.weight_hh)
        return self.xp.concat([d_h, 0.9 * d_c], axis=-1), delta, 0.5 * delta


FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a.real > 0, a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "linear": lambda a: a,
}
CELLS = {"leaky": Leaky, "lstm": LSTM, "gru": GRU}
KINDS = [*FUNCTIONS, *CELLS]


def plain_step(kind, h, c, given, back):
    """Return the next state, in NumPy, from W_ih x + b_ih and W_hh h + b_hh; c of those that have one."""
    sigmoid, (B, H) = FUNCTIONS["sigmoid"], h.shape
    if kind == "leaky":
        c = 0.9 * c + np.tanh(given + back / 2)
        return np.concatenate([np.tanh(c), c], axis=1)
    if kind == "lstm":
        i, f, g, o = np.moveaxis((given + back).reshape(B, 4, H), 1, 0)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c], axis=1)
    if kind == "gru":
        (r, z, n), (r_back, z_back, m) = (np.moveaxis(a.reshape(B, 3, H), 1, 0) for a in (given, back))
        z = sigmoid(z + z_back)
        return (1 - z) * np.tanh(n + sigmoid(r + r_back) * m) + z * h
    return FUNCTIONS[kind](given + back)


def run_plain(weights, x, initial, kind, bump=None):
    """Return s_0 … s_T by the textbook loop, in NumPy, also of complex numbers.

    Weights may have one more axis in front: their own copy for each step. `bump` is added to each state.
    """
    bump = np.zeros(len(x) + 1) if bump is None else bump
    states = [initial + bump[0]]
    for t in range(len(x)):
        w = {n: v[t] if v.ndim > n.startswith("weight") + 1 else v for n, v in weights.items()}
        hidden = w["weight_hh"].shape[-1]
        h, c = states[-1][:, :hidden], states[-1][:, hidden:]
        given = x[t] @ w["weight_ih"].T + w["bias_ih"]
        back = h @ w["weight_hh"].T + w["bias_hh"]
        states.append(plain_step(kind, h, c, given, back) + bump[t + 1])
    return np.stack(states)


def complex_step(function, point):
    """Return d function / d point, (*shape of the value, *shape of the point), exact to rounding."""
    columns = []
    for index in np.ndindex(point.shape):
        moved = point.astype(complex)
        moved[index] += 1e-30j
        columns.append(function(moved).imag / 1e-30)
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *point.shape)


@dataclass(frozen=True)
class Problem:
    """A cell, a sequence and the direct derivatives of a loss, in a library and in plain float64."""

    kind: str
    cell: Any
    x: Any
    initial: Any
    d_outputs: Any
    d_final: Any
    plain: SimpleNamespace

    def run(self, bump=None, **changed):
        """Return the states when weights, x or initial are exchanged."""
        plain = {"x": self.plain.x, "initial": self.plain.initial, **self.plain.weights, **changed}
        x, initial = plain.pop("x"), plain.pop("initial")
        return run_plain(plain, x, initial, self.kind, bump)

    def losses(self, states):
        """Return the part of the loss that looks at each output, (T, B)."""
        return np.sum(self.plain.d_outputs * states[1:, :, : self.cell.hidden], axis=-1)

    def loss(self, states):
        """Return the loss: linear in outputs and final state, so its direct derivatives are given."""
        return np.sum(self.losses(states)) + np.sum(self.plain.d_final * states[-1])

    def per_step(self, name):
        """Return a weight with one copy a step."""
        weight = self.plain.weights[name]
        return np.broadcast_to(weight, (len(self.plain.x), *weight.shape))


@pytest.fixture(scope="session")
def problem():
    """Return a function that makes a `Problem`."""

    def make(backend, kind="tanh", dtype="float64", T=4, B=2, D=2, H=3, scale=1.0, seed=0):
        options = {"kind": CELLS[kind]} if kind in CELLS else {"activation": kind}
        cell = backend.cell(D, H, dtype, scale, seed=seed, **options)
        draw = np.random.default_rng([seed, T, B, D, H])
        shapes = {
            "x": (T, B, D),
            "initial": (B, cell.size),
            "d_outputs": (T, B, H),
            "d_final": (B, cell.size),
        }
        given = {name: backend.array(draw.normal(size=shape), dtype) for name, shape in shapes.items()}
        plain = {name: backend.numpy(array) for name, array in given.items()}
        weights = {name: backend.numpy(weight) for name, weight in cell.parameters.items()}
        return Problem(kind, cell, **given, plain=SimpleNamespace(weights=weights, **plain))

    return make


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    """Each activation of an RNN, a cell with two blocks, an LSTM and a GRU."""
    return request.param


@pytest.fixture(scope="session")
def oracle():
    """The oracles: complex-step derivatives and the textbook loop."""
    return SimpleNamespace(complex_step=complex_step, run=run_plain, functions=FUNCTIONS)


@pytest.fixture(scope="session")
def leaky():
    """The cell with two blocks."""
    return Leaky
