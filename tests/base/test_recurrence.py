"""What all cells share: making, checking, moving, splitting, the generic Jacobian."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, bptt, jacobians
from vglib.base import recurrence
from vglib.base.recurrence import Recurrence

SHAPES = {"weight_ih": (4, 3), "weight_hh": (4, 4), "bias_ih": (4,), "bias_hh": (4,)}


@given(inputs=st.integers(1, 9), hidden=st.integers(1, 9), seed=st.integers(0, 99))
def test_init_shapes_and_bounds(backend, dtype, inputs, hidden, seed):
    cell = backend.cell(inputs, hidden, dtype, seed=seed)
    assert (cell.inputs, cell.hidden, cell.size, cell.dtype) == (inputs, hidden, hidden, dtype)
    shapes = {"weight_ih": (hidden, inputs), "weight_hh": (hidden, hidden), "bias_ih": (hidden,)}
    for name, shape in {**shapes, "bias_hh": (hidden,)}.items():
        weight = cell.parameters[name]
        assert weight is getattr(cell, name)
        assert tuple(weight.shape) == shape
        assert np.max(np.abs(backend.numpy(weight))) <= hidden**-0.5 * (1 + 1e-6)


def test_init_is_uniform_as_pytorchs_default():
    cell = RNN.init(300, 100)
    for name, weight in cell.parameters.items():
        assert np.std(weight) == pytest.approx(0.1 / 3**0.5, rel=0.1 if "bias" in name else 0.02)
        assert abs(np.mean(weight)) < (0.02 if "bias" in name else 0.002)
    assert np.min(np.abs(cell.bias_ih - cell.bias_hh)) > 0


def test_every_cell_has_a_stream_of_its_own(leaky):
    assert np.min(np.abs(leaky.init(2, 3).weight_hh - RNN.init(2, 3).weight_hh)) > 0


def test_arrays_are_as_asked(backend, dtype):
    cell = backend.cell(dtype=dtype)
    for name, shape in SHAPES.items():
        weight = getattr(cell, name)
        backend.check(weight, backend.numpy(weight), dtype)
        assert tuple(weight.shape) == shape


def test_repr_says_sizes_and_settings(backend):
    cell = backend.cell(activation="relu")
    assert repr(cell) == "RNN(inputs=3, hidden=4, dtype='float64', activation='relu')"
    assert "T=2, B=1, cell=RNN(" in repr(bptt.unroll(cell, backend.array(np.zeros((2, 1, 3)))))


def test_cells_are_frozen_and_compare_by_identity():
    cell, twin = RNN.init(2, 3), RNN.init(2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.weight_hh = twin.weight_hh
    assert cell != twin
    assert len({cell, twin, cell}) == 2


def test_replace_exchanges_and_checks(backend):
    cell = backend.cell()
    changed = cell.replace(weight_hh=cell.weight_hh * 2.0, activation="relu")
    backend.check(changed.weight_hh, 2 * backend.numpy(cell.weight_hh))
    assert changed.weight_ih is cell.weight_ih
    assert (changed.activation, cell.activation) == ("relu", "tanh")
    with pytest.raises(ValueError, match=r"weight_hh must .*\(G·H, H\) with G=1 for RNN; got \(4, 3\)"):
        cell.replace(weight_hh=cell.weight_hh[:, :3])
    with pytest.raises(TypeError, match=r"RNN has no weight_xh; it has weight_ih, weight_hh, .*activation"):
        cell.replace(weight_xh=cell.weight_hh)


def test_to_copies_between_libraries_and_dtypes(backend, dtype):
    cell = RNN.init(3, 4, activation="relu", dtype=dtype)
    there = cell.to(xp=backend.xp, device=backend.device)
    assert there.activation == "relu"
    for name, weight in there.parameters.items():
        np.testing.assert_array_equal(backend.numpy(weight), getattr(cell, name))
        backend.check(weight, getattr(cell, name), dtype)
    back = there.to(xp=np)
    there.weight_hh[0, 0] = 9.0
    assert back.weight_hh[0, 0] == cell.weight_hh[0, 0] != 9
    same = there.to()
    there.weight_hh[0, 0] = 8.0
    assert backend.numpy(same.weight_hh)[0, 0] == 9
    assert there.to(dtype="float32").dtype == "float32"


def test_to_moves_between_devices():
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("device1")
    cell = RNN.init(2, 3, xp=strict).to(device=device)
    x = strict.ones((4, 2, 2), dtype=strict.float64, device=device)
    trace = bptt.unroll(cell, x)
    grads = bptt.backprop(trace, trace.outputs)
    for array in (trace.states, *grads.parameters.values(), grads.inputs, jacobians.steps(trace)):
        assert array.device == device
    for ord in ("fro", 2, 1, "inf"):
        assert jacobians.log_norms(trace, ord).device == device
    assert jacobians.log_singular_values(trace).device == device
    assert bptt.influence(trace, trace.outputs).device == device
    assert bptt.rtrl(cell, x, trace.outputs)[1].device == device
    assert cell.to().weight_hh.device == device  # no device named: stays


def test_half_precision_is_refused_outside_torch(torch):
    for name in ("float16", "bfloat16"):
        with pytest.raises(TypeError, match=f"half precision needs torch tensors.*got {name}"):
            RNN.init(2, 3, dtype=name)
        with pytest.raises(TypeError, match=f"half precision needs torch tensors.*got {name}"):
            RNN.init(2, 3, xp=torch, dtype=name).to(xp=np)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 3), ValueError, "inputs must be at least 1; got 0"),
        ((2, 0), ValueError, "hidden must be at least 1; got 0"),
        ((2, -1), ValueError, "hidden must be at least 1; got -1"),
        ((True, 3), TypeError, "inputs must be an integer; got True"),
        ((2, 3.0), TypeError, "hidden must be an integer; got 3.0"),
        (("2", 3), TypeError, "inputs must be an integer; got '2'"),
    ],
)
def test_init_refuses_sizes(arguments, error, message):
    with pytest.raises(error, match=message):
        RNN.init(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": "int64"}, TypeError, "dtype must be one of float32, float64; got int64"),
        ({"xp": "torch"}, TypeError, "xp must be an array module such as numpy or torch; got 'torch'"),
        ({"activation": "swish"}, ValueError, "activation must be one of 'tanh', .*got 'swish'"),
        ({"nonlinearity": "tanh"}, TypeError, "nonlinearity"),
    ],
)
def test_init_refuses_options(options, error, message):
    with pytest.raises(error, match=message):
        RNN.init(2, 3, **options)


@pytest.mark.parametrize("name", list(SHAPES))
def test_weights_of_wrong_shape_dtype_or_library(name):
    weights = {n: np.zeros(shape) for n, shape in SHAPES.items()}
    wrong = np.zeros((5, *SHAPES[name][1:]))
    got = ", ".join(map(str, wrong.shape))
    with pytest.raises(ValueError, match=rf"{name} must have shape \(.*; got \({got}"):
        RNN(**{**weights, name: wrong})
    with pytest.raises(ValueError, match=rf"{name} must have shape .*which has 3 axes"):
        RNN(**{**weights, name: np.zeros((4, 3, 1))})
    with pytest.raises(TypeError, match=f"{name} must be an array.*got list"):
        RNN(**{**weights, name: weights[name].tolist()})
    with pytest.raises(TypeError, match=f"{name}'s dtype must be one of .*got int64"):
        RNN(**{**weights, name: weights[name].astype("int64")})
    with pytest.raises(TypeError, match=r"\w+ is float\d\d but the entries of weight_hh are float\d\d"):
        RNN(**{**weights, name: weights[name].astype("float32")})


def test_split_and_output_cut_the_state_into_blocks(backend, leaky):
    state = np.arange(24.0).reshape(2, 2, 6)
    two = backend.cell(2, 3, kind=leaky)
    parts = two.split(backend.array(state))
    assert list(parts) == ["h", "c"]
    backend.check(parts["h"], state[..., :3])
    backend.check(parts["c"], state[..., 3:])
    backend.check(two.output(backend.array(state)), state[..., :3])
    one = backend.cell(2, 6)
    backend.check(one.split(backend.array(state))["h"], state)
    backend.check(one.output(backend.array(state)), state)


def test_initial_state_is_zero(backend, dtype, leaky):
    backend.check(backend.cell(2, 3, dtype, kind=leaky).initial(5), np.zeros((5, 6)), dtype)


def test_project_adds_both_biases(backend, dtype):
    cell = backend.cell(dtype=dtype)
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    w = {n: backend.numpy(v) for n, v in cell.parameters.items()}
    expected = np.einsum("hd,tbd->tbh", w["weight_ih"], x) + w["bias_ih"] + w["bias_hh"]
    backend.check(cell.project(backend.array(x, dtype)), expected, dtype)


def test_chunks_of_steps_are_the_steps(backend, dtype, kind, problem, monkeypatch):
    p = problem(backend, kind, dtype, T=7)
    states = []
    for chunk, small in ((16, 2**14), (3, 0), (1, 0)):
        monkeypatch.setattr(recurrence, "CHUNK", chunk)
        monkeypatch.setattr(recurrence, "SMALL", small)
        trace = bptt.unroll(p.cell, p.x, p.initial)
        grads = bptt.backprop(trace, p.d_outputs, p.d_final)
        states.append([backend.numpy(trace.states), backend.numpy(grads.states)])
    for forward, backward in states[1:]:
        np.testing.assert_allclose(forward, states[0][0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(backward, states[0][1], rtol=0, atol=1e-5)


def test_the_working_copy_of_a_cell_is_a_copy(backend, kind, problem):
    cell = problem(backend, kind).cell
    runner = cell.along_rows()
    assert type(runner) is type(cell)
    assert runner.weight_hh is not cell.weight_hh
    for name, weight in cell.parameters.items():
        backend.check(getattr(runner, name), backend.numpy(weight))
    assert runner._options() == cell._options()


@given(lead=st.lists(st.integers(1, 4), max_size=3), hidden=st.integers(1, 5), seed=st.integers(0, 99))
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear"])
def test_generic_jacobian_equals_the_override(backend, dtype, activation, lead, hidden, seed):
    cell = backend.cell(2, hidden, dtype, activation=activation, seed=seed)
    a = backend.array(np.random.default_rng(seed).normal(size=(*lead, hidden)), dtype)
    factors = cell.factors((a,))
    override = cell.jacobian(factors)
    assert tuple(override.shape) == (*lead, hidden, hidden)
    backend.check(Recurrence.jacobian(cell, factors), backend.numpy(override), dtype)


def test_a_new_cell_must_write_down_its_steps():
    cell = Recurrence(**{name: np.zeros(shape) for name, shape in SHAPES.items()})
    calls = {"step": (0, 0), "factors": ((),), "backward_step": ((), 0)}
    for name, arguments in calls.items():
        with pytest.raises(NotImplementedError, match=f"Recurrence.{name}"):
            getattr(cell, name)(*arguments)
