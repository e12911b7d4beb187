"""The network of the task *Two hundred steps*."""

from __future__ import annotations

import numpy as np

from vglib import RNN, bptt, jacobians

__all__ = ["run_start"]


def run_start(W: np.ndarray, U: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the log-norm of each sequence's Jacobian over all steps, and how much the first input is felt.

    The second number is ‖∂h_T/∂x_0‖ / √H by the Frobenius norm, as a mean over the sequences.
    """
    none = np.zeros(len(W))
    trace = bptt.unroll(RNN(weight_ih=U, weight_hh=W, bias_ih=none, bias_hh=none), x)
    felt = np.broadcast_to(U, (x.shape[1], *U.shape))
    for t, h in enumerate(trace.outputs):
        felt = (1 - h**2)[:, :, None] * (W @ felt if t else felt)
    return jacobians.log_norms(trace)[0], float(np.mean(np.linalg.norm(felt, axis=(1, 2))) / len(W) ** 0.5)
