r"""A fully connected net with random weights: drawn, run, and a gradient sent back, layer by layer.

    a_l = W_l h_{l−1} + b_l,   h_l = φ(a_l),   l = 1 … L
    δ_l = ∂L/∂a_l = (δ_{l+1} W_{l+1}) ⊙ φ′(a_l),   ‖∂L/∂W_l‖ = ‖δ_l‖ ‖h_{l−1}‖ for one sample

Index legend: l layer, L layers, B samples, N_l units.

Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein (2017), section 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

from .activations import activation as known_activation
from .arrays import (
    QUIET,
    Array,
    check_array,
    check_finite,
    convert,
    random_stream,
    resolve_namespace,
    widened,
)
from .errors import real_number, whole_number
from .scaled import log_of, rescale

__all__ = ["DepthProfile", "draw_layers", "through_depth"]


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """What a real network does with signals and gradients, layer by layer.

    Attributes
    ----------
    signal : Array, shape (L, B)
        q_l: mean square over the units of the pre-activations a_1 … a_L.
    log_gradient : Array, shape (L, B)
        log ‖∂L/∂a_l‖², natural logarithm of the *squared* norm; −inf for 0. In half precision it is float32.
    log_weight_gradient : Array, shape (L, B)
        log ‖∂L/∂W_l‖² (Frobenius) of each sample's own loss, likewise.
    outputs : Array, shape (B, N)
        h_L.
    """

    signal: Array
    log_gradient: Array
    log_weight_gradient: Array
    outputs: Array


def draw_layers(
    sizes: Sequence[int],
    weight_variance: float,
    bias_variance: float = 0.0,
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> tuple[list[Array], list[Array]]:
    """Return weights N(0, σ_w²/fan-in) and biases N(0, σ_b²) of a fully connected net.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, then the units of each layer: L + 1 numbers.
    weight_variance, bias_variance : float
        σ_w² and σ_b².
    seed, xp, device, dtype
        As for `glorot`. Twice the weight variance with the same seed is the same net times √2.

    Raises
    ------
    ValueError, TypeError
        Fewer than two sizes, or something that is no size, variance, seed or dtype.
    """
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise TypeError(f"sizes must be a sequence of integers; got {sizes!r}")
    sizes = [whole_number("sizes", size, 1) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold the inputs and at least one layer; got {sizes}")
    weight_spread = math.sqrt(real_number("weight_variance", weight_variance, 0.0))
    bias_spread = math.sqrt(real_number("bias_variance", bias_variance, 0.0))
    stream, xp = random_stream(whole_number("seed", seed, 0), "draw_layers"), resolve_namespace(xp)
    weights, biases = [], []
    for fan_in, units in pairwise(sizes):
        drawn = stream.normal(size=(units, fan_in)) * (weight_spread / math.sqrt(fan_in))
        weights.append(convert(drawn, xp, dtype, device))
        biases.append(convert(stream.normal(size=units) * bias_spread, xp, dtype, device))
    return weights, biases


@QUIET
def through_depth(
    weights: Sequence[Array],
    biases: Sequence[Array],
    x: Array,
    activation: str = "tanh",
    d_output: Array | None = None,
    nonfinite: str = "raise",
) -> DepthProfile:
    """Send a batch through a fully connected net and a gradient back; return their sizes at every layer.

    The gradient is carried with a power of two beside it, so none is lost to underflow however deep the net.

    Parameters
    ----------
    weights, biases : sequences of Array, (N_l, N_{l−1}) and (N_l,)
    x : Array, shape (B, N_0)
    activation : str
        φ, after every layer.
    d_output : Array, shape (B, N_L), optional
        ∂L/∂h_L of each sample; by default all entries are 1/√N_L, a loss that sums the outputs.
    nonfinite : {'raise', 'return'}
        What to do when a signal or gradient is not finite.

    Returns
    -------
    DepthProfile

    Raises
    ------
    TypeError, ValueError
        Arrays of shapes, libraries, dtypes or devices that do not agree; an unknown activation.
    NonFiniteError
        Naming what, and the layer as its step, counted from 0.
    """
    kind = known_activation(activation)
    xp, weights, biases = _check_layers(weights, biases, x, nonfinite)
    h, saved, signal, sizes = x, [], [], []
    for weight, bias in zip(weights, biases, strict=True):
        sizes.append(_log_square(xp, h))  # of ‖h_{l−1}‖, the other factor of ‖∂L/∂W_l‖
        a = xp.matmul(h, weight.T) + bias
        saved.append(kind.derivative(xp, a))
        signal.append(xp.mean(a * a, axis=-1))
        h = kind.function(xp, a)
    signal = xp.stack(signal)
    check_finite("signal", signal, nonfinite, "The forward pass grows beyond the dtype: a smaller variance.")
    if d_output is None:
        d_output = xp.full_like(h, h.shape[1] ** -0.5)
    check_array("d_output", d_output, [("B", h.shape[0]), ("N_L", h.shape[1])], like=x, like_name="x")
    check_finite("d_output", d_output, nonfinite, first=None)
    message, exponent, logs = d_output, widened(xp, xp.zeros_like(h[:, 0])), []
    for l in reversed(range(len(weights))):
        scaled, power = rescale(xp, (message * saved[l])[None, ...])
        delta, exponent = scaled[0, ...], exponent + xp.astype(power, exponent.dtype)
        message = xp.matmul(delta, weights[l])
        logs.append(log_of(xp, widened(xp, xp.sum(delta * delta, axis=-1))) + 2 * math.log(2) * exponent)
    log_gradient = xp.stack(logs[::-1])
    answered = xp.where(log_gradient == -math.inf, xp.zeros_like(log_gradient), log_gradient)
    check_finite("log_gradient", answered, nonfinite, backward=True)
    return DepthProfile(signal, log_gradient, log_gradient + xp.stack(sizes), h)


def _log_square(xp: ModuleType, h: Array) -> Array:
    """Return log ‖h‖² of each sample, (B,), where the squares themselves may leave the range."""
    scaled, power = rescale(xp, h[None, ...])
    return log_of(xp, widened(xp, xp.sum(scaled[0, ...] ** 2, axis=-1))) + 2 * math.log(2) * power


def _check_layers(
    weights: Sequence[Array], biases: Sequence[Array], x: Array, nonfinite: str
) -> tuple[ModuleType, list[Array], list[Array]]:
    weights, biases = list(weights), list(biases)
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"weights and biases must be equally many, at least one; got {len(weights)} and {len(biases)}"
        )
    xp = check_array("x", x, [("B", None), ("N_0", None)])
    check_finite("x", x, nonfinite, first=None)
    before = x.shape[1]
    for l, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        like = {"like": x, "like_name": "the entries of x"}
        check_array(f"weights[{l}]", weight, [("N_l", None), ("N_{l−1}", before)], **like)
        check_array(f"biases[{l}]", bias, [("N_l", weight.shape[0])], **like)
        before = weight.shape[0]
    return xp, weights, biases
