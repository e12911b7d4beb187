"""Influence balancing: its closed forms against the recursion, autograd and descent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import NonFiniteError, bptt
from vglib.base.data import influence_balancing

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12)).filter(lambda s: s[1] <= s[0] != 2 * s[1])


def matrices(units, positive):
    """Return A and g entry by entry."""
    A = np.zeros((units, units))
    for i in range(units):
        A[i, i] = 0.5
        if i + 1 < units:
            A[i, i + 1] = 0.5
    return A, np.array([1.0] * positive + [-1.0] * (units - positive))


@given(sizes=SIZES)
def test_the_system_is_the_published_one(backend, dtype, sizes):
    system = influence_balancing(*sizes, xp=backend.xp, device=backend.device, dtype=dtype)
    A, signs = matrices(*sizes)
    backend.check(system.A, A, dtype)
    backend.check(system.signs, signs, dtype)
    assert (system.units, system.positive) == sizes


@given(sizes=SIZES, theta=st.floats(-2, 2))
def test_it_comes_to_rest_where_it_says(backend, sizes, theta):
    system = influence_balancing(*sizes, xp=backend.xp, device=backend.device)
    A, signs = matrices(*sizes)
    rest = np.linalg.solve(np.eye(len(A)) - A, theta * signs)
    found = system.at_rest(theta, batch=2)
    backend.check(found, np.stack([rest, rest]), scale=100)
    assert rest[0] == pytest.approx(system.slope * theta, abs=1e-9)
    # The cell, started there, stays.
    trace = bptt.unroll(system.cell(theta), system.inputs(3, batch=2), found)
    backend.check(trace.states, np.broadcast_to(rest, (4, 2, sizes[0])), scale=100)


def test_it_gets_there():
    system = influence_balancing()
    trace = bptt.unroll(system.cell(0.5), system.inputs(400))
    np.testing.assert_allclose(trace.states[-1], system.at_rest(0.5), atol=1e-12)
    assert (system.slope, system.optimum) == (-6, -1 / 6)
    assert float(system.loss(system.at_rest(system.optimum)[None])[0]) < 1e-30


@given(sizes=SIZES, steps=st.integers(1, 30))
def test_truncated_slopes_against_powers(sizes, steps):
    system, (A, signs) = influence_balancing(*sizes), matrices(*sizes)
    slopes = np.cumsum([(np.linalg.matrix_power(A, k) @ signs)[0] for k in range(steps)])
    assert system.truncated_slope(steps) == pytest.approx(slopes[-1], abs=1e-9)
    assert system.truncated_slope(steps, chunks=True) == pytest.approx(slopes.mean(), abs=1e-9)


def test_truncated_slopes_of_the_published_sizes():
    system = influence_balancing()
    # The first ten steps meet positive units alone; later the negative ones outweigh them.
    assert [system.truncated_slope(k) for k in (1, 2, 10)] == [1, 2, 10]
    assert system.truncated_slope(20) == pytest.approx(16.476, abs=1e-3)
    assert system.truncated_slope(1000) == pytest.approx(system.slope)
    signs = [system.truncated_slope(k) > 0 for k in range(1, 200)]
    assert signs == [True] * 40 + [False] * 159
    # In chunks with a loss at every step the early losses of each still outweigh the late ones at K = 100.
    signs = [system.truncated_slope(k, chunks=True) > 0 for k in range(1, 200)]
    assert signs == [True] * 109 + [False] * 90


def test_gradient_against_autograd(torch):
    system = influence_balancing(7, 3)
    cell = system.cell(0.5)
    trace = bptt.unroll(cell, system.inputs(25, batch=2))
    loss, d_outputs = system.loss(trace.outputs)
    grads = bptt.backprop(trace, d_outputs, want="parameters")

    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    A, signs = (torch.tensor(m) for m in matrices(7, 3))
    state, total = torch.zeros(7, dtype=torch.float64), 0.0
    for _ in range(25):
        state = A @ state + theta * signs
        total = total + 2 * 0.5 * (state[0] - 1) ** 2  # two sequences
    total.backward()
    assert float(loss) == pytest.approx(float(total.detach()))
    assert system.gradient(grads.parameters) == pytest.approx(float(theta.grad))


@pytest.mark.parametrize("length", [10, 100, 150])
def test_a_chunk_at_rest_has_the_gradient_of_the_closed_form(length):
    system, theta = influence_balancing(), 0.3
    trace = bptt.unroll(system.cell(theta), system.inputs(length), system.at_rest(theta))
    grads = bptt.backprop(trace, system.loss(trace.outputs)[1])
    error = system.slope * theta - 1
    expected = length * error * system.truncated_slope(length, chunks=True)
    assert system.gradient(grads.parameters) == pytest.approx(expected)


@pytest.mark.parametrize(("length", "converges"), [(10, False), (100, False), (200, True)])
def test_descent_by_chunks_goes_where_the_slope_says(length, converges):
    system = influence_balancing()
    A, signs = matrices(23, 10)
    theta, state, theirs = -0.1, system.at_rest(-0.1)[0], []
    for _ in range(300):
        sensitivity, gradient = np.zeros(23), 0.0  # forward mode, cut at the start of a chunk
        for _ in range(length):
            state, sensitivity = A @ state + theta * signs, A @ sensitivity + signs
            gradient += (state[0] - 1) * sensitivity[0]
        theta -= 1e-4 * gradient
        theirs.append(abs(theta - system.optimum))
    assert (theirs[-1] < 1e-3) == converges
    assert (theirs[-1] > theirs[0]) == (not converges)


def test_loss_and_gradient_on_every_library(backend, dtype):
    system = influence_balancing(5, 2, backend.xp, backend.device, dtype)
    plain = influence_balancing(5, 2)
    outputs = np.linspace(-1, 1, 30).reshape(3, 2, 5)
    loss, direct = system.loss(backend.array(outputs, dtype))
    backend.check(loss, np.sum((outputs[..., 0] - 1) ** 2) / 2, dtype)
    expected = np.zeros((3, 2, 5))
    expected[..., 0] = outputs[..., 0] - 1
    backend.check(direct, expected, dtype)
    backend.check(system.inputs(4, 2), np.ones((4, 2, 1)), dtype)
    for name, weight in system.cell(0.25).parameters.items():
        backend.check(weight, plain.cell(0.25).parameters[name], dtype)
    column = backend.array([[1.0], [2.0], [3.0], [4.0], [5.0]], dtype)
    assert system.gradient({"weight_ih": column}) == 1 + 2 - 3 - 4 - 5


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((0, 1), ValueError, "units must be at least 1; got 0"),
        ((23.0, 10), TypeError, "units must be an integer; got 23.0"),
        ((23, 0), ValueError, "positive must be at least 1; got 0"),
        ((23, "10"), TypeError, "positive must be an integer; got '10'"),
        ((23, 24), ValueError, "positive must be at most units=23 .*; got 24"),
        ((22, 11), ValueError, "positive must be .* not half of it, where θ has no effect at rest; got 11"),
    ],
)
def test_sizes_that_do_not_fit(sizes, error, message):
    with pytest.raises(error, match=message):
        influence_balancing(*sizes)


def test_what_does_not_fit_the_system(torch):
    system = influence_balancing(5, 2)
    for theta in (np.nan, np.inf):
        with pytest.raises(NonFiniteError, match="theta is not finite"):
            system.cell(theta)
    for steps, error in ((0, ValueError), (2.0, TypeError), (True, TypeError)):
        for call in (system.truncated_slope, system.inputs):
            with pytest.raises(error, match=r"^steps must be"):
                call(steps)
    with pytest.raises(ValueError, match=r"^batch must be at least 1; got 0"):
        system.inputs(3, 0)
    with pytest.raises(ValueError, match=r"^batch must be at least 1; got 0"):
        system.at_rest(0.1, 0)
    with pytest.raises(ValueError, match=r"outputs must have shape \(T, B, n=5\); got \(3, 1, 4\)"):
        system.loss(np.zeros((3, 1, 4)))
    with pytest.raises(TypeError, match="outputs is float32 but the system's matrices are float64"):
        system.loss(np.zeros((3, 1, 5), dtype="float32"))
    with pytest.raises(TypeError, match=r"outputs is a torch\.Tensor but the system's matrices are numpy"):
        system.loss(torch.zeros((3, 1, 5), dtype=torch.float64))
    for wrong in (None, np.zeros((5, 1)), {"weight_hh": np.zeros((5, 5))}):
        with pytest.raises(TypeError, match="parameters must be the gradients of the cell's weights"):
            system.gradient(wrong)
    with pytest.raises(ValueError, match=r"parameters\['weight_ih'\] must have shape \(n=5, D=1\)"):
        system.gradient({"weight_ih": np.zeros((5, 2))})
    with pytest.raises(TypeError, match="dtype must be one of"):
        influence_balancing(dtype="int8")


def test_it_says_what_it_is():
    assert repr(influence_balancing()) == "InfluenceBalancing(units=23, positive=10)"
