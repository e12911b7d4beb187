"""Bad input to `bptt` and `jacobians`: which parameter, what came, what was expected."""

import numpy as np
import pytest

from vglib import RNN, NonFiniteError, bptt, jacobians, resnets

CELL = RNN.init(2, 3)
X = np.linspace(-1.0, 1.0, 20).reshape(5, 2, 2)
D = np.ones((5, 2, 3))
TRACE = bptt.unroll(CELL, X)


def holed(array, index, value=np.nan):
    """Return a copy with one number that is not finite."""
    copy = array.copy()
    copy[index] = value
    return copy


ARRAYS = [
    # parameter, its letters, a good one
    ("x", "T, B, D=2", X, lambda x: bptt.unroll(CELL, x)),
    ("x", "T, B, D=2", X, lambda x: bptt.rtrl(CELL, x, D)),
    ("initial", "B=2, S=3", D[0], lambda h: bptt.unroll(CELL, X, h)),
    ("initial", "B=2, S=3", D[0], lambda h: bptt.rtrl(CELL, X, D, h)),
    ("d_outputs", "T=5, B=2, H=3", D, lambda d: bptt.backprop(TRACE, d)),
    ("d_outputs", "T=5, B=2, H=3", D, lambda d: bptt.contributions(TRACE, d)),
    ("d_outputs", "T=5, B=2, H=3", D, lambda d: bptt.influence(TRACE, d)),
    ("d_outputs", "T=5, B=2, H=3", D, lambda d: bptt.rtrl(CELL, X, d)),
    ("d_final", "B=2, S=3", D[0], lambda d: bptt.backprop(TRACE, D, d)),
    ("d_final", "B=2, S=3", D[0], lambda d: bptt.contributions(TRACE, D, d)),
]


@pytest.mark.parametrize(("name", "letters", "good", "call"), ARRAYS)
def test_arrays_that_do_not_fit(name, letters, good, call):
    call(good)
    shape = rf"{name} must have shape \({letters}\); got "
    with pytest.raises(ValueError, match=rf"{shape}.*which has {good.ndim + 1} axes instead of {good.ndim}"):
        call(good[None])
    with pytest.raises(ValueError, match=rf"{shape}.*which has {good.ndim - 1} axes instead of {good.ndim}"):
        call(good[0])
    last = letters.split("=")[0][-1] if good.ndim == 1 else letters.rsplit(", ", 1)[1].split("=")[0]
    with pytest.raises(
        ValueError, match=rf"{shape}.*{last} is {good.shape[-1] + 1}, expected {good.shape[-1]}"
    ):
        call(np.concatenate([good, good[..., :1]], axis=-1))
    with pytest.raises(ValueError, match=rf"{shape}\(0, "):
        call(good[:0])
    with pytest.raises(TypeError, match=rf"{name} must be an array .*; got list"):
        call(good.tolist())
    with pytest.raises(TypeError, match=rf"{name}'s dtype must be one of float32, float64; got int64"):
        call(good.astype("int64"))
    with pytest.raises(
        TypeError, match=rf"{name}'s dtype must be .*half precision needs torch.*; got float16"
    ):
        call(good.astype("float16"))
    with pytest.raises(TypeError, match=rf"{name} is float32 but the cell's weights are float64"):
        call(good.astype("float32"))
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match=rf"{name} is a array_api_strict.* but the cell's weights are numpy"):
        call(strict.asarray(good))


@pytest.mark.parametrize(("name", "letters", "good", "call"), ARRAYS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(name, letters, good, call, value):
    step = {"x": 3, "d_outputs": 3, "initial": 0, "d_final": 5}[name]
    bad = holed(good, (3, 1, 0) if good.ndim == 3 else (1, 0), value)
    with pytest.raises(NonFiniteError, match=rf"^{name} is not finite \(inf or NaN\), first at step {step};"):
        call(bad)


def test_not_finite_is_returned_when_asked():
    trace = bptt.unroll(CELL, holed(X, (2, 0, 0)), nonfinite="return")
    assert np.isnan(trace.states[3:, 0]).all()
    assert np.isfinite(trace.states[:3]).all()
    assert np.isfinite(trace.states[:, 1]).all()  # the other sequence
    grads = bptt.backprop(TRACE, holed(D, (2, 0, 0), np.inf), nonfinite="return")
    assert np.isfinite(grads.states[4:]).all()  # outputs[2] is states[3]
    assert np.isinf(grads.states[3, 0, 0])
    assert not np.isfinite(grads.states[:3, 0]).any()
    with pytest.raises(
        NonFiniteError, match=r"trace\.states is not finite.* first at step 3; .*not finite to begin with"
    ):  # the way it goes
        jacobians.log_norms(trace)
    logs = jacobians.log_norms(trace, nonfinite="return")
    assert np.isnan(logs[:5, 0]).all()
    assert np.isfinite(logs[5]).all()
    assert np.isfinite(logs[:, 1]).all()
    for call in (jacobians.log_singular_values, lambda t: jacobians.singular_values(jacobians.steps(t))):
        with pytest.raises(NonFiniteError, match=r"(trace\.states|jacobians) is not finite"):
            call(trace)


def test_a_weight_that_a_relu_hid_is_blamed_for_the_gradient():
    cell = RNN.init(1, 2, activation="relu").replace(weight_ih=np.array([[1.0], [-np.inf]]))
    net = resnets.Dense.init(2, 1, "plain", 1).replace(weight1=np.full((1, 2, 2), -np.inf))
    for it, x, name in ((cell, np.ones((3, 1, 1)), "weight_ih"), (net, np.ones((1, 2)), "weight1")):
        trace = bptt.unroll(it, x)
        assert np.isfinite(trace.states).all()
        with pytest.raises(NonFiniteError, match=f"^{name} is not finite"):
            bptt.backprop(trace, d_final=np.ones((1, 2)))


@pytest.mark.parametrize("thing", [None, 3, [1.0], CELL, X])
def test_what_is_no_trace_or_cell(thing):
    for call in (
        lambda t: bptt.backprop(t, D),
        lambda t: bptt.contributions(t, D),
        lambda t: bptt.influence(t, D),
        jacobians.steps,
        jacobians.stream,
        jacobians.log_norms,
        jacobians.log_singular_values,
    ):
        with pytest.raises(
            TypeError, match=rf"trace must be what bptt.unroll returns; got {type(thing).__name__}"
        ):
            call(thing)
    if thing is not CELL:
        for call in (lambda c: bptt.unroll(c, X), lambda c: bptt.rtrl(c, X, D)):
            with pytest.raises(TypeError, match=f"cell must be a vglib cell .*; got {type(thing).__name__}"):
                call(thing)
        for call in (jacobians.pascanu_condition, lambda c: jacobians.hochreiter_bound(c, [1])):
            with pytest.raises(TypeError, match=f"cell must be a vglib cell.*; got {type(thing).__name__}"):
                call(thing)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: bptt.backprop(TRACE, D, want="weights"),
            "want must be one of 'parameters', .*; got 'weights'",
        ),
        (lambda: bptt.backprop(TRACE, D, want=["inputs", 3]), "want must be one of .*; got 3"),
        (lambda: bptt.influence(TRACE, D, "bias_ih"), "weight must be one of 'weight_hh', .*; got 'bias_ih'"),
        (lambda: bptt.unroll(CELL, X, nonfinite="warn"), "nonfinite must be one of 'raise', .*; got 'warn'"),
        (lambda: bptt.backprop(TRACE, D, nonfinite=None), "nonfinite must be one of 'raise', .*; got None"),
        (lambda: jacobians.log_norms(TRACE, nonfinite=True), "nonfinite must be one of .*; got True"),
        (lambda: jacobians.log_norms(TRACE, ord=3), "ord must be one of 'fro', 2, 1, 'inf'; got 3"),
        (lambda: jacobians.log_norms(TRACE, ord=np.inf), "ord must be one of 'fro', 2, 1, 'inf'; got inf"),
        (lambda: jacobians.log_norms(TRACE, ord=True), "ord must be one of 'fro', 2, 1, 'inf'; got True"),
        (lambda: jacobians.log_norms(TRACE, block="hh"), r"block must be a pair .*\('h', 'h'\); got 'hh'"),
        (lambda: jacobians.log_norms(TRACE, block=("h",)), r"block must be a pair .*; got \('h',\)"),
        (lambda: jacobians.log_norms(TRACE, block=("h", "c")), "block must be one of 'h'; got 'c'"),
        (
            lambda: jacobians.singular_values(np.zeros(3)),
            r"jacobians must have shape \(…, S, S\); got \(3,\)",
        ),
        (lambda: jacobians.log_singular_values(TRACE, 0, 6), "0 ≤ start ≤ stop ≤ T=5; got 0, 6"),
        (lambda: jacobians.log_singular_values(TRACE, 3, 2), "0 ≤ start ≤ stop ≤ T=5; got 3, 2"),
        (lambda: jacobians.log_singular_values(TRACE, -1), "start must be at least 0; got -1"),
        (lambda: jacobians.hochreiter_bound(CELL, [1, -2]), "lags must be at least 0; got -2"),
    ],
)
def test_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("matrices", [[[1.0]], np.eye(2, dtype=int), np.eye(2) * 1j])
def test_matrices_that_are_no_floats(matrices):
    with pytest.raises(TypeError, match=r"jacobians('s dtype)? must be .*got"):
        jacobians.singular_values(matrices)


def test_bounds_need_one_activation(backend, leaky):
    two = backend.cell(kind=leaky)
    for call in (jacobians.pascanu_condition, lambda cell: jacobians.hochreiter_bound(cell, [1])):
        with pytest.raises(TypeError, match="cell must have one activation, as an RNN has; got Leaky"):
            call(two)


def test_tensors_on_another_device_or_of_another_library(torch):
    cell = CELL.to(xp=torch)
    with pytest.raises(TypeError, match="x is on device meta but the cell's weights are on cpu"):
        bptt.unroll(cell, torch.zeros(5, 2, 2, dtype=torch.float64, device="meta"))
    trace = bptt.unroll(cell, torch.tensor(X))
    for call in (
        lambda d: bptt.backprop(trace, d),
        lambda d: bptt.backprop(trace, lambda start, stop: d[start:stop]),
        lambda d: bptt.rtrl(cell, trace.inputs, d),
    ):
        with pytest.raises(TypeError, match=r"d_outputs.* is on device meta but"):
            call(torch.zeros(5, 2, 3, dtype=torch.float64, device="meta"))
        with pytest.raises(
            TypeError, match=r"d_outputs.* is a numpy.ndarray but the cell's weights are torch.Tensor"
        ):
            call(D)
    with pytest.raises(
        TypeError, match=r"weight_ih is a numpy.ndarray but the entries of weight_hh are torch"
    ):
        cell.replace(weight_ih=CELL.weight_ih)
    with pytest.raises(TypeError, match=r"bias_hh is on device meta but the entries of weight_hh are on cpu"):
        cell.replace(bias_hh=cell.bias_hh.to("meta"))
