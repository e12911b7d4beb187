"""The other library of the task *A checkpoint from elsewhere*."""

from __future__ import annotations

import numpy as np

__all__ = ["they_run"]


def they_run(K: np.ndarray, R: np.ndarray, k: np.ndarray, s: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Run the other library's GRU over x (T, D) from a zero state; return all states (T, H)."""
    H = R.shape[0]
    h, states = np.zeros(H), []
    for x_t in x:
        p, q = x_t @ K + k, h @ R + s
        u, r = 1 / (1 + np.exp(-(p[:H] + q[:H]))), 1 / (1 + np.exp(-(p + q)[H : 2 * H]))
        n = np.tanh(p[2 * H :] + r * q[2 * H :])
        h = (1 - u) * h + u * n
        states.append(h)
    return np.array(states)
