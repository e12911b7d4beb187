"""Orthogonal matrices against mpmath, closed forms, autograd and PyTorch's own machinery."""

import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from vglib import NonFiniteError, bptt, jacobians, orthogonality

MAPS = ("exponential", "cayley", "householder")
TIGHT = {"float64": 1e-13, "float32": 2e-6}


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng([seed, *shape]).normal(size=shape)


def skewed(n, scale=1.0, seed=0):
    X = draw(n, n, seed=seed, scale=scale)
    return np.tril(X, -1) - np.tril(X, -1).T


def away(W):
    """The largest |σ² − 1|, in NumPy and float64."""
    W = np.asarray(W, dtype=float)
    W = W if W.shape[-2] >= W.shape[-1] else np.swapaxes(W, -1, -2)
    return np.max(np.abs(np.linalg.svd(W, compute_uv=False) ** 2 - 1))


def exact_exponential(A):
    with mpmath.workdps(60):
        return np.array(mpmath.expm(mpmath.matrix(A.tolist())).tolist(), dtype=float)


# -- starts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "gates"), [((5, 5), 1), ((20, 5), 4), ((15, 5), 3), ((7, 3), 1), ((3, 7), 1), ((1, 1), 1)]
)
def test_every_gates_block_has_its_singular_values_at_the_gain(backend, dtype, shape, gates):
    W = orthogonality.orthogonal(shape, 1.5, gates, 3, backend.xp, backend.device, dtype)
    backend.check(W, orthogonality.orthogonal(shape, 1.5, gates, 3), dtype)  # the same numbers everywhere
    blocks = backend.numpy(W).reshape(gates, -1, shape[1])
    sigma = np.linalg.svd(blocks, compute_uv=False)
    assert np.max(np.abs(sigma - 1.5)) < TIGHT[dtype]
    assert away(blocks / 1.5) < TIGHT[dtype]
    assert orthogonality.defect(W / 1.5, gates) == pytest.approx(away(blocks / 1.5), abs=TIGHT[dtype])


def test_a_start_belongs_to_its_seed():
    first = orthogonality.orthogonal((4, 4), seed=1)
    np.random.default_rng().normal()
    np.testing.assert_array_equal(orthogonality.orthogonal((4, 4), seed=1), first)
    assert np.max(np.abs(orthogonality.orthogonal((4, 4), seed=2) - first)) > 0.1
    stacked = orthogonality.orthogonal((12, 4), gates=3).reshape(3, 4, 4)
    assert np.max(np.abs(stacked[0] - stacked[1])) > 0.1


def test_all_orthogonal_matrices_are_equally_likely():
    # Haar: first moments 0, second 1/n, half of the determinants −1, and tr W of variance 1.
    n, draws = 3, 4000
    W = np.stack([orthogonality.orthogonal((n, n), seed=seed) for seed in range(draws)])
    error = 5 / math.sqrt(draws)
    assert np.max(np.abs(W.mean(axis=0))) < error
    assert np.max(np.abs((W**2).mean(axis=0) - 1 / n)) < error
    assert abs(np.linalg.det(W).mean()) < error
    traces = np.trace(W, axis1=1, axis2=2)
    assert abs(traces.var() - 1) < 2 * error
    # QR as it comes, without its signs, is not: its first diagonal entry is never positive.
    raw = np.linalg.qr(np.random.default_rng(0).normal(size=(200, n, n)))[0]
    assert np.all(raw[:, 0, 0] <= 0) or np.all(raw[:, 0, 0] >= 0) or abs(raw[:, 0, 0].mean()) > error


# -- maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_exponential_equals_mpmath(backend, dtype, n, scale):
    A = backend.array(skewed(n, scale), dtype)
    W = orthogonality.exponential(A)
    # A's own rounding counts as many times as the angle goes round.
    backend.check(W, exact_exponential(backend.numpy(A)), dtype, scale=10 * max(1.0, scale))
    assert away(backend.numpy(W)) < TIGHT[dtype]


def test_exponential_of_a_plane_is_a_rotation_however_often_it_goes_round(backend):
    for angle in (0.3, math.pi, 7.0, 1e4):
        W = orthogonality.exponential(backend.array([[0.0, -angle], [angle, 0.0]]))
        expected = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        backend.check(W, expected, scale=10 * max(1.0, angle))


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_cayley_is_the_textbook_formula(backend, dtype, n, scale):
    plain = backend.numpy(backend.array(skewed(n, scale), dtype))
    W = orthogonality.cayley(backend.array(plain, dtype))
    expected = (np.eye(n) + plain / 2) @ np.linalg.inv(np.eye(n) - plain / 2)
    backend.check(W, expected, dtype, scale=10 * max(1.0, scale))
    assert away(backend.numpy(W)) < TIGHT[dtype]


def test_cayley_turns_a_plane_by_twice_the_arc_tangent_of_half(backend):
    for a in (0.1, 2.0, 1e6):
        W = orthogonality.cayley(backend.array([[0.0, -a], [a, 0.0]]))
        angle = 2 * math.atan(a / 2)
        backend.check(W, [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], scale=10)
        assert angle < math.pi  # the eigenvalue −1 is not reached


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 2), (5, 1), (5, 3), (5, 5), (5, 8)])
def test_householder_is_the_product_of_its_reflections(backend, dtype, n, k):
    plain = draw(n, k) * 10.0 ** np.arange(k)  # lengths do nothing
    V = backend.array(plain, dtype)
    expected = np.eye(n)
    for v in backend.numpy(V).T:
        expected = expected @ (np.eye(n) - 2 * np.outer(v, v) / (v @ v))
    W = orthogonality.householder(V)
    backend.check(W, expected, dtype, scale=10)
    assert np.linalg.det(backend.numpy(W)) == pytest.approx((-1) ** k, abs=1e-5)
    assert away(backend.numpy(W)) < TIGHT[dtype]


@pytest.mark.parametrize("length", [1e-300, 1e-200, 1e200, 1e300])
def test_lengths_of_reflections_do_nothing_whatever_they_are(backend, length):
    plain = draw(5, 3)
    backend.check(
        orthogonality.householder(backend.array(plain * length)),
        backend.numpy(orthogonality.householder(backend.array(plain))),
        scale=10,
    )


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e30])
def test_exponential_stays_orthogonal_however_large_the_angles(backend, dtype, scale):
    W = orthogonality.exponential(backend.array(skewed(5, scale), dtype))
    assert away(backend.numpy(W)) < TIGHT[dtype]


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-12])
def test_logarithm_near_a_half_turn(backend, gap):
    angle = math.pi - gap
    rotation = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    found = float(backend.numpy(orthogonality.logarithm(backend.array(rotation)))[1, 0])
    assert abs(found - angle) < 4 * min(gap, 2.3e-16 / gap) + 1e-14


@pytest.mark.parametrize("name", MAPS)
def test_maps_take_stacks(backend, name):
    plain = np.stack(
        [skewed(4, seed=seed) + (np.eye(4) if name == "householder" else 0) for seed in range(6)]
    )
    call = getattr(orthogonality, name)
    whole = call(backend.array(plain.reshape(2, 3, 4, 4)))
    one_by_one = np.stack([backend.numpy(call(backend.array(one))) for one in plain])
    backend.check(whole, one_by_one.reshape(2, 3, 4, 4))


@pytest.mark.parametrize("name", MAPS)
def test_large_float32_matrices_stay_orthogonal(backend, name):
    n = 32 if backend.name == "array-api-strict" else 100
    A = skewed(n) if name != "householder" else draw(n, n)
    W = getattr(orthogonality, name)(backend.array(A, "float32"))
    assert away(backend.numpy(W)) < 1e-6


@pytest.mark.parametrize("name", [*MAPS, "skew"])
def test_autograd_goes_through_the_maps(torch, name):
    def function(X):
        if name == "skew":
            return orthogonality.skew(X)
        return getattr(orthogonality, name)(X if name == "householder" else orthogonality.skew(X))

    for scale in (0.3, 3.0):
        X = torch.tensor(draw(4, 4, scale=scale), requires_grad=True)
        assert torch.autograd.gradcheck(function, (X,))
    if name == "exponential":
        A = orthogonality.skew(X)
        mine, theirs = (
            torch.autograd.grad(f(A)[0].sum(), X, retain_graph=True)[0]
            for f in (orthogonality.exponential, torch.matrix_exp)
        )
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(torch, name, dtype):
    half = getattr(torch, dtype)
    V = torch.tensor(skewed(5) + (np.eye(5) if name == "householder" else 0)).to(half)
    W = getattr(orthogonality, name)(V)
    assert W.dtype == half
    wide = getattr(orthogonality, name)(V.float())
    assert torch.equal(W, wide.to(half))


def test_skew_has_so_many_free_numbers(backend, dtype):
    X = draw(4, 4)
    A = orthogonality.skew(backend.array(X, dtype))
    backend.check(A, np.tril(X, -1) - np.tril(X, -1).T, dtype)
    backend.check(orthogonality.skew(backend.array(np.triu(X), dtype)), np.zeros((4, 4)), dtype, scale=1)


# -- and back ---------------------------------------------------------------------------------------------


def rotation(n, seed):
    W = orthogonality.orthogonal((n, n), seed=seed)
    W[:, 0] *= np.linalg.det(W)
    return W


@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("pair", [("logarithm", "exponential"), ("inverse_cayley", "cayley")])
def test_inverses_of_rotations(backend, dtype, n, pair):
    back, forth = (getattr(orthogonality, name) for name in pair)
    for seed in range(3):
        W = backend.array(rotation(n, seed), dtype)
        A = back(W)
        assert np.array_equal(backend.numpy(A), -backend.numpy(A).T)
        backend.check(forth(A), backend.numpy(W), dtype, scale=100)
    small = backend.array(skewed(n, 0.3), dtype)
    backend.check(back(forth(small)), backend.numpy(small), dtype, scale=10)


def test_logarithm_gives_the_angles(backend):
    angles = np.array([0.01, 1.0, 3.1])
    A = np.zeros((6, 6))
    for i, angle in enumerate(angles):
        A[2 * i + 1, 2 * i], A[2 * i, 2 * i + 1] = angle, -angle
    Q = orthogonality.orthogonal((6, 6), seed=4)
    W = Q @ exact_exponential(A) @ Q.T
    backend.check(orthogonality.logarithm(backend.array(W)), Q @ A @ Q.T, scale=100)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_orthogonal_matrix_is_a_product_of_reflections(backend, dtype, n):
    for seed in range(4):  # both determinants
        W = backend.array(orthogonality.orthogonal((n, n), seed=seed), dtype)
        V, signs = orthogonality.reflections(W)
        assert np.array_equal(np.abs(backend.numpy(signs)), np.ones(n))
        plain = backend.numpy(V)
        assert np.max(np.abs(plain)) < 1 + 1e-5
        assert np.max(np.abs(np.triu(plain) - np.eye(n))) < TIGHT[dtype]
        backend.check(orthogonality.householder(V) * signs, backend.numpy(W), dtype, scale=10)
    eye = np.eye(n)
    V, signs = orthogonality.reflections(backend.array(eye, dtype))
    backend.check(orthogonality.householder(V) * signs, eye, dtype)


# -- what it is for ---------------------------------------------------------------------------------------


def test_modulus_one_is_not_enough(backend):
    shear = backend.array([[1.0, 1.0], [0.0, 1.0]])
    golden = (1 + math.sqrt(5)) / 2
    assert orthogonality.defect(shear) == pytest.approx(golden**2 - 1)
    assert orthogonality.defect(backend.array([[0.0, -1.0], [1.0, 0.0]])) == 0


@pytest.mark.parametrize("name", MAPS)
def test_linear_networks_are_isometric_for_a_thousand_steps(backend, name):
    V = skewed(6) + (np.eye(6) if name == "householder" else 0)
    W = getattr(orthogonality, name)(backend.array(V))
    cell = backend.cell(1, 6, activation="linear").replace(weight_hh=W)
    T = backend.length(1000)
    trace = bptt.unroll(cell, backend.array(np.zeros((T, 1, 1))))
    assert np.max(np.abs(backend.numpy(jacobians.log_singular_values(trace)))) < 1e-10
    assert np.max(np.abs(backend.numpy(jacobians.log_norms(trace, ord=2)))) < 1e-10


# -- bad input --------------------------------------------------------------------------------------------

SKEW, TURN = skewed(3), orthogonality.orthogonal((3, 3))
SQUARE = {"skew": SKEW, "exponential": SKEW, "cayley": SKEW}
BACK = {"logarithm": rotation(3, 0), "inverse_cayley": rotation(3, 0), "reflections": TURN}


@pytest.mark.parametrize(
    ("name", "good"), [*SQUARE.items(), *BACK.items(), ("householder", TURN), ("defect", TURN)]
)
def test_arrays_that_do_not_fit(name, good):
    call = getattr(orthogonality, name)
    letter = {"skew": "X", "householder": "V"}.get(name, "A" if name in SQUARE else "W")
    call(good)
    with pytest.raises(TypeError, match=f"{letter} must be an array .*; got list"):
        call(good.tolist())
    with pytest.raises(TypeError, match=f"{letter}'s dtype must be one of float32, float64; got int64"):
        call(np.eye(3, dtype="int64"))
    with pytest.raises(TypeError, match=f"{letter}'s dtype must be .*; got complex128"):
        call(good + 0j)
    with pytest.raises(ValueError, match=rf"{letter} must have shape \(…, rows, columns\); got \(3,\)"):
        call(good[0])
    with pytest.raises(ValueError, match=rf"{letter} must have no empty axis; got shape \(0, 3\)"):
        call(good[:0])
    if name not in ("householder", "defect"):
        with pytest.raises(ValueError, match=rf"{letter} must be square, .*; got shape \(2, 3\)"):
            call(good[:2])
    bad = good.copy()
    bad[1, 2] = np.nan
    if name == "defect":
        assert math.isnan(call(bad))
    elif name != "skew":
        with pytest.raises(NonFiniteError, match=f"^{letter} is not finite"):
            call(bad)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: orthogonality.exponential(np.eye(2)),
            ValueError,
            "A must be skew-symmetric, .*of size 2.*skew",
        ),
        (lambda: orthogonality.cayley(np.ones((2, 2))), ValueError, "A must be skew-symmetric, "),
        (
            lambda: orthogonality.householder(np.eye(3)[:, :2] * [1, 0]),
            ValueError,
            "V must have no column that is 0",
        ),
        (
            lambda: orthogonality.logarithm(2 * np.eye(2)),
            ValueError,
            "W must be orthogonal, .* is 3, more than",
        ),
        (
            lambda: orthogonality.logarithm(np.diag([1.0, -1.0])),
            ValueError,
            "W must not have the eigenvalue −1",
        ),
        (lambda: orthogonality.inverse_cayley(-np.eye(2)), ValueError, "W must not have the eigenvalue −1"),
        (lambda: orthogonality.reflections(np.ones((2, 2))), ValueError, "W must be orthogonal"),
        (
            lambda: orthogonality.defect(np.ones((4, 2)), 3),
            ValueError,
            "gates=3 does not divide the 4 rows of W",
        ),
        (lambda: orthogonality.defect(np.ones((4, 2)), 0), ValueError, "gates must be at least 1; got 0"),
        (lambda: orthogonality.orthogonal(3), ValueError, r"shape must be \(rows, columns\); got 3"),
        (lambda: orthogonality.orthogonal((3, 0)), ValueError, "shape must be at least 1; got 0"),
        (lambda: orthogonality.orthogonal((3, 1.5)), TypeError, "shape must be an integer; got 1.5"),
        (
            lambda: orthogonality.orthogonal((4, 2), gates=3),
            ValueError,
            "gates=3 does not divide the 4 rows of shape",
        ),
        (lambda: orthogonality.orthogonal((2, 2), gain="2"), TypeError, "gain must be a number; got '2'"),
        (
            lambda: orthogonality.orthogonal((2, 2), gain=math.nan),
            ValueError,
            "gain must be finite and at .* 0; got nan",
        ),
        (lambda: orthogonality.orthogonal((2, 2), gain=-1), ValueError, "gain must be .* at least 0; got -1"),
        (lambda: orthogonality.orthogonal((2, 2), seed=-1), ValueError, "seed must be at least 0; got -1"),
        (
            lambda: orthogonality.orthogonal((2, 2), dtype="int32"),
            TypeError,
            "dtype must be one of .*; got int32",
        ),
        (lambda: orthogonality.orthogonal((2, 2), xp=3), TypeError, "xp must be an array module"),
    ],
)
def test_values_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_mathematics_needs_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from vglib import orthogonality
W = orthogonality.exponential(orthogonality.skew(np.ones((3, 3))))
assert orthogonality.defect(W) < 1e-12
try:
    orthogonality.initialize_(None)
except ImportError:
    print("no torch")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "no torch\n", done.stderr
