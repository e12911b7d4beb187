r"""Where the weights start: variances that carry signals and gradients through many layers.

    a_l = W_l h_{l−1} + b_l,   h_l = φ(a_l)
    Var a_l       = n_in  · Var W · E h²              forwards
    Var ∂L/∂h_l   = n_out · Var W · E φ′² · Var ∂L/∂h_{l+1}      backwards
    Glorot        Var W = gain² · 2/(n_in + n_out)    a compromise between the two
    He            Var W = gain² / n_in                forwards, or / n_out, backwards

Weights have PyTorch's layout: (out, in), (out, in, kernel …) for convolutions, (gates · out, in) for
recurrent layers. For wide nets `mean_field` says what a choice leads to; `through_depth` measures a real one.

The theory takes the weights of different layers to be independent. A recurrent network uses one matrix at
every step. In a wide net and over few steps the averages come out the same. Over more steps, the sooner the
narrower the net, the one matrix's own eigenvalues take over, and the theory no longer holds.

Index legend: l layer, a pre-activation, h output, φ activation, n_in and n_out fans.

Sources: LeCun, Bottou, Orr and Müller (1998); Glorot and Bengio (2010); He, Zhang, Ren and Sun (2015); for
`mean_field` and `critical_line` see there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from .base.activations import activation as known_activation
from .base.arrays import Array, convert, random_stream, resolve_namespace
from .base.depth import DepthProfile, draw_layers, through_depth
from .base.errors import choice, real_number, whole_number
from .base.gaussian import moments
from .base.mean_field import MeanField, correlation_map, critical_line, mean_field, variance_map
from .base.torch_start import Started, start_module

__all__ = [
    "DepthProfile",
    "MeanField",
    "Started",
    "correlation_map",
    "critical_line",
    "draw_layers",
    "fans",
    "gain",
    "glorot",
    "he",
    "initialize_",
    "mean_field",
    "through_depth",
    "variance_map",
]

DISTRIBUTIONS = ("uniform", "normal")


def fans(shape: Sequence[int], gates: int = 1) -> tuple[int, int]:
    """Return fan-in and fan-out: how many numbers each output sums, and each input goes to.

    Parameters
    ----------
    shape : sequence of int
        (out, in) or (out, in, kernel …): a kernel's positions count on both sides.
    gates : int
        So many matrices are stacked along the first axis, as in an LSTM (4) or a GRU (3). Fan-out counts one.

    Raises
    ------
    TypeError, ValueError
        Fewer than two axes, sizes that are no positive integers, rows that gates do not divide.

    Examples
    --------
    >>> fans((100, 50)), fans((32, 16, 3, 3)), fans((4 * 64, 10), gates=4)
    ((50, 100), (144, 288), (10, 64))
    """
    if isinstance(shape, str | bytes) or not isinstance(shape, Sequence):
        raise TypeError(f"shape must be a sequence of integers; got {shape!r}")
    sizes = [whole_number("shape", size, 1) for size in shape]
    gates = whole_number("gates", gates, 1)
    if len(sizes) < 2:
        raise ValueError(f"shape must be (out, in) or (out, in, kernel …); got {tuple(shape)}")
    if sizes[0] % gates:
        raise ValueError(f"shape must have gates · out rows, a multiple of gates={gates}; got {sizes[0]}")
    kernel = math.prod(sizes[2:])
    return sizes[1] * kernel, sizes[0] // gates * kernel


def gain(activation: str, keeps: str = "both") -> float:
    """Return the √(fan-in · Var W) that keeps variances from layer to layer, without biases.

    Parameters
    ----------
    activation : {'tanh', 'relu', 'sigmoid', 'linear'}
    keeps : {'both', 'signal', 'gradient'}
        'signal': 1/√E φ(z)², which keeps pre-activations at variance 1. 'gradient': 1/√E φ′(z)², which keeps
        the mean square of a gradient where they have it. 'both': σ_w on the critical line, where the signal
        is at its fixed point and the gradient keeps its mean square. For ReLU all three are √2.

    Returns
    -------
    float
        For tanh 1, 1.59 and 1.47. The 5/3 of `torch.nn.init.calculate_gain` is none of them, but near the
        second. For the sigmoid 'both' is above 10: see the chapter.

    Raises
    ------
    ValueError
        An unknown activation or aim.

    Examples
    --------
    >>> gain("tanh"), round(gain("tanh", "signal"), 4), round(gain("relu"), 4)
    (1.0, 1.5925, 1.4142)
    """
    known_activation(activation)
    choice("keeps", keeps, ("both", "signal", "gradient"))
    return _gain(activation, keeps)


@cache
def _gain(name: str, keeps: str) -> float:
    if keeps == "both":
        return math.sqrt(critical_line(name))
    square, square_slope, _ = moments(name, np.array(1.0))
    return 1 / math.sqrt(square if keeps == "signal" else square_slope)


def glorot(
    shape: Sequence[int],
    gain: float = 1.0,
    gates: int = 1,
    distribution: str = "uniform",
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Array:
    """Draw weights of variance gain² · 2/(fan-in + fan-out).

    Parameters
    ----------
    shape, gates
        As for `fans`.
    gain : float
        Factor of the standard deviation; 1 is the original, derived for units that are nearly linear.
    distribution : {'uniform', 'normal'}
        U(−√3 s, √3 s) or N(0, s²), with the same standard deviation s.
    seed : int
        Seeds this draw alone: two layers of one shape need two seeds.
    xp, device, dtype
        As for `RNN.init`; the same seed gives the same numbers under every `xp`.

    Returns
    -------
    Array, of the given shape

    Raises
    ------
    ValueError, TypeError
        A shape, gain, distribution, seed or dtype that is none.

    References
    ----------
    Glorot and Bengio (2010), equation 16.
    """
    fan_in, fan_out = fans(shape, gates)
    std = real_number("gain", gain, 0.0, above=True) * math.sqrt(2 / (fan_in + fan_out))
    return _draw("glorot", shape, std, distribution, seed, xp, device, dtype)


def he(
    shape: Sequence[int],
    activation: str = "relu",
    fan: str = "in",
    gates: int = 1,
    distribution: str = "normal",
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Array:
    """Draw weights of variance gain(activation)²/fan: 2/fan for ReLU, LeCun's 1/fan for linear and tanh.

    Parameters
    ----------
    activation : str
        φ, whose `gain` is taken.
    fan : {'in', 'out'}
        Keep the variance of signals, or of gradients.
    shape, gates, distribution, seed, xp, device, dtype
        As for `glorot`.

    Returns
    -------
    Array, of the given shape

    Raises
    ------
    ValueError, TypeError
        As `glorot`; an unknown activation or fan.

    References
    ----------
    He, Zhang, Ren and Sun (2015), equations 10 and 14.
    """
    choice("fan", fan, ("in", "out"))
    size = fans(shape, gates)[("in", "out").index(fan)]
    return _draw("he", shape, gain(activation) / math.sqrt(size), distribution, seed, xp, device, dtype)


def initialize_(
    module: Any,
    scheme: str = "he",
    activation: str = "relu",
    distribution: str = "normal",
    seed: int = 0,
    skip: Iterable[str] = (),
) -> Started:
    """Draw the weights of a PyTorch model anew, in place; biases become 0.

    Linear, convolution (not transposed) and recurrent layers are set, gate by gate where gates are stacked.
    All else keeps its values: norms, embeddings, other layers, and weights that a parametrization computes.
    The result names both, so that nothing is forgotten silently. Each weight has its own `torch.Generator`,
    seeded by `seed` and its name: no global state, and a further layer changes no other.

    Parameters
    ----------
    module : torch.nn.Module
    scheme : {'he', 'glorot'}
        He takes the gain of the activation, Glorot 1.
    activation : str
        What follows the layers. `nn.RNN` knows its own; for LSTM and GRU it is tanh, of the candidate.
    distribution : {'uniform', 'normal'}
    seed : int
    skip : iterable of str
        Names of modules to leave, such as 'head'; all inside is left, too, also where it is tied to a weight
        outside. The last layer has no activation after it: start it with a call of its own. An embedding that
        is tied to it is set with it, unless one of the two is skipped.

    Returns
    -------
    Started
        `set`, name → standard deviation (0 for a bias), and `left`, names of all other parameters.

    Raises
    ------
    TypeError
        No module.
    ValueError
        An option that is none; a name in `skip` that the model does not have; a lazy layer without sizes, or
        one on device meta.
    """
    choice("scheme", scheme, ("he", "glorot"))
    known_activation(activation)
    choice("distribution", distribution, DISTRIBUTIONS)
    seed = whole_number("seed", seed, 0)

    def std(fan_in: int, fan_out: int, follows: str | None) -> float:
        if scheme == "glorot":
            return math.sqrt(2 / (fan_in + fan_out))
        return gain(activation if follows is None else follows) / math.sqrt(fan_in)

    return start_module(module, std, distribution, seed, skip, fans)


def _draw(
    name: str,
    shape: Sequence[int],
    std: float,
    distribution: str,
    seed: int,
    xp: Any,
    device: Any,
    dtype: Any,
) -> Array:
    choice("distribution", distribution, DISTRIBUTIONS)
    stream = random_stream(whole_number("seed", seed, 0), name)
    wide = math.sqrt(3) * std
    drawn = stream.uniform(-wide, wide, shape) if distribution == "uniform" else stream.normal(0, std, shape)
    return convert(drawn, resolve_namespace(xp), dtype, device)
