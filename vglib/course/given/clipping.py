"""The network of the task *Off the cliff, or not*."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vglib import RNN

__all__ = ["ENTRIES", "train", "train_all"]

NAMES, FILLERS, INPUTS, UNITS, STEPS, BATCH = 4, 10, 6, 24, 12, 16
# Entries of the gradient: both weight matrices, two bias vectors as in PyTorch, the readout.
ENTRIES = UNITS * (UNITS + INPUTS + 2 + NAMES)


def train(
    seed: int, threshold: float, unit: float = 1.0, updates: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Train by plain gradient descent with clipping by value; return losses and norms, one an update."""
    losses, norms = train_all([seed], [threshold], [unit], updates)
    return losses[:, 0], norms[:, 0]


def train_all(
    seeds: Sequence[int], thresholds: Sequence[float], units: Sequence[float], updates: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Train several networks side by side, as `train` does one; losses and norms have shape (updates, N)."""
    draws = [np.random.default_rng(seed) for seed in seeds]
    words = np.stack([draw.normal(size=(NAMES + FILLERS, INPUTS)) for draw in draws])
    weights = [_start(int(seed), draw) for seed, draw in zip(seeds, draws, strict=True)]
    W, U, b, V = (np.stack(parts) for parts in zip(*weights, strict=True))
    read = [_read(draw, updates) for draw in draws]
    names, order = (np.stack(parts, axis=1) for parts in zip(*read, strict=True))
    unit, eta = np.asarray(units, dtype=float), np.asarray(thresholds, dtype=float)
    count, run, row = len(draws), np.arange(len(draws)), np.arange(BATCH)
    states = np.zeros((count, STEPS + 1, BATCH, UNITS))
    delta = np.empty((count, STEPS, BATCH, UNITS))
    losses, norms = [], []
    for k in range(updates):
        x = words[run[:, None, None], order[k]].reshape(count, -1, INPUTS)  # (N, T·B, D)
        pushes = (x @ U.swapaxes(1, 2) + b[:, None]).reshape(delta.shape)
        h, W_T = states[:, 0], np.ascontiguousarray(W.swapaxes(1, 2))
        for t in range(STEPS):
            h = np.tanh(pushes[:, t] + h @ W_T)
            states[:, t + 1] = h
        logits = h @ V
        logits -= logits.max(axis=2, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=2, keepdims=True)
        right = p[run[:, None], row, names[k]]
        with np.errstate(divide="ignore"):
            losses.append(-np.log(right).mean(axis=1))
        p[run[:, None], row, names[k]] -= 1.0
        d_logits = unit[:, None, None] / BATCH * p
        d_h, slopes = d_logits @ V.swapaxes(1, 2), 1.0 - states[:, 1:] ** 2
        for t in reversed(range(STEPS)):
            here = d_h * slopes[:, t]
            delta[:, t] = here
            d_h = here @ W
        flat = delta.reshape(count, -1, UNITS)
        rows = flat.swapaxes(1, 2)
        d_W, d_U = rows @ states[:, :-1].reshape(count, -1, UNITS), rows @ x
        d_b, d_V = flat.sum(axis=1), h.swapaxes(1, 2) @ d_logits
        # The bias counts twice, as there are two of them.
        parts = (d_W, d_U, d_b, d_b, d_V)
        norms.append(np.sqrt(sum((g * g).reshape(count, -1).sum(axis=1) for g in parts)))
        W, U, b, V = (
            w - (share * 0.3 / unit * np.clip(g.T, -eta, eta)).T
            for w, g, share in ((W, d_W, 1), (U, d_U, 1), (b, d_b, 2), (V, d_V, 1))
        )
    return np.array(losses), np.array(norms)


def _start(seed: int, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return W, U, the sum of both biases, and the readout of an untrained network."""
    q, r = np.linalg.qr(draw.normal(size=(UNITS, UNITS)))
    cell = RNN.init(INPUTS, UNITS, seed=seed)
    readout = draw.normal(size=(UNITS, NAMES)) / UNITS**0.5
    return 1.5 * q * np.sign(np.diag(r)), cell.weight_ih, cell.bias_ih + cell.bias_hh, readout


def _read(draw: np.random.Generator, updates: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the names (updates, B) and the words (updates, T, B) that are read; the first is the name."""
    names = draw.integers(NAMES, size=(updates, BATCH))
    order = draw.integers(NAMES, NAMES + FILLERS, size=(updates, STEPS, BATCH))
    order[:, 0] = names
    return names, order
