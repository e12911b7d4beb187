"""GRU: what is its own. The tests that all cells share (the fixture `kind`) run it too."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import GRU, LSTM, RNN, bptt, gru, jacobians
from vglib.base.recurrence import Recurrence


def hand_set(backend, dtype="float64", r=0.0, z=0.0, n=0.0, m=0.0, hidden=2):
    """Return a cell without weights, whose gates are set by their biases; m is the bias inside r ⊙ (…)."""
    given = np.concatenate([np.full(hidden, a) for a in (r, z, n)])
    back = np.concatenate([np.zeros(2 * hidden), np.full(hidden, m)])
    weights = {"weight_ih": np.zeros((3 * hidden, 1)), "weight_hh": np.zeros((3 * hidden, hidden))}
    weights |= {"bias_ih": given, "bias_hh": back}
    return GRU(**{name: backend.array(value, dtype) for name, value in weights.items()})


# -- PyTorch's form --------------------------------------------------------------------------------------


def test_the_reset_gate_multiplies_after_the_recurrent_product(torch, backend):
    p = np.random.default_rng(0)
    cell, h = backend.cell(1, 4, kind=GRU), p.normal(size=(1, 4))
    got = backend.numpy(bptt.unroll(cell, backend.array(np.zeros((1, 1, 1))), backend.array(h)).states)[1]
    w = {name: backend.numpy(value) for name, value in cell.parameters.items()}
    blocks = {name: np.split(value, 3) for name, value in w.items()}
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    r, z = (
        sigmoid(blocks["bias_ih"][k] + h @ blocks["weight_hh"][k].T + blocks["bias_hh"][k]) for k in (0, 1)
    )
    w_n, b_in, b_hn = blocks["weight_hh"][2], blocks["bias_ih"][2], blocks["bias_hh"][2]
    after = (1 - z) * np.tanh(b_in + r * (h @ w_n.T + b_hn)) + z * h
    before = (1 - z) * np.tanh(b_in + (r * h) @ w_n.T + b_hn) + z * h
    np.testing.assert_allclose(got, after, rtol=1e-12)
    assert np.max(np.abs(after - before)) > 0.01  # Cho et al.: another function


def test_z_keeps_the_old_state(backend, dtype):
    start = backend.array([[0.7, -0.2]], dtype)
    x = backend.array(np.zeros((5, 1, 1)), dtype)
    kept = bptt.unroll(hand_set(backend, dtype, z=40.0, n=1.0), x, start).states
    backend.check(kept[-1, ...], backend.numpy(start), dtype)
    new = bptt.unroll(hand_set(backend, dtype, z=-40.0, n=1.0), x, start).states
    backend.check(new[-1, ...], np.full((1, 2), math.tanh(1.0)), dtype)


def test_both_sides_have_gradients_of_their_own(backend, dtype, problem):
    p = problem(backend, "gru", dtype)
    grads = bptt.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs)
    ih, hh = (backend.numpy(grads.parameters[name]) for name in ("bias_ih", "bias_hh"))
    np.testing.assert_array_equal(ih[:6], hh[:6])
    assert np.all(ih[6:] != hh[6:])  # b_hn stands inside r ⊙ (…)


def test_an_rnn_is_what_is_left_without_gates(backend):
    cell = backend.cell(2, 3, kind=GRU)
    biases = backend.numpy(cell.bias_ih).copy()
    biases[:3], biases[3:6] = 60.0, -60.0  # r = 1, z = 0
    cell = cell.replace(bias_ih=backend.array(biases))
    rest = {name: value[6:, ...] for name, value in cell.parameters.items()}
    x = backend.array(np.random.default_rng(0).normal(size=(6, 2, 2)))
    trace, plain = bptt.unroll(cell, x), bptt.unroll(RNN(**rest), x)
    backend.check(trace.states, backend.numpy(plain.states))
    backend.check(jacobians.steps(trace), backend.numpy(jacobians.steps(plain)))


# -- the gradient's way ----------------------------------------------------------------------------------


def test_an_update_gate_of_one_passes_the_gradient_on_exactly(backend, dtype):
    steps = backend.length(1000)
    cell = hand_set(backend, dtype, z=40.0, n=0.3)
    trace = bptt.unroll(cell, backend.array(np.zeros((steps, 1, 1)), dtype))
    assert np.all(backend.numpy(gru.gates(trace)["z"]) == 1)
    end = backend.array([[1.0, -2.0]], dtype)
    grads = bptt.backprop(trace, backend.array(np.zeros((steps, 1, 2)), dtype), end)
    assert np.all(backend.numpy(grads.states) == np.array([[1.0, -2.0]]))
    assert np.all(backend.numpy(jacobians.log_norms(trace)) == 0)


@pytest.mark.parametrize("a", [-80.0, -30.0, -20.0, 20.0, 30.0, 80.0])
@pytest.mark.parametrize("gate", range(3))
def test_saturated_gates_keep_their_slope(backend, dtype, gate, a):
    mpmath = pytest.importorskip("mpmath")
    pre, m, h = [0.3, -0.2, 0.4], 0.6, 0.5
    pre[gate] = a
    cell = backend.cell(1, 1, dtype, kind=GRU)
    arrays = ([[pre[:2]]], [[[pre[2]]]], [[[m]]], [[[h]]])
    found = cell.factors(tuple(backend.array(values, dtype) for values in arrays))

    def sigmoid(v):
        return 1 / (1 + mpmath.exp(-v))

    with mpmath.workdps(80):
        rounded = [mpmath.mpf(float(np.asarray(v, dtype))) for v in (*pre, m, h)]
        a_r, a_z, a_n, m, h = rounded
        dn = sigmoid(-a_z) / mpmath.cosh(a_n) ** 2
        exact = [
            dn * m * sigmoid(a_r) * sigmoid(-a_r),
            (h - mpmath.tanh(a_n)) * sigmoid(a_z) * sigmoid(-a_z),
            dn,
            dn * sigmoid(a_r),
            sigmoid(a_z),
        ]
        exact = [float(value) for value in exact]
    tiny = float(np.finfo(dtype).tiny)
    for got, expected in zip(found, exact, strict=True):
        number = float(backend.numpy(got)[0, 0, 0])
        if abs(expected) > tiny:
            assert number == pytest.approx(expected, rel=1e-4 if dtype == "float32" else 1e-11)


@given(lead=st.lists(st.integers(1, 4), max_size=3), hidden=st.integers(1, 5), seed=st.integers(0, 99))
def test_generic_jacobian_equals_the_override(backend, dtype, lead, hidden, seed):
    cell, draw = backend.cell(2, hidden, dtype, kind=GRU, seed=seed), np.random.default_rng(seed)
    sizes = ((*lead, 2 * hidden), *[(*lead, hidden)] * 3)
    factors = cell.factors(tuple(backend.array(draw.normal(size=size), dtype) for size in sizes))
    override = cell.jacobian(factors)
    assert tuple(override.shape) == (*lead, hidden, hidden)
    backend.check(Recurrence.jacobian(cell, factors), backend.numpy(override), dtype)


# -- gates and traps -------------------------------------------------------------------------------------


def test_gates_are_those_of_every_step(backend, dtype, problem):
    p = problem(backend, "gru", dtype, T=5)
    found = gru.gates(bptt.unroll(p.cell, p.x, p.initial))
    assert list(found) == ["r", "z", "n"]
    w, states = p.plain.weights, p.run()
    given = p.plain.x @ w["weight_ih"].T + w["bias_ih"]
    back = states[:-1] @ w["weight_hh"].T + w["bias_hh"]
    r, z = (1 / (1 + np.exp(-(given + back)[..., k : k + 3])) for k in (0, 3))
    expected = {"r": r, "z": z, "n": np.tanh(given[..., 6:] + r * back[..., 6:])}
    for name, gate in found.items():
        backend.check(gate, expected[name], dtype)
    n, h = expected["n"], states
    np.testing.assert_allclose(h[1:], (1 - z) * n + z * h[:-1], rtol=1e-10)


def test_gates_of_something_else_are_refused():
    for bad in (None, GRU.init(2, 3), np.zeros(3)):
        with pytest.raises(TypeError, match=r"trace must be what bptt\.unroll returns"):
            gru.gates(bad)
    for cell in (RNN.init(2, 3), LSTM.init(2, 3)):
        trace = bptt.unroll(cell, np.zeros((2, 1, 2)))
        with pytest.raises(
            TypeError, match=rf"trace\.cell must be a vglib GRU; got .*{type(cell).__name__}$"
        ):
            gru.gates(trace)


def test_retain_grad_on_the_fused_output_sees_the_direct_way_alone(torch):
    cell = GRU.init(2, 3, xp=torch)
    x = torch.tensor(np.random.default_rng(0).normal(size=(6, 1, 2)))
    outputs, _ = cell.to_torch()(x)
    outputs.retain_grad()
    outputs[-1].sum().backward()
    assert torch.all(outputs.grad[:-1] == 0)
    d = torch.zeros(6, 1, 3, dtype=torch.float64)
    d[-1] = 1.0
    assert torch.all(bptt.backprop(bptt.unroll(cell, x), d).states[1:-1] != 0)


def test_state_gradients_of_the_fused_layer_from_its_gate_gradients(torch):
    """Extra inputs that are 0, with identity weights: their gradient is δ of the input side."""
    cell = GRU.init(2, 3, xp=torch)
    layer = torch.nn.GRU(2 + 9, 3, dtype=torch.float64)
    x = torch.tensor(np.random.default_rng(1).normal(size=(6, 2, 2)))
    with torch.no_grad():
        for name, weight in cell.parameters.items():
            getattr(layer, name + "_l0").copy_(
                torch.cat([weight, torch.eye(9).double()], dim=1) if name == "weight_ih" else weight
            )
    extra = torch.zeros(6, 2, 9, dtype=torch.float64, requires_grad=True)
    d = torch.tensor(np.random.default_rng(2).normal(size=(6, 2, 3)))
    (layer(torch.cat([x, extra], dim=-1))[0] * d).sum().backward()
    trace = bptt.unroll(cell, x)
    total, gates = bptt.backprop(trace, d).states, gru.gates(trace)
    delta = torch.cat([extra.grad[..., :6], extra.grad[..., 6:] * gates["r"]], dim=-1)
    through = delta @ cell.weight_hh + gates["z"] * total[1:]
    torch.testing.assert_close(total[1:-1], through[1:] + d[:-1])


def test_repr_and_state_sizes():
    cell = GRU.init(2, 3)
    assert repr(cell) == "GRU(inputs=2, hidden=3, dtype='float64')"
    assert (cell.size, cell.gates, cell.blocks) == (3, 3, ("h",))
    state = np.ones((2, 3))
    assert list(cell.split(state)) == ["h"]
    np.testing.assert_array_equal(cell.join(h=state), state)
