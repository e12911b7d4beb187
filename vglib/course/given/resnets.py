"""The net of the task *The factor of the branches*."""

from __future__ import annotations

import numpy as np

from vglib import bptt, jacobians, resnets

__all__ = ["stretch"]


def stretch(weights: np.ndarray, beta: float) -> np.ndarray:
    """Return the logarithm of the stretch of a gradient through all blocks, for four random inputs."""
    blocks, width, _ = weights.shape
    net = resnets.Dense(
        weight1=weights,
        bias1=np.zeros((blocks, width)),
        scale=np.full(blocks, float(beta)),
        kind="pre-activation",
    )
    x = np.random.default_rng(0).normal(size=(4, width))
    return jacobians.log_norms(bptt.unroll(net, x))[0]
