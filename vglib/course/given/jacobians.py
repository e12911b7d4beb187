"""The networks of the task *The thin line*."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["draw_network", "log_norm_at"]


def draw_network(
    rng: np.random.Generator, units: int = 32, steps: int = 100
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W0 (H, H), U (H, 1) and x (T, 4, 1), four signals of noise, louder or softer."""
    W0 = rng.normal(size=(units, units)) / math.sqrt(units)
    U = rng.normal(size=(units, 1))
    return W0, U, rng.uniform(0.8, 2.0) * rng.normal(size=(steps, 4, 1))


def log_norm_at(g: float, W0: np.ndarray, U: np.ndarray, x: np.ndarray) -> float:
    """Return what `jacobians.log_norms` finds from the first to the last state, a mean over sequences.

    The network is h_{t+1} = tanh(g W0 h_t + U x_t). The number is log(‖J_{T−1} ⋯ J_0‖ / ‖I‖) by Frobenius
    norms: how much of a gradient at the end arrives T steps back.
    """
    W, pushes = g * W0, x @ U.T
    h, units = np.zeros(pushes.shape[1:]), len(W0)
    product, logs = np.broadcast_to(np.eye(units), (len(h), units, units)), -0.5 * math.log(units)
    with np.errstate(all="ignore"):
        for t, push in enumerate(pushes):
            h = np.tanh(push + h @ W.T)
            product = (1.0 - h * h)[:, :, None] * (W @ product)
            if t % 5 == 4 or t == len(pushes) - 1:  # before it leaves the range of a float
                size = np.sqrt(np.sum(product * product, axis=(1, 2), keepdims=True))
                product, logs = product / np.where(size > 0, size, 1.0), logs + np.log(size)
        return float(np.mean(logs))
