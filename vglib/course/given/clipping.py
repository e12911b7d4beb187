"""The network of the task *Off the cliff, or not*."""

from __future__ import annotations

import numpy as np

from vglib import RNN, bptt, clipping
from vglib.base.losses import cross_entropy

__all__ = ["train"]


def train(seed, threshold, unit=1.0, updates=200):
    """Train by plain gradient descent with clipping by norm; return losses and norms, one an update."""
    rng = np.random.default_rng(seed)
    words = rng.normal(size=(14, 6))  # four names, ten fillers
    q, r = np.linalg.qr(rng.normal(size=(24, 24)))
    cell = RNN.init(6, 24, seed=seed).replace(weight_hh=1.5 * q * np.sign(np.diag(r)))
    readout = rng.normal(size=(24, 4)) / 24**0.5
    losses, norms = [], []
    for _ in range(updates):
        name, x = rng.integers(4, size=16), words[rng.integers(4, 14, size=(12, 16))]
        x[0] = words[name]
        trace = bptt.unroll(cell, x)
        h = trace.outputs[-1]
        loss, d_logits = cross_entropy(h @ readout, name)
        d_outputs = np.zeros_like(trace.outputs)
        d_outputs[-1] = unit * d_logits @ readout.T
        grads = bptt.backprop(trace, d_outputs, want="parameters").parameters
        step, norm = clipping.by_norm({**grads, "readout": unit * h.T @ d_logits}, threshold)
        cell = cell.replace(**{k: w - 0.3 / unit * step[k] for k, w in cell.parameters.items()})
        readout = readout - 0.3 / unit * step["readout"]
        losses.append(loss)
        norms.append(norm)
    return np.array(losses), np.array(norms)
