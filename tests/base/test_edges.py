"""Corners in which a first version went wrong."""

import copy
import pickle

import numpy as np
import pytest

from vglib import GRU, LSTM, RNN, NonFiniteError, bptt, jacobians
from vglib.base.activations import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(6, 2, 3))
D = np.random.default_rng(1).normal(size=(6, 2, 4))
CELL = RNN.init(3, 4)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("a", [-3.0, -0.0, 0.0, 2.0])
def test_autograd_through_an_activation_is_its_derivative_also_at_zero(torch, name, a):
    from array_api_compat import torch as xp

    point = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    ACTIVATIONS[name].function(xp, point).backward()
    expected = float(ACTIVATIONS[name].derivative(xp, torch.tensor(a, dtype=torch.float64)))
    assert float(point.grad) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"linear"}))
def test_derivatives_hand_nan_on(name):
    assert np.isnan(ACTIVATIONS[name].derivative(np, np.array([np.nan]))).all()


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("make", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_cells_and_traces_can_be_copied_and_sent(make, kind):
    trace = bptt.unroll(kind.init(3, 4), X)  # has used cell.xp
    again = make(trace)
    assert np.array_equal(jacobians.log_norms(again), jacobians.log_norms(trace))
    assert again.cell.weight_hh is not trace.cell.weight_hh
    cells = [make(bptt.backprop(each, D)).cells for each in (trace, again)]
    assert np.array_equal(*cells) if kind is LSTM else cells == [None, None]


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_the_initial_gradient_does_not_keep_all_states_alive(kind):
    grads = bptt.backprop(bptt.unroll(kind.init(3, 4), X), D)
    assert not np.shares_memory(grads.initial, grads.states)
    assert not np.shares_memory(grads.parameters["bias_ih"], grads.parameters["bias_hh"])


@pytest.mark.parametrize("order", jacobians.ORDERS)
def test_log_norms_of_a_trace_with_nan_say_so_or_return_it(order):
    x = X.copy()
    x[2, 1, 0] = np.nan
    trace = bptt.unroll(CELL, x, nonfinite="return")
    with pytest.raises(NonFiniteError, match=r"trace\.states is not finite.* first at step 3;"):
        jacobians.log_norms(trace, order)
    logs = jacobians.log_norms(trace, order, nonfinite="return")
    assert np.isnan(logs[:2, 1]).all()
    assert np.isfinite(logs[:, 0]).all()


@pytest.mark.parametrize("want", ["inputs", "parameters"])
def test_overflow_after_the_loop_is_named(want):
    cell = RNN.init(1, 1, dtype="float32", activation="linear")
    cell = cell.replace(weight_hh=0 * cell.weight_hh, weight_ih=0 * cell.weight_ih + np.float32(1e30))
    trace = bptt.unroll(cell, np.full((3, 1, 1), 1e-20, np.float32))
    d_outputs = np.full((3, 1, 1), 1e30, np.float32)
    name = {"inputs": r"grads\.inputs", "parameters": r"grads\.parameters\['weight_hh'\]"}[want]
    with pytest.raises(NonFiniteError, match=f"^{name} is not finite"):
        bptt.backprop(trace, d_outputs, want=want)
    bptt.backprop(trace, d_outputs, want=want, nonfinite="return")


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_that_is_not_finite_is_named(name):
    weight = getattr(CELL, name).copy()
    weight[1] = np.nan
    broken = CELL.replace(**{name: weight})
    with pytest.raises(NonFiniteError, match=f"^{name} is not finite"):
        bptt.unroll(broken, X)
    with pytest.raises(NonFiniteError, match=f"^{name} is not finite"):
        jacobians.pascanu_condition(broken)


def test_singular_values_that_rounding_made_up_are_not_given_out():
    mpmath = pytest.importorskip("mpmath")
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    W = turn @ np.array([[1.0, 1e6], [0.0, 0.5]]) @ turn.T
    cell = RNN.init(1, 2, activation="linear").replace(weight_hh=W)
    ours = jacobians.log_singular_values(bptt.unroll(cell, np.zeros((200, 1, 1))))[0]
    with mpmath.workdps(400):
        power = mpmath.matrix(W.tolist()) ** 200
        theirs = sorted((float(mpmath.log(s)) for s in mpmath.svd_r(power, compute_uv=False)), reverse=True)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert theirs[1] < -100
    assert ours[1] == -np.inf  # a first version said −11.65


def test_singular_values_of_an_orthogonal_product_are_all_resolved():
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    cell = RNN.init(1, 32, activation="linear").replace(weight_hh=Q)
    logs = jacobians.log_singular_values(bptt.unroll(cell, np.zeros((300, 1, 1))))
    assert np.abs(logs).max() < 1e-11


def test_to_torch_leaves_the_global_random_state_alone(torch):
    before = torch.random.get_rng_state()
    CELL.to_torch()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_bounds_take_any_iterable_of_whole_numbers():
    lags = [0, 1, 5]
    assert jacobians.hochreiter_bound(CELL, iter(lags)) == jacobians.hochreiter_bound(CELL, lags)
    for wrong in (3, [2.7]):
        with pytest.raises(TypeError, match="lags must be"):
            jacobians.hochreiter_bound(CELL, wrong)


def test_rtrl_asks_a_callable_for_each_chunk_once():
    asked = []

    def d_outputs(start, stop):
        asked.append((start, stop))
        return np.ones((stop - start, 2, 4))

    x = np.random.default_rng(2).normal(size=(20, 2, 3))
    forward, _ = bptt.rtrl(CELL, x, d_outputs)
    assert [start for start, _ in asked] == [0, *(stop for _, stop in asked[:-1])]
    assert asked[-1][1] == 20
    backward = bptt.backprop(bptt.unroll(CELL, x), np.ones((20, 2, 4))).parameters
    assert all(np.allclose(forward[name], backward[name]) for name in backward)


def test_weights_with_negative_strides_go_to_torch(torch):
    cell = CELL.replace(weight_hh=CELL.weight_hh[::-1])
    assert np.array_equal(cell.to(xp=torch).weight_hh.numpy(), CELL.weight_hh[::-1])


def test_underflow_that_is_meant_disturbs_nobody():
    cell = RNN.init(1, 1, dtype="float32").replace(weight_ih=np.full((1, 1), 60, np.float32))
    with np.errstate(all="raise"):
        trace = bptt.unroll(cell, np.ones((3, 1, 1), np.float32))
        assert jacobians.steps(trace).shape == (3, 1, 1, 1)
        assert len(list(jacobians.stream(trace))) == 3
        assert np.isneginf(jacobians.log_norms(trace)[0, 0])
