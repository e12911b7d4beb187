"""Recall in its simplest form: which country did the first word name, random filler words between.

Words 0 … K−1 of a vocabulary are the countries, the others fillers; a linear readout answers after the last.

Index legend: T steps (the lag), B sequences, D numbers a word, H units, K countries.
"""

from __future__ import annotations

import numpy as np

from vglib import RNN, bptt
from vglib.base.arrays import Array
from vglib.base.data.first_symbol import draw_read
from vglib.base.losses import cross_entropy
from vglib.base.trace import Trace

__all__ = ["answer", "draw_sentences", "gradients"]


def draw_sentences(
    stream: np.random.Generator, words: Array, countries: int, lag: int, batch: int
) -> tuple[Array, Array]:
    """Return sentences (T, B, D) and the number of the country that each begins with, (B,)."""
    read = draw_read(stream, countries, len(words) - countries, lag, batch)
    return words[read], read[0]


def answer(trace: Trace, readout: Array, country: Array) -> tuple[float, int, Array, Array]:
    """Return the mean cross-entropy, the number of right answers, ∂⁺L/∂h (T, B, H) and ∂L/∂logits (B, K)."""
    logits = trace.outputs[-1] @ readout
    loss, d_logits = cross_entropy(logits, country)
    d_outputs = np.zeros_like(trace.outputs)
    d_outputs[-1] = d_logits @ readout.T
    return float(loss), int((logits.argmax(axis=1) == country).sum()), d_outputs, d_logits


def gradients(cell: RNN, readout: Array, x: Array, country: Array) -> tuple[float, int, dict[str, Array]]:
    """Return the mean cross-entropy, the number of right answers, and all gradients, 'readout' among them."""
    trace = bptt.unroll(cell, x)
    loss, right, d_outputs, d_logits = answer(trace, readout, country)
    found = bptt.backprop(trace, d_outputs, want="parameters").parameters
    return loss, right, {**found, "readout": trace.outputs[-1].T @ d_logits}
