"""Truncated, randomly cut and checkpointed backpropagation against autograd with explicit detach."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, NonFiniteError, bptt, truncation
from vglib.base.arrays import QUIET

PAIRS = [
    (1, 1),
    (1, 3),
    (2, 2),
    (2, 3),
    (3, 2),
    (2, 5),
    (3, 4),
    (4, 1),
    (7, 7),
    (7, 3),
    (3, 7),
    (7, 9),
    (9, 9),
]
T = 7
WANTS = ("parameters", "inputs", "states")


def one_step(torch, kind, w, x, state):
    """The textbook step, for autograd."""
    hidden = w["weight_hh"].shape[-1]
    given = x @ w["weight_ih"].T + w["bias_ih"]
    back = state[:, :hidden] @ w["weight_hh"].T + w["bias_hh"]
    if kind == "leaky":
        c = 0.9 * state[:, hidden:] + torch.tanh(given + back / 2)
        return torch.cat([torch.tanh(c), c], dim=1)
    if kind == "lstm":
        i, f, g, o = (given + back).chunk(4, dim=1)
        c = f.sigmoid() * state[:, hidden:] + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c], dim=1)
    if kind == "gru":
        (r, z, n), (r_back, z_back, m) = given.chunk(3, dim=1), back.chunk(3, dim=1)
        z = (z + z_back).sigmoid()
        return (1 - z) * (n + (r + r_back).sigmoid() * m).tanh() + z * state
    functions = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "linear": lambda a: a}
    return functions[kind](given + back)


def by_autograd(torch, p, passes):
    """Sum autograd's gradients over passes (start, losses, stop); each starts at a detached state."""
    states = torch.tensor(p.run())
    w = {name: torch.tensor(v, requires_grad=True) for name, v in p.plain.weights.items()}
    x, d = torch.tensor(p.plain.x, requires_grad=True), torch.tensor(p.plain.d_outputs)
    total = SimpleNamespace(
        parameters={name: torch.zeros_like(v) for name, v in w.items()},
        inputs=torch.zeros_like(x),
        states=torch.zeros_like(states),
    )
    for start, losses, stop in passes:
        way = [states[start].clone().detach().requires_grad_()]
        for t in range(start, stop):
            way.append(one_step(torch, p.kind, w, x[t], way[-1]))
        loss = sum((d[t] * way[t + 1 - start][:, : p.cell.hidden]).sum() for t in losses)
        grads = torch.autograd.grad(loss, [*w.values(), x, *way], allow_unused=True, materialize_grads=True)
        for name, grad in zip(w, grads, strict=False):
            total.parameters[name] += grad
        total.inputs += grads[len(w)]
        for t, grad in enumerate(grads[len(w) + 1 :], start):
            if t > start or t == 0:  # at its start a pass has ended
                total.states[t] += grad
    return total


def passes_of(steps, k1, k2):
    """TBPTT(k1, k2) from its definition."""
    for stop in sorted({*range(k1, steps + 1, k1), steps}):
        start = max(0, stop - k2)
        since = (stop - 1) // k1 * k1
        yield start, [t for t in range(since, stop) if t >= start], stop


def check_gradients(backend, got, expected, dtype="float64", want=WANTS):
    for name in WANTS:
        if name not in want:
            assert getattr(got, name) is None
        elif name == "parameters":
            for key, value in expected.parameters.items():
                backend.check(got.parameters[key], value.detach().numpy(), dtype)
        else:
            backend.check(getattr(got, name), getattr(expected, name).detach().numpy(), dtype)
    backend.check(got.initial, expected.states[0].numpy(), dtype, scale=1.0)


@given(steps=st.integers(1, 30), k1=st.integers(1, 35), k2=st.integers(1, 35))
def test_windows_are_what_the_definition_says(steps, k1, k2):
    made = truncation.windows(steps, k1, k2)
    expected = list(passes_of(steps, k1, k2))
    assert [(w.start, list(range(w.first, w.stop)), w.stop) for w in made] == expected
    collected = [t for w in made for t in range(w.first, w.stop)]
    assert len(set(collected)) == len(collected)
    if k2 >= k1:
        assert collected == list(range(steps))
    for w in made:
        assert w.steps == min(k2, w.stop)
        for t in range(steps):
            assert w.reach(t) == (len(range(w.start, t + 1)) if t in range(w.first, w.stop) else 0)
    assert truncation.windows(steps, k1) == truncation.windows(steps, k1, k1)


@pytest.mark.parametrize(("k1", "k2"), PAIRS)
def test_backprop_equals_autograd_with_detach(torch, backend, dtype, kind, problem, k1, k2):
    p = problem(backend, kind, dtype, T=T)
    got = truncation.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, k1, k2)
    check_gradients(backend, got, by_autograd(torch, p, passes_of(T, k1, k2)), dtype)


@given(
    steps=st.integers(1, 9),
    k1=st.integers(1, 11),
    k2=st.integers(1, 11),
    B=st.integers(1, 3),
    H=st.integers(1, 3),
)
def test_backprop_for_any_shape(torch, backend, problem, steps, k1, k2, B, H):
    p = problem(backend, "leaky", T=steps, B=B, H=H)
    got = truncation.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, k1, k2)
    check_gradients(backend, got, by_autograd(torch, p, passes_of(steps, k1, k2)))


@pytest.mark.parametrize("k1", [T, T + 1, 10 * T])
def test_one_long_window_is_the_full_gradient(backend, kind, problem, k1):
    p = problem(backend, kind, T=T)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    full = bptt.backprop(trace, p.d_outputs)
    got = truncation.backprop(trace, p.d_outputs, k1)
    for name, value in full.parameters.items():
        backend.check(got.parameters[name], backend.numpy(value))
    np.testing.assert_array_equal(backend.numpy(got.states), backend.numpy(full.states))


@pytest.mark.parametrize("want", [(), ("parameters",), "inputs", ("states", "inputs"), WANTS])
def test_only_what_is_wanted(torch, backend, problem, want):
    p = problem(backend, T=T)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    named = (want,) if isinstance(want, str) else want
    for got, passes in (
        (truncation.backprop(trace, p.d_outputs, 2, 3, want), passes_of(T, 2, 3)),
        (truncation.randomized(trace, p.d_outputs, [1.0] * T, want), passes_of(T, T, T)),
        (truncation.checkpointed(p.cell, p.x, p.d_outputs, p.initial, want=want), passes_of(T, T, T)),
    ):
        check_gradients(backend, got, by_autograd(torch, p, passes), want=named)


def test_nothing_arrives_beyond_k2(backend, kind, problem):
    p = problem(backend, kind, T=T)
    d = backend.numpy(p.d_outputs).copy()
    d[:-1] = 0
    trace = bptt.unroll(p.cell, p.x, p.initial)
    inputs = backend.numpy(truncation.backprop(trace, backend.array(d), 1, 3).inputs)
    full = backend.numpy(bptt.backprop(trace, backend.array(d)).inputs)
    assert np.all(inputs[: T - 3] == 0)
    np.testing.assert_allclose(inputs[T - 3 :], full[T - 3 :], rtol=1e-12, atol=1e-15)
    if kind == "sigmoid":
        assert np.any(full[: T - 3] != 0)


def test_d_outputs_by_chunk(torch, backend, problem):
    p = problem(backend, "leaky", T=T)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    got = truncation.backprop(trace, lambda start, stop: p.d_outputs[start:stop, ...], 2, 5)
    check_gradients(backend, got, by_autograd(torch, p, passes_of(T, 2, 5)))


@pytest.mark.parametrize("of", ["leaky", "lstm", "gru"])
@pytest.mark.parametrize(("k1", "k2"), PAIRS)
def test_stream_yields_the_windows(torch, backend, dtype, problem, of, k1, k2):
    p = problem(backend, of, dtype, T=T)
    asked = []

    def x(start, stop):
        asked.append((start, stop))
        return p.x[start:stop, ...]

    updates = list(
        truncation.stream(p.cell, x, lambda a, b: p.d_outputs[a:b, ...], k1, k2, p.initial, steps=T)
    )
    ends = [w.stop for w in truncation.windows(T, k1, k2)]
    assert asked == list(zip([0, *ends[:-1]], ends, strict=True))  # each step once, in order
    states = p.run()
    for update, one in zip(updates, passes_of(T, k1, k2), strict=True):
        expected = by_autograd(torch, p, [one]).parameters
        scale = max(float(v.abs().max()) for v in expected.values())
        for name, value in expected.items():
            backend.check(update.parameters[name], value.numpy(), dtype, scale=scale)
        backend.check(update.state, states[update.window.stop], dtype)
        assert (update.window.start, update.window.stop) == (one[0], one[2])


def test_stream_hands_the_outputs_on(backend, problem):
    p = problem(backend, T=T)

    def pull_to_one(start, stop, outputs):
        return outputs - 1

    whole = bptt.unroll(p.cell, p.x, p.initial)
    expected = truncation.backprop(whole, whole.outputs - 1, 2, 4).parameters
    updates = list(truncation.stream(p.cell, p.x, pull_to_one, 2, 4, p.initial))
    for name, value in expected.items():
        backend.check(sum(u.parameters[name] for u in updates), backend.numpy(value))
    exact = bptt.backprop(whole, whole.outputs - 1).parameters
    got = truncation.checkpointed(p.cell, p.x, pull_to_one, p.initial).parameters
    for name, value in exact.items():
        backend.check(got[name], backend.numpy(value))


def peak(call):
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def long_problem(steps):
    cell, noise = RNN.init(2, 64), np.random.default_rng(0).normal(size=(64, 16, 2))
    ones = np.ones((64, 16, 64))
    return cell, lambda a, b: noise[: b - a], lambda a, b: ones[: b - a], steps


@pytest.mark.parametrize(("k1", "k2"), [(20, 20), (5, 20)])
def test_memory_of_a_stream_is_flat_in_time(k1, k2):
    def run(steps):
        cell, x, d, steps = long_problem(steps)
        for _ in truncation.stream(cell, x, d, k1, k2, steps=steps):
            pass

    assert peak(lambda: run(1000)) < 1.2 * peak(lambda: run(100))


def test_memory_of_checkpoints_grows_like_a_root():
    def run(steps):
        cell, x, d, steps = long_problem(steps)
        truncation.checkpointed(cell, x, d, steps=steps)

    def plain(steps):
        trace = bptt.unroll(RNN.init(2, 64), np.ones((steps, 16, 2)))
        bptt.backprop(trace, trace.outputs, want="parameters")

    most = peak(lambda: run(2048))
    assert most < 2.6 * peak(lambda: run(512))
    assert most < peak(lambda: plain(2048)) / 16


@pytest.mark.parametrize("segment", [None, 1, 2, 3, 6, 7, 8])
def test_checkpointed_equals_autograd(torch, backend, dtype, kind, problem, segment):
    p = problem(backend, kind, dtype, T=T)
    got = truncation.checkpointed(p.cell, p.x, p.d_outputs, p.initial, want=WANTS, segment=segment)
    check_gradients(backend, got, by_autograd(torch, p, passes_of(T, T, T)), dtype)


@pytest.mark.parametrize("segment", [None, 1, 4, 7])
def test_checkpointed_equals_backprop(backend, kind, problem, segment):
    p = problem(backend, kind, T=T)
    expected = bptt.backprop(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, p.d_final)
    got = truncation.checkpointed(
        p.cell,
        lambda a, b: p.x[a:b, ...],
        lambda a, b: p.d_outputs[a:b, ...],
        p.initial,
        p.d_final,
        WANTS,
        segment,
        T,
    )
    for name in ("inputs", "states", "initial"):
        backend.check(getattr(got, name), backend.numpy(getattr(expected, name)))
    for name, value in expected.parameters.items():
        backend.check(got.parameters[name], backend.numpy(value))


def test_carry_multiplies_what_crosses_a_state(torch, backend, dtype, kind, problem):
    p = problem(backend, kind, dtype, T=T)
    carry = [1.0, 0.5, 1.0, 0.0, 3.0, 1.5, 0.0]
    w = {name: torch.tensor(v, requires_grad=True) for name, v in p.plain.weights.items()}
    state, x = torch.tensor(p.plain.initial, requires_grad=True), torch.tensor(p.plain.x)
    first, loss = state, 0.0
    for t in range(T):
        crossing = state if t == 0 else carry[t] * state + (1 - carry[t]) * state.detach()
        state = one_step(torch, kind, w, x[t], crossing)
        loss = loss + (torch.tensor(p.plain.d_outputs[t]) * state[:, : p.cell.hidden]).sum()
    grads = torch.autograd.grad(loss, [*w.values(), first])
    got = truncation.randomized(bptt.unroll(p.cell, p.x, p.initial), p.d_outputs, carry)
    for name, value in zip(w, grads, strict=False):
        backend.check(got.parameters[name], value.numpy(), dtype)
    backend.check(got.initial, grads[-1].numpy(), dtype, scale=1.0)


@pytest.mark.parametrize("power", [None, 4.0])
@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("of", ["tanh", "leaky"])
def test_random_cuts_are_unbiased_and_fixed_ones_are_not(problem, power, block, of):
    from vglib.base.arrays import resolve_namespace

    backend = SimpleNamespace(**numpy_backend(resolve_namespace(np)))
    p = problem(backend, of, T=12, H=2, scale=1.5)
    trace = bptt.unroll(p.cell, p.x, p.initial)

    def flat(grads):
        return np.concatenate([g.ravel() for g in grads.parameters.values()])

    exact = flat(bptt.backprop(trace, p.d_outputs))
    draws = np.array(
        [
            flat(
                truncation.randomized(
                    trace, p.d_outputs, truncation.random_carry(12, 4, seed, power, block), "parameters"
                )
            )
            for seed in range(2000)
        ]
    )
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    off = np.abs(draws.mean(axis=0) - exact) / error
    assert off.max() < 4.5
    assert np.sqrt(np.mean(off**2)) < 1.8
    fixed = flat(truncation.backprop(trace, p.d_outputs, 4))
    assert np.abs((fixed - exact) / error).max() > 20  # the same test sees a bias where there is one


def numpy_backend(xp):
    """What `problem` asks of a backend, for tests whose statistics need no second library."""
    return {
        "array": lambda values, dtype="float64": np.array(values, dtype=dtype),
        "numpy": np.asarray,
        "cell": lambda inputs, hidden, dtype, scale, kind=RNN, **options: _scaled(
            kind.init(inputs, hidden, xp=xp, dtype=dtype, **options), scale
        ),
    }


def _scaled(cell, scale):
    return cell.replace(weight_hh=cell.weight_hh * scale)


@pytest.mark.parametrize(
    ("length", "power", "block"), [(5, None, 1), (5, 4.0, 1), (12, None, 4), (12, 3.5, 4)]
)
def test_carry_has_expectation_one_and_pieces_their_mean_length(length, power, block):
    steps = 200_000
    carry = truncation.random_carry(steps, length, 1, power, block)
    assert carry.shape == (steps,)
    assert carry[0] == 1
    chances = np.arange(steps) % block == 0
    assert np.all(carry[~chances] == 1)
    chances[0] = False
    assert carry[chances].mean() == pytest.approx(1, abs=0.01)
    lengths = np.diff(np.flatnonzero(carry == 0))
    assert lengths.mean() == pytest.approx(length, rel=0.04)
    assert np.all(lengths % block == 0)
    # A second moment for one crossing is 1/(1 − c), so the factors themselves are as they should be.
    if power is None:
        assert set(np.unique(carry)) <= {0.0, 1.0, 1 / (1 - block / length)}
    np.testing.assert_array_equal(carry, truncation.random_carry(steps, length, 1, power, block))
    assert np.any(carry != truncation.random_carry(steps, length, 2, power, block))


def test_second_moment_grows_exponentially_or_like_a_power():
    def second(q, power):
        # All factors but the last are given by where the last cut was: average over long series.
        carry = truncation.random_carry(400_000, 10, 3, power)
        logs = np.where(carry > 0, np.log(np.maximum(carry, 1e-9)), -np.inf)
        sums = np.cumsum(np.where(np.isinf(logs), 0, logs))
        cuts = np.cumsum(carry == 0)
        alive = cuts[q:] == cuts[:-q]
        return np.mean(np.where(alive, np.exp(2 * (sums[q:] - sums[:-q])), 0))

    assert second(20, None) == pytest.approx((1 / 0.9) ** 20, rel=0.15)
    assert second(60, 4.0) < 0.5 * (1 / 0.9) ** 60


def test_a_cut_stops_a_gradient_that_is_not_finite(backend):
    cell = backend.scalar(1e200)
    trace = bptt.unroll(cell, backend.array(np.zeros((5, 1, 1))))
    ones = backend.array(np.ones((5, 1, 1)))
    with pytest.raises(NonFiniteError, match=r"grads.states is not finite.*step 3;.*explodes"):
        truncation.backprop(trace, ones, 3)
    with pytest.raises(NonFiniteError, match=r"grads\.states"):
        truncation.checkpointed(cell, trace.inputs, ones)
    with pytest.raises(NonFiniteError, match=r"grads.states is not finite.*step 1;"):
        list(truncation.stream(cell, trace.inputs, ones, 3))
    with pytest.raises(NonFiniteError, match=r"first at step 3;"):
        list(truncation.stream(cell, trace.inputs, backend.array(np.eye(5, 1, -4)[:, None] + 0), 5))
    cut = backend.numpy(truncation.randomized(trace, ones, [1, 0, 1, 1, 0], nonfinite="return").states)
    assert np.isinf(cut[2]).all()
    assert np.isfinite(cut[[0, 1, 3, 4, 5]]).all()  # inf times the 0 of the cut is no NaN
    seen = backend.numpy(truncation.backprop(trace, ones, 3, nonfinite="return").states)
    assert np.isfinite(seen[[2, 4, 5]]).all()
    assert np.isinf(seen[[0, 1, 3]]).all()


CELL = RNN.init(2, 3)
X = np.linspace(-1.0, 1.0, 20).reshape(5, 2, 2)
D = np.ones((5, 2, 3))
TRACE = bptt.unroll(CELL, X)
ONES = np.ones(5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: truncation.windows(0, 1), ValueError, "steps must be at least 1; got 0"),
        (lambda: truncation.windows(5, 0), ValueError, "k1 must be at least 1; got 0"),
        (lambda: truncation.windows(5, 2, 0), ValueError, "k2 must be at least 1; got 0"),
        (lambda: truncation.windows(5, 2.0), TypeError, "k1 must be an integer; got 2.0"),
        (lambda: truncation.windows(5, 2)[0].reach(-1), ValueError, "step must be at least 0"),
        (lambda: truncation.backprop(TRACE, D, 0), ValueError, "k1 must be at least 1; got 0"),
        (lambda: truncation.backprop(TRACE, D, 2, True), TypeError, "k2 must be an integer; got True"),
        (
            lambda: truncation.backprop(X, D, 2),
            TypeError,
            "trace must be what bptt.unroll returns; got ndarray",
        ),
        (lambda: truncation.backprop(TRACE, D, 2, want="all"), ValueError, "want must be one of .*got 'all'"),
        (lambda: truncation.backprop(TRACE, D[:3], 2), ValueError, r"d_outputs must have shape \(T=5"),
        (lambda: truncation.backprop(TRACE, D, 2, nonfinite="no"), ValueError, "nonfinite must be one of"),
        (lambda: truncation.randomized(None, D, ONES), TypeError, "trace must be what bptt.unroll returns"),
        (lambda: truncation.randomized(TRACE, D, ONES[:4]), ValueError, "carry must hold T=5 numbers; got 4"),
        (lambda: truncation.randomized(TRACE, D, -ONES), ValueError, "carry must be .*got -1.0 at step 0"),
        (lambda: truncation.randomized(TRACE, D, ONES * np.nan), ValueError, "carry must be .*got nan"),
        (lambda: truncation.randomized(TRACE, D, None), TypeError, "carry must be a sequence .*got None"),
        (lambda: truncation.randomized(TRACE, D, "11111"), TypeError, "carry must be .*got '11111'"),
        (lambda: truncation.randomized(TRACE, D, ONES[:, None]), TypeError, "carry must be a sequence"),
        (lambda: truncation.randomized(TRACE, D, ONES, 3), TypeError, "want must be a sequence .*got 3"),
        (lambda: truncation.random_carry(5, 1), ValueError, "length must be finite and above 1; got 1"),
        (lambda: truncation.random_carry(5, 4, block=4), ValueError, "length must be finite and above 4"),
        (lambda: truncation.random_carry(5, np.inf), ValueError, "length must be finite and above"),
        (lambda: truncation.random_carry(5, "4"), TypeError, "length must be a number; got '4'"),
        (
            lambda: truncation.random_carry(5, 4, power=1),
            ValueError,
            "power must be finite and above 1",
        ),
        (lambda: truncation.random_carry(5, 4, seed=-1), ValueError, "seed must be at least 0"),
        (lambda: truncation.random_carry(5, 4, block=0), ValueError, "block must be at least 1"),
        (lambda: truncation.stream(None, X, D, 2), TypeError, "cell must be a vglib cell"),
        (lambda: truncation.stream(CELL, X[:0], D, 2), ValueError, r"x must have shape"),
        (
            lambda: truncation.stream(CELL, X, D[:2], 2),
            ValueError,
            r"d_outputs must have shape \(T=5, B=2, H=3",
        ),
        (lambda: truncation.stream(CELL, X, D, 0), ValueError, "k1 must be at least 1"),
        (lambda: truncation.stream(CELL, X, D, 2, steps=4), ValueError, "x has T=5, steps is 4"),
        (lambda: truncation.stream(CELL, lambda a, b: X, D, 2), ValueError, "steps must be given"),
        (
            lambda: next(truncation.stream(CELL, lambda a, b: X, D, 2, steps=5)),
            ValueError,
            r"x\(start, stop\) must have shape \(stop − start=2, ",
        ),
        (
            lambda: next(truncation.stream(CELL, X, lambda a, b: D, 2)),
            ValueError,
            r"d_outputs\(start, stop\) must have shape",
        ),
        (
            lambda: next(truncation.stream(CELL, X, lambda a, b, outputs: outputs.astype("float32"), 2)),
            TypeError,
            r"d_outputs\(start, stop, outputs\) is float32",
        ),
        (lambda: next(truncation.stream(CELL, X, D, 2, initial=D)), ValueError, "initial must have shape"),
        (lambda: truncation.checkpointed(None, X, D), TypeError, "cell must be a vglib cell"),
        (lambda: truncation.checkpointed(CELL, X, D, segment=0), ValueError, "segment must be at least 1"),
        (
            lambda: truncation.checkpointed(CELL, X, D, d_final=D),
            ValueError,
            r"d_final must have shape \(B=2",
        ),
        (lambda: truncation.checkpointed(CELL, X, D, want="x"), ValueError, "want must be one of"),
        (lambda: truncation.checkpointed(CELL, X, D.tolist()), TypeError, "d_outputs must be an array"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_where_a_chunk_is_not_finite():
    bad = X.copy()
    bad[4] = np.nan
    for call in (truncation.stream, truncation.checkpointed):
        with pytest.raises(NonFiniteError, match=r"x is not finite.*first at step 4;"):
            call(CELL, bad, D, **({"k1": 2} if call is truncation.stream else {}))
    with pytest.raises(NonFiniteError, match=r"x is not finite.*first at step 4;"):
        list(truncation.stream(CELL, lambda a, b: bad[a:b], D, 2, steps=5))
    with pytest.raises(NonFiniteError, match=r"d_outputs is not finite.*first at step 4;"):
        truncation.checkpointed(CELL, X, lambda a, b: D[a:b] + bad[a:b, :, :1])
    grown = RNN.init(2, 3, activation="linear")
    grown = grown.replace(weight_hh=1e100 * grown.weight_hh)
    with pytest.raises(NonFiniteError, match=r"states is not finite.*first at step 5;"):
        list(truncation.stream(grown, X, D, 2))
    with QUIET, pytest.raises(NonFiniteError, match=r"states is not finite.*first at step 5;"):
        truncation.checkpointed(grown, X, D)
