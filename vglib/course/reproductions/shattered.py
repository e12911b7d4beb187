r"""Shattered gradients: how a net's gradient changes from one input to the next.

A net f: ℝ → ℝ of random ReLU layers with N units reads every point x of a grid on [−2, 2], and its derivative
df/dx is taken there. From one grid point to the next the derivative of a shallow net hardly changes (a walk,
*brown* noise); that of a deep plain one may jump at random (*white* noise): the gradients of neighbouring
inputs then say nothing about each other, however well their size is kept.

    input      x_0 = W_0 x + b_0,   W_0 and b_0 from N(0, 1)
    plain      x_{l+1} = φ(n(W x_l)),      W from N(0, 2/N), φ = ReLU
    residual   x_{l+1} = x_l + β F(x_l),   F(x) = W φ(n(x)), or W₂ φ(n(W₁ φ(n(x)))): `branch` 1 or 2
    readout    f = w·x_L / √N,   w from N(0, 1)

n is the identity, or subtracts of each unit its mean over the grid and divides by its standard deviation:
batch normalisation with the grid for a batch, its statistics then held, as at test time. `depth` counts
layers, so with two in a branch there are half as many blocks.

What a run records: `correlation`, the autocorrelation of df/dx over the grid at the lags 0 … `lags`; and, for
seed 0 alone, `derivative`, df/dx divided by its root mean square: one series is enough to look at.

Index legend: l block, L blocks, N units, G points of the grid.

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

DEPTHS = (2, 4, 8, 16, 24, 50)
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

    def linear(h: np.ndarray, dh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = draw.normal(size=(width, width)) * math.sqrt(2 / width)
        return h @ weight.T, dh @ weight.T

    norm, branch, beta = (settings[name] for name in ("norm", "branch", "beta"))
    for _ in range(settings["depth"] // (branch or 1)):
        if branch is None:
            h, dh = _relu(*_normalised(*linear(h, dh), norm))
            continue
        f, df = h, dh
        for _ in range(branch):
            f, df = linear(*_relu(*_normalised(f, df, norm)))
        h, dh = h + beta * f, dh + beta * df
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
    nets: list[dict[str, Any]] = [{"branch": None, "norm": norm, "beta": None} for norm in (True, False)]
    nets += [{"branch": branch, "norm": True, "beta": beta} for branch in (1, 2) for beta in (1.0, 0.1)]
    return tuple(net | {"depth": depth} | SIZES for depth in DEPTHS for net in nets)


REPRODUCTION = Reproduction(
    name="shattered",
    summary="shattered gradients: how df/dx changes along a line, plain and residual; about 1 minute",
    run=run,
    settings=_settings(),
    seeds=tuple(range(10)),
)
