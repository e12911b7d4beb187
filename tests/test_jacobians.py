"""Products of Jacobians against complex-step derivatives, autograd and closed forms."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, bptt, jacobians
from vglib.base.arrays import namespace
from vglib.base.scaled import rescale

NORMS = {"fro": "fro", 2: 2, 1: 1, "inf": np.inf}


def linear(backend, matrix, dtype="float64"):
    """Return the linear cell h' = W h with inputs that do nothing."""
    cell = backend.cell(1, len(matrix), dtype, activation="linear")
    return cell.replace(weight_hh=backend.array(matrix, dtype))


def trace_of(backend, cell, steps, batch=1, seed=0):
    x = np.random.default_rng(seed).normal(size=(steps, batch, cell.inputs))
    return bptt.unroll(cell, backend.array(x, cell.dtype))


def products(problem, oracle):
    """Return ∂s_T/∂s_t for every t, (T+1, B, S, S), from one derivative of the whole run."""
    T, B, S = len(problem.plain.x), *problem.plain.initial.shape
    d = oracle.complex_step(lambda bump: problem.run(bump)[-1], np.zeros((T + 1, B, S)))
    return np.stack([d[b, :, :, b, :] for b in range(B)]).transpose(2, 0, 1, 3)


def exact_logs(matrices, ord, size):
    with np.errstate(divide="ignore"):
        norms = np.log(np.linalg.norm(matrices, NORMS[ord], axis=(-2, -1)))
    return norms - (math.log(size) / 2 if ord == "fro" else 0)


def test_steps_equal_complex_step(backend, dtype, kind, problem, oracle):
    p = problem(backend, kind, dtype)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    states = p.run()
    for t in range(4):
        d = oracle.complex_step(lambda s, t=t: p.run(x=p.plain.x[t : t + 1], initial=s)[1], states[t])
        expected = np.stack([d[b, :, b, :] for b in range(2)])
        backend.check(jacobians.steps(trace)[t, ...], expected, dtype)


def test_steps_equal_autograd(torch, backend, dtype, problem):
    p = problem(backend, "tanh", dtype, T=6, B=3, H=5)
    w = {name: torch.tensor(v) for name, v in p.plain.weights.items()}

    def step(x, h):
        return torch.tanh(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])

    over_batch = torch.func.vmap(torch.func.jacrev(step, argnums=1))
    expected = torch.func.vmap(over_batch)(torch.tensor(p.plain.x), torch.tensor(p.run()[:-1]))
    backend.check(jacobians.steps(bptt.unroll(p.cell, p.x, p.initial)), expected.numpy(), dtype)


@pytest.mark.parametrize("reverse", [False, True])
def test_stream_yields_the_steps_in_order(backend, dtype, kind, problem, reverse):
    p = problem(backend, kind, dtype)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    whole = backend.numpy(jacobians.steps(trace))
    streamed = list(jacobians.stream(trace, reverse=reverse))
    assert len(streamed) == 4
    for one, expected in zip(streamed, whole[::-1] if reverse else whole, strict=True):
        backend.check(one, expected, dtype)


@pytest.mark.parametrize("ord", list(NORMS))
def test_log_norms_equal_the_explicit_product(backend, dtype, kind, problem, oracle, ord):
    p = problem(backend, kind, dtype)
    logs = jacobians.log_norms(bptt.unroll(p.cell, p.x, p.initial), ord)
    backend.check(logs, exact_logs(products(p, oracle), ord, p.cell.size), dtype, scale=10)
    assert np.max(np.abs(backend.numpy(logs)[-1])) < 1e-6


@given(T=st.integers(1, 6), B=st.integers(1, 3), H=st.integers(1, 4), scale=st.floats(0.1, 3))
def test_log_norms_for_any_shape(backend, kind, problem, oracle, T, B, H, scale):
    p = problem(backend, kind, "float64", T, B, 2, H, scale)
    logs = jacobians.log_norms(bptt.unroll(p.cell, p.x, p.initial), 1)
    expected = exact_logs(products(p, oracle), 1, p.cell.size)
    np.testing.assert_array_equal(np.isneginf(backend.numpy(logs)), np.isneginf(expected))
    assert np.max(np.abs(np.exp(backend.numpy(logs)) - np.exp(expected))) <= 1e-11 * np.max(np.exp(expected))


@pytest.mark.parametrize("ord", list(NORMS))
@pytest.mark.parametrize("block", [("h", "h"), ("h", "c"), ("c", "h"), ("c", "c")])
def test_log_norms_of_a_block(backend, dtype, problem, oracle, ord, block):
    p = problem(backend, "leaky", dtype)
    logs = jacobians.log_norms(bptt.unroll(p.cell, p.x, p.initial), ord, block)
    rows, columns = (slice(0, 3) if name == "h" else slice(3, 6) for name in block)
    expected = exact_logs(products(p, oracle)[..., rows, columns], ord, 3)
    np.testing.assert_array_equal(np.isneginf(backend.numpy(logs)), np.isneginf(expected))
    finite = np.isfinite(expected)
    assert finite.all() == (block in (("h", "h"), ("c", "c")))
    assert (
        np.max(np.abs(backend.numpy(logs)[finite] - expected[finite]))
        < {"float64": 1e-11, "float32": 1e-4}[dtype]
    )


def test_a_small_block_beside_a_large_one_is_not_lost(backend, leaky):
    # ∂h'/∂h is 1e-25 of ∂h'/∂c: its square is no float32.
    cell = backend.cell(1, 1, "float32", kind=leaky).replace(weight_hh=backend.array([[1e-25]], "float32"))
    trace = trace_of(backend, cell, 1)
    expected = np.log(np.abs(backend.numpy(jacobians.steps(trace))[0, 0, 0, 0]))
    for ord in NORMS:
        assert float(jacobians.log_norms(trace, ord, ("h", "h"))[0, 0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("w", "ord"), [(0.5, "fro"), (2.0, 2), (-0.9, 1), (1.0, 2), (1e-30, "inf"), (1e30, "fro")]
)
def test_scalar_linear_cell_is_w_to_the_lag_however_long(backend, dtype, w, ord):
    T = backend.length(5000)
    cell, zeros = backend.scalar(w, dtype), backend.array(np.zeros((T, 1, 1)), dtype)
    exact = float(backend.numpy(cell.weight_hh)[0, 0])
    logs = jacobians.log_norms(bptt.unroll(cell, zeros), ord)
    backend.check(logs, np.arange(T, -1, -1)[:, None] * math.log(abs(exact)), dtype)


@pytest.mark.parametrize("ord", ["fro", 2])
@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_orthogonal_matrix_keeps_the_norm(backend, dtype, ord, scale):
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    cell = linear(backend, scale * q, dtype)
    zero = cell.replace(bias_ih=cell.bias_ih * 0.0, bias_hh=cell.bias_hh * 0.0)
    T = 300
    logs = backend.numpy(
        jacobians.log_norms(bptt.unroll(zero, backend.array(np.zeros((T, 2, 1)), dtype)), ord)
    )
    expected = np.arange(T, -1, -1)[:, None] * math.log(scale)
    assert np.max(np.abs(logs - expected)) < {"float64": 1e-11, "float32": 2e-3}[dtype]


def test_jordan_block_grows_before_it_vanishes(backend):
    w, T = 0.9, backend.length(1500)
    cell = linear(backend, [[w, 1.0], [0.0, w]])
    lag = np.arange(T, -1, -1.0)
    wn = lag * math.log(w)  # W^n = w^n (1, n/w; 0, 1)
    expected = {
        "fro": wn + 0.5 * np.log((2 + (lag / w) ** 2) / 2),
        1: wn + np.log1p(lag / w),
        "inf": wn + np.log1p(lag / w),
    }
    trace = trace_of(backend, cell, T, batch=2)
    for ord, value in expected.items():
        logs = jacobians.log_norms(trace, ord)
        backend.check(logs, np.stack([value, value], axis=1))
        assert float(backend.xp.max(logs)) > 1  # a transient, though every eigenvalue is below 1


@pytest.mark.parametrize("ord", list(NORMS))
def test_a_product_that_is_exactly_zero_is_minus_infinity(backend, dtype, ord):
    nilpotent = linear(backend, [[0.0, 1.0, 2.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]], dtype)
    logs = backend.numpy(jacobians.log_norms(trace_of(backend, nilpotent, 8, 2), ord))
    assert np.all(np.isneginf(logs[:6]))
    assert np.all(np.isfinite(logs[6:]))
    dead = backend.scalar(1.0, dtype, activation="relu")
    logs = backend.numpy(
        jacobians.log_norms(bptt.unroll(dead, backend.array(-np.ones((5, 1, 1)), dtype)), ord)
    )
    np.testing.assert_array_equal(logs[:, 0], [-np.inf] * 5 + [0])


def test_rescaling_is_exact_and_leaves_zeros_and_infinities(backend, dtype):
    info = np.finfo(dtype)
    powers = np.arange(info.minexp - 10, info.maxexp)
    values = np.ldexp(1.7, powers)[None, :, None] * np.array([1.0, -0.5])
    product = backend.array(values, dtype)
    scaled, power = rescale(namespace(product), product)
    taken = backend.numpy(power).astype(int)
    expected = backend.numpy(product) * np.ldexp(1.0, -taken)[:, None]
    np.testing.assert_array_equal(backend.numpy(scaled), expected)
    inside = np.abs(powers) < -info.minexp
    assert np.max(np.abs(taken - powers)[inside]) == 0


def test_memory_does_not_grow_with_the_jacobians():
    trace = bptt.unroll(RNN.init(4, 64), np.zeros((1000, 32, 4)))  # all Jacobians: 1 GB
    tracemalloc.start()
    jacobians.log_norms(trace)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


# -- singular values and bounds ---------------------------------------------------------------------------


def test_singular_values_of_one_step(backend, dtype, problem):
    p = problem(backend, "tanh", dtype)
    steps = jacobians.steps(bptt.unroll(p.cell, p.x))
    expected = np.sqrt(np.linalg.eigvalsh(np.swapaxes(backend.numpy(steps), -1, -2) @ backend.numpy(steps)))
    backend.check(jacobians.singular_values(steps), expected[..., ::-1], dtype, scale=10)
    backend.check(jacobians.singular_values(backend.array([[0.0, 3.0], [-2.0, 0.0]], dtype)), [3, 2], dtype)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (1, 3), (0, 4), (4, 4), (2, 2)])
def test_log_singular_values_equal_those_of_the_product(backend, kind, problem, start, stop):
    p = problem(backend, kind, scale=2.0)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    expected = np.eye(p.cell.size)
    for jacobian in backend.numpy(jacobians.steps(trace))[start:stop]:
        expected = jacobian @ expected
    expected = np.linalg.svd(np.broadcast_to(expected, (2, *expected.shape[-2:])), compute_uv=False)
    logs = jacobians.log_singular_values(trace, start, stop)
    backend.check(backend.xp.exp(logs), expected, scale=10 * np.max(expected))


def test_log_singular_values_of_a_long_product(backend, dtype):
    cell = linear(backend, np.diag([0.5, -0.499, 0.25]), dtype)
    T = backend.length(1000)
    logs = backend.numpy(jacobians.log_singular_values(trace_of(backend, cell, T, 2)))
    w = backend.numpy(cell.weight_hh).diagonal()
    np.testing.assert_allclose(logs[:, :2], [T * np.log(np.abs(w[:2]))] * 2, rtol=1e-5)
    assert np.all(np.isneginf(logs[:, 2]))  # 2⁻ᵀ of the largest: below what a product resolves
    zero = linear(backend, [[0.0, 1.0], [0.0, 0.0]], dtype)
    assert np.all(np.isneginf(backend.numpy(jacobians.log_singular_values(trace_of(backend, zero, 3)))))


@given(H=st.integers(1, 5), scale=st.floats(0, 5), seed=st.integers(0, 99), T=st.integers(1, 8))
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear"])
def test_no_gradient_exceeds_hochreiters_bound(backend, activation, H, scale, seed, T):
    cell = backend.cell(2, H, scale=scale, seed=seed, activation=activation)
    logs = backend.numpy(jacobians.log_norms(trace_of(backend, cell, T, 3, seed), ord=2))
    bound = np.array(jacobians.hochreiter_bound(cell, range(T, -1, -1)))
    assert np.all(logs <= bound[:, None] + 1e-9)
    condition = jacobians.pascanu_condition(cell)
    slope = {"sigmoid": 0.25}.get(activation, 1.0)
    assert condition.threshold == 1 / slope
    sigma = np.linalg.norm(backend.numpy(cell.weight_hh), 2)
    assert condition.largest_singular_value == pytest.approx(sigma, rel=1e-9, abs=1e-300)
    assert condition.must_vanish == (sigma * slope < 1)
    assert condition.may_explode == (sigma * slope > 1)
    if condition.must_vanish and T > 1:
        assert bound[0] < bound[1] < 0 or sigma == 0


def test_hochreiters_bound_is_tight_for_a_scalar(backend):
    assert jacobians.hochreiter_bound(backend.scalar(3.0), [0, 1, 20]) == pytest.approx(
        [0, math.log(3), 20 * math.log(3)]
    )
    assert jacobians.hochreiter_bound(backend.scalar(0.0), [0, 2]) == [0, -math.inf]
    assert jacobians.hochreiter_bound(backend.scalar(4.0, activation="sigmoid"), [7]) == pytest.approx([0])
