r"""Signals and gradients in a wide network with random weights: two maps and their fixed points.

    a_l = W_l φ(a_{l−1}) + b_l,   W_l ~ N(0, σ_w²/N),   b_l ~ N(0, σ_b²),   N → ∞
    q ↦ σ_w² E φ(√q z)² + σ_b²                                variance of a_l
    c ↦ (σ_w² E φ(u₁) φ(u₂) + σ_b²) / q*                       correlation of two inputs
    χ₁ = σ_w² E φ′(√q* z)²,   χ_c = σ_w² E φ′(u₁) φ′(u₂)       slopes of the second map at 1 and at c*

χ₁ is also what one layer leaves, on average, of a squared gradient norm.

Index legend: l layer, N width, z ~ N(0, 1); u₁, u₂ Gaussian with variance q* and correlation c; a star marks
a fixed point.

Sources: Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli (2016); Schoenholz, Gilmer, Ganguli and
Sohl-Dickstein (2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .activations import activation
from .gaussian import SLOPES, at_zero, moments, overlap

__all__ = ["MeanField", "correlation_map", "critical_line", "mean_field", "variance_map"]

LARGEST = 1e4
"""Largest σ_w² + σ_b²."""

CRITICAL = 1e-9


@dataclass(frozen=True, eq=False)
class MeanField:
    """What becomes of signals and gradients in a deep, wide, random network.

    All numbers are float64, scalars or arrays of the common shape of σ_w² and σ_b².

    Attributes
    ----------
    activation : str
    weight_variance, bias_variance : float or numpy array
        σ_w² and σ_b².
    q : float or numpy array
        q*, the variance of pre-activations that the layers settle at; inf where they grow for ever. Where
        every q is a fixed point (ReLU at σ_w² = 2 and linear at 1, without biases) it is 1.
    q_slope : float or numpy array
        Slope of the variance map at q*.
    c : float or numpy array
        c*, the correlation that two different inputs settle at; 1 means that the network no longer tells them
        apart. 1 also where there is no other attracting value.
    chi : float or numpy array
        χ₁: a squared gradient norm is multiplied by it at each layer.
    c_slope : float or numpy array
        χ_c, slope of the correlation map at c*. In the ordered phase it is χ₁; without biases that is the
        limit of small biases.
    """

    activation: str
    weight_variance: Any
    bias_variance: Any
    q: Any
    q_slope: Any
    c: Any
    chi: Any
    c_slope: Any

    @property
    def xi_q(self) -> Any:
        """ξ_q = 1/|log q_slope|, the number of layers over which the variance settles by a factor of e."""
        return _depth(self.q_slope)

    @property
    def xi_c(self) -> Any:
        """ξ_c = 1/|log χ_c|, layers over which the correlation of two inputs settles by a factor of e."""
        return _depth(self.c_slope)

    @property
    def xi_gradient(self) -> Any:
        """1/|log χ₁|: layers over which a squared gradient norm changes by e. ξ_c where χ₁ < 1."""
        return _depth(self.chi)

    @property
    def phase(self) -> Any:
        """'ordered' (χ₁ < 1, gradients vanish), 'critical' or 'chaotic' (χ₁ > 1, gradients explode)."""
        chi = np.asarray(self.chi)
        names = np.where(chi < 1, "ordered", "chaotic")
        names = np.where(np.abs(chi - 1) <= CRITICAL, "critical", names)
        return names if names.ndim else str(names)


def mean_field(activation: str, weight_variance: Any, bias_variance: Any = 0.0) -> MeanField:
    """Return the fixed points, slopes and depth scales of a wide random network.

    Parameters
    ----------
    activation : {'tanh', 'relu', 'sigmoid', 'linear'}
    weight_variance : float or numpy array
        σ_w²: weights have variance σ_w²/fan-in.
    bias_variance : float or numpy array
        σ_b². The two are broadcast.

    Returns
    -------
    MeanField

    Raises
    ------
    TypeError
        Neither numbers nor NumPy arrays.
    ValueError
        An unknown activation; variances that are negative, not finite, above 1e4 together, or of shapes that
        do not fit each other.

    Examples
    --------
    >>> found = mean_field("relu", 2.0)
    >>> found.chi, found.phase
    (1.0, 'critical')
    >>> float(round(mean_field("tanh", 1.0, 0.05).xi_c, 2))
    3.63
    """
    w, b = _variances(activation, weight_variance, bias_variance)
    q = _fixed_variance(activation, w, b)
    _, square_slope, q_slope = moments(activation, q)
    chi = w * square_slope
    q_slope = w * q_slope
    c, c_slope = np.array(np.ones_like(q)), np.array(chi)
    if activation in SLOPES:
        c_slope = np.where(np.isinf(q), 1.0, c_slope)  # see `MeanField.c`: the limit creeps, without a scale
    else:
        for i in np.argwhere(chi > 1 + CRITICAL):
            i = tuple(i)
            c[i], c_slope[i] = _fixed_correlation(activation, w[i], b[i], q[i])
    numbers = (w, b, q, q_slope, c, chi, c_slope)
    return MeanField(activation, *(n if n.ndim else float(n) for n in numbers))


def variance_map(activation: str, q: Any, weight_variance: Any, bias_variance: Any = 0.0) -> Any:
    """Return σ_w² E φ(√q z)² + σ_b², the variance one layer on.

    Parameters and errors are those of `mean_field`; q is a number or an array, not negative, at most 1e4.
    """
    w, b = _variances(activation, weight_variance, bias_variance)
    q, w, b = _broadcast({"q": _numbers("q", q, high=LARGEST), "weight_variance": w, "bias_variance": b})
    mapped = w * moments(activation, q)[0] + b
    return mapped if mapped.ndim else float(mapped)


def correlation_map(activation: str, c: Any, weight_variance: float, bias_variance: float = 0.0) -> Any:
    """Return the correlation one layer on of two inputs that have correlation c, both of variance q*.

    To rounding, except where c is above 0.9 and q* above 10. There tanh and sigmoid are nearly steps, and the
    map is off by up to 10⁻⁴ at q* = 100 and 10⁻² at 10⁴; so it is where `mean_field` looks for c*.

    Parameters
    ----------
    activation : str
    c : float or numpy array
        0 to 1.
    weight_variance, bias_variance : float
        σ_w² and σ_b², one number each.

    Returns
    -------
    float or numpy array, of c's shape

    Raises
    ------
    TypeError, ValueError
        As `mean_field`; c outside 0 to 1; q* that is 0 or infinite, where the map has no meaning.
    """
    w, b = _variances(activation, weight_variance, bias_variance)
    c = _numbers("c", c, high=1.0)
    if w.ndim:
        raise ValueError(f"weight_variance and bias_variance must be one number each; got shape {w.shape}")
    q = float(_fixed_variance(activation, w, b))
    if not 0 < q < math.inf:
        raise ValueError(
            f"the variance of {activation} at weight_variance={w}, bias_variance={b} settles at {q:g}, where "
            "correlations have no meaning; expected settings with a fixed point between"
        )
    mapped = (w * overlap(activation, q)(c)[0] + b) / q
    return mapped if mapped.ndim else float(mapped)


def critical_line(activation: str, bias_variance: Any = 0.0) -> Any:
    """Return the σ_w² at which χ₁ = 1, between order and chaos, for each σ_b².

    On the line q* is a parameter: σ_w² = 1/E φ′² and then σ_b² = q* − σ_w² E φ², which rises where it is not
    negative and is solved for q* by bisection.

    Parameters
    ----------
    activation : str
    bias_variance : float or numpy array
        σ_b².

    Returns
    -------
    float or numpy array
        σ_w².

    Raises
    ------
    TypeError, ValueError
        As `mean_field`; σ_b² above 1,000.

    Examples
    --------
    >>> float(round(critical_line("tanh", 0.05), 3)), critical_line("relu", 0.05)
    (1.761, 2.0)
    """
    _known(activation)
    b = _numbers("bias_variance", bias_variance, high=1000.0)
    if activation in SLOPES:
        line = np.full_like(b, 1 / SLOPES[activation])
        return line if line.ndim else float(line)
    low, high = np.zeros_like(b), np.full_like(b, LARGEST)
    for _ in range(100):
        middle = (low + high) / 2
        square, square_slope, _ = moments(activation, middle)
        below = middle - square / square_slope < b
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    high = np.where(
        (b == 0) & (at_zero(activation)[0] == 0), 0.0, high
    )  # exactly: there the difference is all rounding
    line = 1 / moments(activation, high)[1]
    return line if line.ndim else float(line)


# -- fixed points -----------------------------------------------------------------------------------------


def _fixed_variance(name: str, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return q*. For tanh and sigmoid the map is concave: Newton from above comes down to its last root."""
    if name in SLOPES:
        left = 1 - w * SLOPES[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            settled = np.where(left > 0, b / left, np.inf)
        return np.where((left == 0) & (b == 0), 1.0, settled)
    value, start = at_zero(name)
    dies = (b == 0) & ((w == 0) | ((value == 0) & (w * start**2 <= 1)))
    q = np.where(dies, 0.0, w + b)  # |φ| ≤ 1
    for _ in range(200):
        square, _, slope = moments(name, q)
        gap = q - w * square - b
        lower = np.where(dies, 0.0, q - gap / np.where(dies, 1.0, 1 - w * slope))
        step, q = q - lower, np.minimum(lower, q)
        if np.all(step <= 1e-12 * q):  # convergence is quadratic: the next one would be rounding
            break
    return q


def _fixed_correlation(name: str, w: float, b: float, q: float) -> tuple[float, float]:
    """Return c* and the slope there. The map is convex and starts above c: Newton from 0 rises to it."""
    evaluate, c = overlap(name, q), np.float64(0.0)
    for _ in range(200):
        value, slope = evaluate(c)
        higher = c + ((w * value + b) / q - c) / (1 - w * slope / q)
        if not c < higher < 1:
            break
        c = higher
    return float(c), float(w * evaluate(c)[1] / q)


# -- what came --------------------------------------------------------------------------------------------


def _depth(slope: Any) -> Any:
    with np.errstate(divide="ignore"):
        depth = 1 / np.abs(np.log(slope))
    return depth if np.ndim(slope) else float(depth)


def _known(name: str) -> None:
    activation(name)


def _numbers(name: str, value: Any, high: float) -> np.ndarray:
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.generic):
        raise TypeError(f"{name} must be a number or a NumPy array; got {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}")
    array = array.astype(np.float64)
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    good = np.isfinite(array) & (array >= 0) & (array <= high)
    if not np.all(good):
        raise ValueError(f"{name} must be between 0 and {high:g}; got {array[~good].flat[0]:g}")
    return array


def _broadcast(given: dict[str, np.ndarray]) -> list[np.ndarray]:
    try:
        return [np.array(part) for part in np.broadcast_arrays(*given.values())]
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ValueError(f"shapes must fit each other; got {shapes}") from None


def _variances(name: str, weight: Any, bias: Any) -> tuple[np.ndarray, np.ndarray]:
    _known(name)
    weight, bias = _numbers("weight_variance", weight, LARGEST), _numbers("bias_variance", bias, LARGEST)
    w, b = _broadcast({"weight_variance": weight, "bias_variance": bias})
    if np.any(w + b > LARGEST):
        most = float(np.max(w + b))
        raise ValueError(f"weight_variance + bias_variance must be at most {LARGEST:g}; got {most:g}")
    return w, b
