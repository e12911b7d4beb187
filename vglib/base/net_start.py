"""Where the weights and the branch scales of a deep net start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import random_stream
from .errors import choice, real_number, whole_number
from .mean_field import critical_line
from .orthogonal_maps import haar

__all__ = ["RULES", "STARTS", "branch_scale", "draw_blocks"]

STARTS = ("he", "glorot", "orthogonal", "torch")
"""Where weights can start."""

RULES: dict[str, Callable[[int], float]] = {
    "1": lambda depth: 1.0,
    "1/sqrt(L)": lambda depth: depth**-0.5,
    "1/L": lambda depth: 1 / depth,
    "skip-init": lambda depth: 0.0,
}
"""Scale of a branch by name, from the number of blocks."""


def branch_scale(beta: float | str, depth: int) -> float:
    """Return β of a net of `depth` blocks, from a number or a rule.

    Parameters
    ----------
    beta : float or {'1', '1/sqrt(L)', '1/L', 'skip-init'}
        'skip-init' is 0, to be learned: every block begins as its shortcut (De and Smith 2020).
    depth : int
        L.

    Raises
    ------
    ValueError, TypeError
        No finite number, no such rule, or a depth below 1.

    Examples
    --------
    >>> branch_scale("1/sqrt(L)", 16), branch_scale("1/L", 16), branch_scale(0.1, 16)
    (0.25, 0.0625, 0.1)
    """
    depth = whole_number("depth", depth, 1)
    if isinstance(beta, str):
        choice("beta", beta, tuple(RULES))
        return RULES[beta](depth)
    return real_number("beta", beta, -math.inf)


def draw_blocks(
    name: str,
    shape: tuple[int, ...],
    depth: int,
    layers: int,
    activation: str,
    start: str,
    gain: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return 'weight1', 'bias1' … of all blocks, from the shape (out, in, …) of one layer's weights."""
    choice("start", start, STARTS)
    gain, seed = real_number("gain", gain, 0.0), whole_number("seed", seed, 0)
    kernel = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * kernel, shape[0] * kernel
    std = math.sqrt(critical_line(activation) / fan_in if start == "he" else 2 / (fan_in + fan_out))

    def layer(stream: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        bias = np.zeros(shape[0])
        if start == "orthogonal":  # rows of unit length, as those of torch.nn.init.orthogonal_
            weight = haar(stream.normal(size=(fan_in, shape[0]))).T.reshape(shape)
        elif start == "torch":
            bound = fan_in**-0.5
            weight, bias = stream.uniform(-bound, bound, shape), stream.uniform(-bound, bound, shape[0])
        else:
            weight = stream.normal(0.0, std, shape)
        return gain * weight, bias

    rows: dict[str, Any] = {}
    for l in range(depth):  # a stream a block: a deeper net begins like a shallower one
        stream = random_stream(seed, f"{name}.init", l)
        for number in range(1, layers + 1):
            for kind, array in zip(("weight", "bias"), layer(stream), strict=True):
                rows.setdefault(f"{kind}{number}", []).append(array)
    return {key: np.stack(each) for key, each in rows.items()}
