r"""Shattered gradients: how a net's gradient changes from one input to the next.

A net f: ℝ → ℝ of random ReLU layers with N units reads every point x of a grid on [−2, 2], and its derivative
df/dx is taken there. From one grid point to the next the derivative of a shallow net hardly changes (a walk,
*brown* noise); that of a deep plain one may jump at random (*white* noise): the gradients of neighbouring
inputs then say nothing about each other, however well their size is kept.

    input      x_0 = W_0 x + b_0,   W_0 and b_0 from N(0, 1)
    plain      x_{l+1} = ReLU(n(W x_l)),          W from N(0, 2/N)
    residual   x_{l+1} = x_l + β W ReLU(n(x_l)),  likewise
    readout    f = w·x_L / √N,   w from N(0, 1)

n is the identity, or subtracts of each unit its mean over the grid and divides by its standard deviation: batch
normalisation with the grid for a batch, its statistics then held, as at test time. A layer is a block here.

What a run records: `correlation`, the autocorrelation of df/dx over the grid at the lags 0 … `lags`; and, for
seed 0 alone, `derivative`, df/dx divided by its root mean square: one series is enough to look at.

Index legend: l layer, L layers (`depth`), N units.

Source: Balduzzi, Frean, Leary, Lewis, Ma and McWilliams (2017), figures 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vglib.base.arrays import random_stream
from vglib.course.reproductions import Reproduction

__all__ = ["REPRODUCTION", "autocorrelation", "derivative", "run"]

DEPTHS = (1, 2, 4, 8, 16, 24, 50)
SIZES = {"width": 200, "points": 256, "lags": 15}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Draw one net and differentiate it; nothing is trained."""
    _, slopes = derivative(settings, seed)
    relative = slopes / np.sqrt(np.mean(slopes**2))
    return {
        "correlation": autocorrelation(slopes, settings["lags"]),
        "derivative": relative.tolist() if seed == 0 else None,
    }


def derivative(settings: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid (G,) and df/dx at its points (G,).

    Value and derivative go forward together: with one input that is cheaper than a backward pass, and exact.
    """
    width, draw = settings["width"], random_stream(seed, "shattered")
    x = np.linspace(-2.0, 2.0, settings["points"])
    into, bias = draw.normal(size=(2, width))
    h, dh = x[:, None] * into + bias, np.broadcast_to(into, (len(x), width))
    for _ in range(settings["depth"]):
        weight = draw.normal(size=(width, width)) * math.sqrt(2 / width)
        if settings["kind"] == "plain":
            h, dh = _relu(*_normalised(h @ weight.T, dh @ weight.T, settings["norm"]))
        else:
            branch, d_branch = _relu(*_normalised(h, dh, settings["norm"]))
            h, dh = h + settings["beta"] * branch @ weight.T, dh + settings["beta"] * d_branch @ weight.T
        size = np.abs(h).max()  # which says nothing here, but would overflow where nothing normalises
        h, dh = h / size, dh / size
    return x, dh @ draw.normal(size=width) / math.sqrt(width)


def autocorrelation(series: np.ndarray, lags: int) -> np.ndarray:
    """Return the autocorrelation at the lags 0 … `lags`, (lags + 1,); 1 at all of them for a constant."""
    centred = series - series.mean()
    total = np.sum(centred**2)
    if total <= 1e-20 * np.sum(series**2):
        return np.ones(lags + 1)
    return np.array([np.sum(centred[: len(series) - lag] * centred[lag:]) for lag in range(lags + 1)]) / total


def _normalised(h: np.ndarray, dh: np.ndarray, norm: bool) -> tuple[np.ndarray, np.ndarray]:
    if not norm:
        return h, dh
    spread = h.std(axis=0)
    return (h - h.mean(axis=0)) / spread, dh / spread


def _relu(h: np.ndarray, dh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(h, 0.0), dh * (h > 0)


def _settings() -> tuple[dict[str, Any], ...]:
    nets: list[dict[str, Any]] = [
        {"kind": "plain", "norm": True, "beta": None},
        {"kind": "plain", "norm": False, "beta": None},
        {"kind": "residual", "norm": True, "beta": 1.0},
        {"kind": "residual", "norm": True, "beta": 0.1},
    ]
    return tuple(net | {"depth": depth} | SIZES for depth in DEPTHS for net in nets)


REPRODUCTION = Reproduction(
    name="shattered",
    summary="shattered gradients: how df/dx changes along a line, plain and residual; about 1 minute",
    run=run,
    settings=_settings(),
    seeds=tuple(range(20)),
)
