"""Activations and derivatives against mpmath, into the tails."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base import arrays
from vglib.base.activations import ACTIVATIONS, activation

EXACT = {
    "tanh": (mpmath.tanh, lambda a: 1 / mpmath.cosh(a) ** 2),
    "sigmoid": (lambda a: 1 / (1 + mpmath.exp(-a)), lambda a: mpmath.exp(-a) / (1 + mpmath.exp(-a)) ** 2),
    "relu": (lambda a: max(a, mpmath.mpf(0)), lambda a: mpmath.mpf(a > 0)),
    "linear": (lambda a: a, lambda a: mpmath.mpf(1)),
}
POINTS = [-40.0, -20.0, -12.0, -9.5, -1.0, -1e-4, 0.0, 0.3, 1.0, 5.0, 9.5, 12.0, 20.0, 40.0]


def relative_errors(backend, dtype, name, points):
    """Return the relative errors of function and derivative, in units of the dtype's ε."""
    xp = arrays.resolve_namespace(backend.xp)
    a = backend.array(points, dtype)
    rounded = backend.numpy(a)
    results = []
    for ours, exact in zip(
        (ACTIVATIONS[name].function, ACTIVATIONS[name].derivative), EXACT[name], strict=True
    ):
        value = ours(xp, a)
        with mpmath.workdps(60):
            expected = [exact(mpmath.mpf(float(point))) for point in rounded]
            errors = [
                float(abs(mpmath.mpf(float(v)) - e) / (abs(e) or 1))
                for v, e in zip(backend.numpy(value), expected, strict=True)
            ]
        backend.check(value, [float(e) for e in expected], dtype)
        results.append(np.array(errors) / float(np.finfo(dtype).eps))
    return results


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activation_and_derivative_are_exact_in_both_tails(backend, dtype, name):
    for errors in relative_errors(backend, dtype, name, POINTS):
        assert np.max(errors) < 6, dict(zip(POINTS, errors, strict=True))


@given(points=st.lists(st.floats(-40, 40), min_size=1, max_size=8), name=st.sampled_from(list(ACTIVATIONS)))
def test_relative_error_anywhere(backend, dtype, points, name):
    # Below 1e-30 float32 meets its subnormals, and tanh there is the library's own matter.
    points = [point if abs(point) > 1e-30 else 0.0 for point in points]
    for errors in relative_errors(backend, dtype, name, points):
        assert np.max(errors) < 6


def test_saturated_tanh_derivative_is_not_zero_in_float32(backend):
    xp = arrays.resolve_namespace(backend.xp)
    a = backend.array([12.0, -12.0], "float32")
    h = ACTIVATIONS["tanh"].function(xp, a)
    assert backend.numpy(1 - h * h).tolist() == [0, 0]  # the trap: from the output it is lost
    derivative = backend.numpy(ACTIVATIONS["tanh"].derivative(xp, a))
    np.testing.assert_allclose(derivative, 1 / np.cosh(12.0) ** 2, rtol=1e-6)


def test_sigmoid_at_minus_twenty_is_not_zero_in_float32(backend):
    xp = arrays.resolve_namespace(backend.xp)
    a = backend.array([-20.0], "float32")
    assert float(0.5 * (1 + xp.tanh(a / 2))[0]) == 0  # the trap: a false vanishing
    assert float(ACTIVATIONS["sigmoid"].function(xp, a)[0]) == pytest.approx(2.0611536e-9, rel=1e-6)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_huge_arguments_neither_overflow_nor_warn(backend, dtype, name):
    xp = arrays.resolve_namespace(backend.xp)
    a = backend.array([-1e30, 1e30], dtype)
    limits = {"tanh": [-1, 1], "sigmoid": [0, 1], "relu": [0, 1e30], "linear": [-1e30, 1e30]}[name]
    slopes = {"tanh": [0, 0], "sigmoid": [0, 0], "relu": [0, 1], "linear": [1, 1]}[name]
    backend.check(ACTIVATIONS[name].function(xp, a), limits, dtype)
    backend.check(ACTIVATIONS[name].derivative(xp, a), slopes, dtype)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_slope_is_the_largest_derivative(name):
    a = np.linspace(-8, 8, 4001)
    assert np.max(ACTIVATIONS[name].derivative(np, a)) == pytest.approx(ACTIVATIONS[name].slope, abs=1e-15)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_agrees_with_autograd(torch, name, half):
    a = torch.linspace(-4, 4, 41, dtype=torch.float64).to(getattr(torch, half))
    exact = a.double().requires_grad_()
    value = getattr(torch, name)(exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    xp = arrays.namespace(a)
    for ours, expected in ((activation(name).function, value), (activation(name).derivative, slope)):
        assert ours(xp, a).dtype == a.dtype
        torch.testing.assert_close(
            ours(xp, a).double(), expected.detach(), rtol=4 * torch.finfo(a.dtype).eps, atol=0
        )


@pytest.mark.parametrize("name", ["Tanh", "softmax", None, 1, True, ["tanh"]])
def test_unknown_activation(name):
    with pytest.raises(
        ValueError, match=r"^activation must be one of 'tanh', 'relu', 'sigmoid', 'linear'; got"
    ):
        activation(name)
