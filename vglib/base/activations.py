r"""Activation functions φ with their derivatives φ′ and the bound γ = max|φ′|.

Derivatives are taken from the pre-activation a, not from the output φ(a). From the output, tanh′ = 1 − h²
is exactly 0 as soon as h rounds to 1: in float32 for every a above 9.01, a gradient lost to rounding where
the true one is 6·10⁻⁸ and still falling smoothly. The course is about gradients that vanish, so none may
vanish by accident. For the same reason no formula here computes 1 minus something close to 1.

Index legend: a pre-activation, any shape; z = exp(−k|a|) ≤ 1, so that nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from .arrays import Array
from .errors import choice

__all__ = ["ACTIVATIONS", "Activation", "activation", "sigmoid_and_slope"]


@dataclass(frozen=True)
class Activation:
    r"""One activation function.

    Attributes
    ----------
    name : str
        'tanh', 'relu', 'sigmoid' or 'linear'; the first two are the ones `torch.nn.RNN` has.
    function : callable (xp, a) -> array
        φ(a).
    derivative : callable (xp, a) -> array
        φ′(a). ReLU's at 0 is 0, as in PyTorch.
    slope : float
        γ = max over a of \|φ′(a)\|, the constant of Pascanu et al. (2013).
    """

    name: str
    function: Callable[[ModuleType, Array], Array]
    derivative: Callable[[ModuleType, Array], Array]
    slope: float


def _tanh_derivative(xp: ModuleType, a: Array) -> Array:
    """Sech² a = 4z / (1 + z)², z = exp(−2|a|)."""
    z = xp.exp(-2.0 * xp.abs(a))
    return 4.0 * z / (1.0 + z) ** 2


def _sigmoid(xp: ModuleType, a: Array) -> Array:
    """1 / (1 + z) for a ≥ 0 and z / (1 + z) below, z = exp(−|a|): exact in both tails."""
    # A second exponential costs a quarter of a choice by `where`. Autograd is right at 0, too: there it takes
    # the slope of |a| to be 0 and that of the minimum ½.
    return xp.exp(xp.minimum(a, 0.0)) / (1.0 + xp.exp(-xp.abs(a)))


def sigmoid_and_slope(xp: ModuleType, a: Array) -> tuple[Array, Array]:
    """Return σ(a) and σ′(a), as `ACTIVATIONS` has them, with one exponential for both tails of both."""
    z = xp.exp(-xp.abs(a))
    larger = 1.0 / (1.0 + z)  # of σ(a) and σ(−a)
    return xp.exp(xp.minimum(a, 0.0)) * larger, z * larger * larger


def _sigmoid_derivative(xp: ModuleType, a: Array) -> Array:
    """σ(a)σ(−a) = z / (1 + z)², z = exp(−|a|)."""
    z = xp.exp(-xp.abs(a))
    return z / (1.0 + z) ** 2


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation("tanh", lambda xp, a: xp.tanh(a), _tanh_derivative, 1.0),
    "relu": Activation(
        "relu",
        lambda xp, a: xp.where(a <= 0, xp.zeros_like(a), a),  # maximum has slope ½ at 0 under autograd
        lambda xp, a: xp.where(a <= 0, xp.zeros_like(a), xp.where(a > 0, xp.ones_like(a), a)),  # NaN stays
        1.0,
    ),
    "sigmoid": Activation("sigmoid", _sigmoid, _sigmoid_derivative, 0.25),
    "linear": Activation("linear", lambda xp, a: a, lambda xp, a: xp.ones_like(a), 1.0),
}
"""Every activation by name."""


def activation(name: str) -> Activation:
    """Return an activation by name.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    choice("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]
