"""LSTM: what is its own. The tests that all cells share (the fixture `kind`) run it too."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import GRU, LSTM, RNN, NonFiniteError, bptt, clipping, jacobians, lstm, truncation
from vglib.base.recurrence import Recurrence

T = 7


def loop(torch, p, cut=(), factors=None):
    """Run the textbook loop with every h_t and c_t a tensor of its own; return them and its loss.

    At the steps in `cut` the state is detached before it goes on; gradients that come back from step t to its
    state are times `factors[t]`.
    """
    hidden, w = p.cell.hidden, {name: torch.tensor(v) for name, v in p.plain.weights.items()}
    x, d, d_final = (torch.tensor(getattr(p.plain, name)) for name in ("x", "d_outputs", "d_final"))
    h, c = torch.tensor(p.plain.initial).requires_grad_().split(hidden, dim=1)
    seen, loss = SimpleNamespace(h=[h], c=[c]), (d_final[:, hidden:] * 0).sum()
    for part in (h, c):
        part.retain_grad()
    for t in range(len(x)):
        before = (h.detach().requires_grad_(), c.detach().requires_grad_()) if t in cut else (h, c)
        if factors is not None:
            before = [part * 1.0 for part in before]
            for part in before:
                part.register_hook(lambda g, t=t: g * torch.as_tensor(factors[t]))
        a = x[t] @ w["weight_ih"].T + w["bias_ih"] + before[0] @ w["weight_hh"].T + w["bias_hh"]
        i, f, g, o = a.chunk(4, dim=1)
        c = f.sigmoid() * before[1] + i.sigmoid() * g.tanh()
        c.retain_grad()
        h = o.sigmoid() * c.tanh()
        h.retain_grad()
        seen.h.append(h)
        seen.c.append(c)
        loss = loss + (d[t] * h).sum()
    return seen, loss, (d_final * torch.cat([h, c], dim=1)).sum()


def grad(parts):
    return np.stack([np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in parts])


# -- the two meanings of ∂L/∂c_t -------------------------------------------------------------------------


def test_cells_are_what_autograd_keeps_as_the_gradient_of_c(torch, backend, dtype, problem):
    p = problem(backend, "lstm", dtype, T=T, B=3, H=5)
    seen, loss, end = loop(torch, p)
    (loss + end).backward()
    grads = bptt.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, p.d_final)
    backend.check(grads.cells, grad(seen.c), dtype)
    backend.check(p.cell.split(grads.states)["h"], grad(seen.h), dtype)
    # At the start nothing stands between h_0 and c_0: the two meanings are one.
    backend.check(grads.cells[0, ...], backend.numpy(p.cell.split(grads.initial)["c"]), dtype)


def test_the_two_meanings_differ_by_the_way_through_the_output(backend, dtype, problem, oracle):
    p = problem(backend, "lstm", dtype, T=T, H=5)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    grads = bptt.backprop(trace, p.d_outputs)
    parts, states = p.cell.split(grads.states), backend.numpy(trace.states)
    o, c = backend.numpy(lstm.gates(trace)["o"]), states[1:, :, 5:]
    way = o * (1 - np.tanh(c) ** 2) * backend.numpy(parts["h"])[1:]
    backend.check(grads.cells[1:, ...], backend.numpy(parts["c"])[1:] + way, dtype)


def test_the_two_meanings_are_far_apart(problem):
    from vglib.base.arrays import resolve_namespace

    xp = resolve_namespace(np)
    cell = LSTM.init(32, 128, seed=0)
    draw = np.random.default_rng(0)
    trace = bptt.unroll(cell, draw.normal(size=(50, 8, 32)))
    grads = bptt.backprop(trace, draw.normal(size=(50, 8, 128)))
    held = cell.split(grads.states)["c"]
    apart = xp.linalg.vector_norm(grads.cells - held, axis=(1, 2)) / xp.linalg.vector_norm(
        grads.cells, axis=(1, 2)
    )
    assert apart[0] == 0
    assert apart[-1] == 1  # the loss sees h_T alone
    assert 0.5 < np.min(apart[1:-1]) < np.max(apart[1:-1]) < 1


def test_cells_come_with_states_and_for_an_lstm_only(backend, problem):
    p = problem(backend, "lstm")
    trace = bptt.unroll(p.cell, p.x)
    assert bptt.backprop(trace, p.d_outputs, want=("parameters", "inputs")).cells is None
    assert bptt.backprop(trace, p.d_outputs, want="states").cells is not None
    for kind in ("tanh", "gru"):
        other = problem(backend, kind)
        assert bptt.backprop(bptt.unroll(other.cell, other.x), other.d_outputs).cells is None


def test_cells_of_passes_that_end_early(torch, backend, dtype, problem):
    p = problem(backend, "lstm", dtype, T=T)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    seen, loss, _ = loop(torch, p)
    loss.backward()
    whole = grad(seen.c)
    assert truncation.checkpointed(p.cell, p.x, p.d_outputs, p.initial).cells is None
    for segment in (1, 3, T):
        got = truncation.checkpointed(
            p.cell, p.x, p.d_outputs, p.initial, p.d_final, want="states", segment=segment
        )
        backend.check(
            got.cells, backend.numpy(bptt.backprop(trace, p.d_outputs, p.d_final).cells), dtype, scale=1.0
        )
        again = truncation.checkpointed(p.cell, p.x, p.d_outputs, p.initial, want="states", segment=segment)
        backend.check(again.cells, whole, dtype)
    backend.check(truncation.backprop(trace, p.d_outputs, T).cells, whole, dtype)
    backend.check(clipping.by_step(trace, p.d_outputs, 1e6).cells, whole, dtype)
    backend.check(truncation.randomized(trace, p.d_outputs, [1.0] * T).cells, whole, dtype)


def test_cells_of_windows(torch, backend, dtype, problem):
    p = problem(backend, "lstm", dtype, T=6)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    seen, loss, _ = loop(torch, p, cut=(2, 4))  # the state that a window starts from counts as a constant
    loss.backward()
    backend.check(truncation.backprop(trace, p.d_outputs, 2).cells, grad(seen.c), dtype)


def test_cells_where_what_crosses_a_state_is_multiplied(torch, backend, dtype, problem):
    """Both oracles let autograd multiply what comes back through s_t, and only that."""
    p = problem(backend, "lstm", dtype, T=T, scale=2.0)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    sigma = np.linalg.svd(backend.numpy(jacobians.steps(trace)), compute_uv=False)[..., :1]
    limit = float(np.median(sigma))  # so that half of them are clipped
    for got, factors in (
        (clipping.by_step(trace, p.d_outputs, limit), np.minimum(1.0, limit / sigma)),
        (truncation.randomized(trace, p.d_outputs, cuts := [1, 0, 2, 1.5, 0, 0.5, 3]), cuts),
    ):
        seen, loss, _ = loop(torch, p, factors=factors)
        loss.backward()
        backend.check(got.cells, grad(seen.c), dtype)
        backend.check(p.cell.split(got.states)["h"], grad(seen.h), dtype)
        assert not np.allclose(grad(seen.c), backend.numpy(bptt.backprop(trace, p.d_outputs).cells))


def test_cells_that_overflow_are_named():
    cell = LSTM.init(1, 1, dtype="float32")
    trace = bptt.unroll(cell, np.zeros((3, 1, 1), dtype="float32"))
    d = np.full((3, 1, 1), 3e38, dtype="float32")
    with pytest.raises(NonFiniteError, match=r"grads\.states is not finite.*first at step 3"):
        bptt.backprop(trace, d, d_final=np.full((1, 2), 3e38, dtype="float32"))
    # Behind a cut, cells overflow alone: what comes from c_2 and from h_1 is finite, their sum is not.
    cell = cell.replace(**{name: weight * 0 for name, weight in cell.parameters.items()})
    trace, d = bptt.unroll(cell, np.zeros((2, 1, 1), dtype="float32")), np.float32([[[3e38]], [[1e3]]])
    states = truncation.randomized(trace, d, [0, 1.3e36], want="states", nonfinite="return").states
    assert np.all(np.isfinite(states))
    with pytest.raises(NonFiniteError, match=r"grads\.cells is not finite.*first at step 1"):
        truncation.randomized(trace, d, [0, 1.3e36], want="states")


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_an_infinite_weight_is_blamed_where_saturated_states_are_finite(backend, dtype, kind):
    cell, draw = backend.cell(2, 3, dtype, kind=kind), np.random.default_rng(0)
    x, d = (backend.array(draw.normal(size=(4, 2, size)), dtype) for size in (2, 3))
    for name in ("weight_ih", "bias_hh"):
        plain = backend.numpy(getattr(cell, name))
        plain.reshape(-1)[-1] = math.inf
        broken = cell.replace(**{name: backend.array(plain, dtype)})
        trace = bptt.unroll(broken, x)
        if kind is LSTM and name == "bias_hh":  # a gate that is always open is no fault
            assert np.all(np.isfinite(backend.numpy(bptt.backprop(trace, d).states)))
            continue
        with pytest.raises(NonFiniteError, match=f"^{name} is not finite"):
            bptt.backprop(trace, d)


# -- the passthrough -------------------------------------------------------------------------------------


def hand_set(backend, dtype, f=40.0, i=-40.0, o=-40.0, g=0.5, hidden=3):
    """Return a cell whose gates are set by their biases alone."""
    biases = np.concatenate([np.full(hidden, a) for a in (i, f, g, o)])
    weights = {"weight_ih": np.zeros((4 * hidden, 1)), "weight_hh": np.zeros((4 * hidden, hidden))}
    weights |= {"bias_ih": biases, "bias_hh": np.zeros(4 * hidden)}
    return LSTM(**{name: backend.array(value, dtype) for name, value in weights.items()})


def test_an_open_forget_gate_and_a_closed_output_gate_pass_the_gradient_on(backend, dtype):
    steps = backend.length(1000)
    cell = hand_set(backend, dtype)
    x, start = np.zeros((steps, 1, 1)), np.array([[0.0, 0.0, 0.0, 0.7, -1.5, 3.0]])
    trace = bptt.unroll(cell, backend.array(x, dtype), backend.array(start, dtype))
    gates = {name: backend.numpy(gate) for name, gate in lstm.gates(trace).items()}
    assert np.all(gates["f"] == 1)  # 1 − 4·10⁻¹⁸ rounds to it in both precisions
    for closed in ("i", "o"):  # the sigmoid's limit 0 is not reached
        np.testing.assert_allclose(gates[closed], math.exp(-40), rtol=1e-5)
    end = np.array([[0.0, 0.0, 0.0, 1.0, -2.0, 0.25]])
    zeros = backend.array(np.zeros((steps, 1, 3)), dtype)
    grads = bptt.backprop(trace, zeros, backend.array(end, dtype))
    held, total = backend.numpy(cell.split(grads.states)["c"]), backend.numpy(grads.cells)
    # Exactly, at every step: nothing is lost and nothing added.
    assert np.all(held == end[:, 3:])
    assert np.all(total == end[:, 3:])
    c = backend.numpy(trace.states)[..., 3:]
    np.testing.assert_allclose(c, np.broadcast_to(start[:, 3:], c.shape), rtol=1e-6)
    logs = backend.numpy(jacobians.log_norms(trace, block=("c", "c")))
    assert np.all(logs == 0)


def test_the_input_gate_is_not_needed_for_the_gradient(backend):
    cell = hand_set(backend, "float64", i=40.0)
    trace = bptt.unroll(cell, backend.array(np.zeros((20, 1, 1))))
    end = backend.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    grads = bptt.backprop(trace, backend.array(np.zeros((20, 1, 3))), end)
    assert np.all(backend.numpy(grads.cells) == 1)
    # What it is needed for is the value: the candidate is added at every step.
    np.testing.assert_allclose(backend.numpy(trace.states)[-1, 0, 3:], 20 * math.tanh(0.5), rtol=1e-12)


def test_a_gate_at_three_quarters_loses_its_power(backend, dtype):
    cell = hand_set(backend, dtype, f=1.0)
    trace = bptt.unroll(cell, backend.array(np.zeros((50, 1, 1)), dtype))
    expected = np.arange(50, -1, -1) * math.log(1 / (1 + math.exp(-1)))
    backend.check(jacobians.log_norms(trace, block=("c", "c")), expected[:, None], dtype)


# -- far from 0: no false vanishing ----------------------------------------------------------------------


@pytest.mark.parametrize("a", [-80.0, -30.0, -20.0, 20.0, 30.0, 80.0])
@pytest.mark.parametrize("gate", range(4))
def test_saturated_gates_keep_their_slope(backend, dtype, gate, a):
    mpmath = pytest.importorskip("mpmath")
    pre, c = np.zeros((1, 1, 4)), 0.5
    pre[..., gate] = a
    cell = backend.cell(1, 1, dtype, kind=LSTM)
    found = cell.factors((backend.array(pre, dtype), backend.array([[[c]]], dtype)))

    def sigmoid(v):
        return 1 / (1 + mpmath.exp(-v))

    with mpmath.workdps(80):
        i, f, g, o = (mpmath.mpf(float(v)) for v in pre[0, 0])
        c_next = sigmoid(f) * c + sigmoid(i) * mpmath.tanh(g)
        exact = [
            mpmath.tanh(g) * sigmoid(i) * sigmoid(-i),
            c * sigmoid(f) * sigmoid(-f),
            sigmoid(i) / mpmath.cosh(g) ** 2,
            mpmath.tanh(c_next) * sigmoid(o) * sigmoid(-o),
            sigmoid(o) / mpmath.cosh(c_next) ** 2,
            sigmoid(f),
        ]
        exact = [float(value) for value in exact]
    tiny = float(np.finfo(dtype).tiny)
    for got, expected in zip(found, exact, strict=True):
        number = float(backend.numpy(got)[0, 0, 0])
        if abs(expected) > tiny:
            assert number == pytest.approx(expected, rel=1e-4 if dtype == "float32" else 1e-12)


def test_gates_driven_to_thirty_lose_no_gradient_in_float32(backend):
    draw = np.random.default_rng(0)
    cell = backend.cell(2, 4, "float32", kind=LSTM)
    signs = np.repeat([30.0, 30.0, 0.0, 30.0], 4) * draw.choice([-1.0, 1.0], 16)
    cell = cell.replace(bias_ih=backend.array(signs, "float32"))
    x, d = draw.normal(size=(10, 2, 2)), np.zeros((10, 2, 4))
    d[-1] = 1.0
    wide = cell.to(dtype="float64")
    single = bptt.backprop(bptt.unroll(cell, backend.array(x, "float32")), backend.array(d, "float32"))
    double = bptt.backprop(bptt.unroll(wide, backend.array(x)), backend.array(d))
    got, exact = backend.numpy(single.inputs), backend.numpy(double.inputs)
    large = np.abs(exact) > 1e-36
    assert np.all(got[large] != 0)
    np.testing.assert_allclose(got[large], exact[large], rtol=1e-3)


# -- the Jacobian ----------------------------------------------------------------------------------------


@given(lead=st.lists(st.integers(1, 4), max_size=3), hidden=st.integers(1, 5), seed=st.integers(0, 99))
def test_generic_jacobian_equals_the_override(backend, dtype, lead, hidden, seed):
    cell, draw = backend.cell(2, hidden, dtype, kind=LSTM, seed=seed), np.random.default_rng(seed)
    sizes = ((*lead, 4 * hidden), (*lead, hidden))
    factors = cell.factors(tuple(backend.array(draw.normal(size=size), dtype) for size in sizes))
    override = cell.jacobian(factors)
    assert tuple(override.shape) == (*lead, 2 * hidden, 2 * hidden)
    backend.check(Recurrence.jacobian(cell, factors), backend.numpy(override), dtype)


def test_blocks_of_the_product(backend, dtype, problem, oracle):
    p = problem(backend, "lstm", dtype, T=4, B=1)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    plain = oracle.complex_step(lambda s: p.run(initial=s)[-1, 0], p.plain.initial)[:, 0, :]
    blocks = {"h": slice(0, 3), "c": slice(3, 6)}
    for row in blocks:
        for column in blocks:
            expected = plain[blocks[row], blocks[column]]
            got = backend.numpy(jacobians.log_norms(trace, 2, block=(row, column)))[0, 0]
            assert got == pytest.approx(math.log(np.linalg.norm(expected, 2)), abs=1e-4)


# -- gates, split, join ----------------------------------------------------------------------------------


def test_gates_are_those_of_every_step(torch, backend, dtype, problem):
    p = problem(backend, "lstm", dtype, T=5)
    found = lstm.gates(bptt.unroll(p.cell, p.x, p.initial))
    assert list(found) == ["i", "f", "g", "o"]
    w, states = p.plain.weights, p.run()
    a = p.plain.x @ w["weight_ih"].T + states[:-1, :, :3] @ w["weight_hh"].T + w["bias_ih"] + w["bias_hh"]
    for k, (name, gate) in enumerate(found.items()):
        block = a[..., 3 * k : 3 * k + 3]
        backend.check(gate, np.tanh(block) if name == "g" else 1 / (1 + np.exp(-block)), dtype)


def test_gates_of_something_else_are_refused(problem):
    for bad in (None, LSTM.init(2, 3), np.zeros(3)):
        with pytest.raises(TypeError, match=r"trace must be what bptt\.unroll returns"):
            lstm.gates(bad)
    for cell in (RNN.init(2, 3), GRU.init(2, 3)):
        trace = bptt.unroll(cell, np.zeros((2, 1, 2)))
        with pytest.raises(
            TypeError, match=rf"trace\.cell must be a vglib LSTM; got .*{type(cell).__name__}$"
        ):
            lstm.gates(trace)


def test_join_is_the_inverse_of_split(backend, dtype):
    cell = backend.cell(2, 3, dtype, kind=LSTM)
    for shape in ((6,), (2, 6), (4, 2, 6)):
        state = backend.array(np.random.default_rng(0).normal(size=shape), dtype)
        parts = cell.split(state)
        assert list(parts) == ["h", "c"]
        backend.check(cell.join(c=parts["c"], h=parts["h"]), backend.numpy(state), dtype)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ({"h": np.zeros((2, 3))}, TypeError, "the blocks of LSTM are h, c; got h"),
        ({}, TypeError, "the blocks of LSTM are h, c; got nothing"),
        ({"h": 0, "c": 0, "m": 0}, TypeError, "the blocks of LSTM are h, c; got h, c, m"),
        ({"h": [0.0] * 3, "c": np.zeros(3)}, TypeError, "h must be an array.*got list"),
        ({"h": np.zeros((2, 3)), "c": np.zeros((1, 3))}, ValueError, r"c must have shape .*got \(1, 3\)"),
        (
            {"h": np.zeros((2, 4)), "c": np.zeros((2, 4))},
            ValueError,
            r"h must have shape .*H is 4, expected 3",
        ),
        (
            {"h": np.zeros(3), "c": np.zeros(3, "float32")},
            TypeError,
            "c is float32 but the cell's weights are",
        ),
    ],
)
def test_join_refuses(blocks, error, message):
    with pytest.raises(error, match=message):
        LSTM.init(2, 3).join(**blocks)


def test_split_refuses_another_size():
    for bad in (None, [0.0] * 6):
        with pytest.raises(TypeError, match=f"state must be an array.*got {type(bad).__name__}"):
            LSTM.init(2, 3).split(bad)
    with pytest.raises(ValueError, match=r"state must have shape \(…, S=6\); got \(\)"):
        LSTM.init(2, 3).split(np.array(1.0))
    with pytest.raises(ValueError, match=r"state must have shape \(…, S=6\); got \(2, 3\)"):
        LSTM.init(2, 3).split(np.zeros((2, 3)))


def test_a_wrong_initial_state_is_refused():
    with pytest.raises(ValueError, match=r"initial must have shape \(B=1, S=6\)"):
        bptt.unroll(LSTM.init(2, 3), np.zeros((2, 1, 2)), np.zeros((1, 3)))
    h = c = np.zeros((1, 3))
    for pair in ((h, c), {"h": h, "c": c}):
        with pytest.raises(TypeError, match=rf"one array: cell\.join\(h=…, c=…\); got {type(pair).__name__}"):
            bptt.unroll(LSTM.init(2, 3), np.zeros((2, 1, 2)), pair)


# -- traps -----------------------------------------------------------------------------------------------


def test_retain_grad_on_the_fused_output_sees_the_direct_way_alone(torch):
    cell = LSTM.init(2, 3, xp=torch)
    x = torch.tensor(np.random.default_rng(0).normal(size=(6, 1, 2)))
    outputs, _ = cell.to_torch()(x)
    outputs.retain_grad()
    outputs[-1].sum().backward()
    assert torch.all(outputs.grad[:-1] == 0)
    d = torch.zeros(6, 1, 3, dtype=torch.float64)
    d[-1] = 1.0
    total = cell.split(bptt.backprop(bptt.unroll(cell, x), d).states)["h"]
    assert torch.all(total[1:-1] != 0)


def test_gradients_by_the_states_agree_with_the_fused_layer_step_by_step(torch):
    from vglib.course.reproductions import last_step

    reader = last_step.make("LSTM", inputs=2, hidden=8, outputs=3, seed=0)
    x = torch.tensor(np.random.default_rng(0).normal(size=(30, 4, 2)), dtype=torch.float32)
    expected = last_step.message(reader, x)
    cell = LSTM.from_torch(reader.layer).to(dtype="float64")
    d = torch.zeros(30, 4, 8, dtype=torch.float64)
    d[-1] = reader.readout.weight[0].double().detach()
    states = bptt.backprop(bptt.unroll(cell, x.double()), d).states
    logs = torch.log10(torch.linalg.vector_norm(states, dim=(1, 2)))
    np.testing.assert_allclose((logs - logs[-1]).numpy(), expected, atol=1e-6)


def test_state_gradients_of_the_fused_layer_from_its_gate_gradients(torch):
    """Extra inputs that are 0, with identity weights: their gradient is that of the pre-activations."""
    cell = LSTM.init(2, 3, xp=torch)
    layer = torch.nn.LSTM(2 + 12, 3, dtype=torch.float64)
    x = torch.tensor(np.random.default_rng(1).normal(size=(6, 2, 2)))
    with torch.no_grad():
        for name, weight in cell.parameters.items():
            getattr(layer, name + "_l0").copy_(
                torch.cat([weight, torch.eye(12).double()], dim=1) if name == "weight_ih" else weight
            )
    extra = torch.zeros(6, 2, 12, dtype=torch.float64, requires_grad=True)
    d = torch.tensor(np.random.default_rng(2).normal(size=(6, 2, 3)))
    (layer(torch.cat([x, extra], dim=-1))[0] * d).sum().backward()
    through = extra.grad @ cell.weight_hh  # ∂L/∂h_t but for what the loss sees of it
    total = cell.split(bptt.backprop(bptt.unroll(cell, x), d).states)["h"]
    torch.testing.assert_close(total[1:-1], through[1:] + d[:-1])


def test_repr_and_state_sizes():
    cell = LSTM.init(2, 3)
    assert repr(cell) == "LSTM(inputs=2, hidden=3, dtype='float64')"
    assert (cell.size, cell.gates, cell.blocks) == (6, 4, ("h", "c"))
