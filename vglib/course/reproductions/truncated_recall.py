r"""Recall with truncated gradients: what a network learns that its gradient never sees.

The task of `recall`: the first of `lag` words names one of two countries, filler words follow, and after the
last a linear readout says which country it was. A tanh network with an orthogonal W_hh, so that the gradient
would arrive, learns by plain gradient descent from gradients that go back through k2 steps. For k2 = lag they
are exact. For fewer, nothing of them comes to the country.

What a run records:

`accuracy`   share of right answers in each window of updates, before the update that learns from them
`share`      ‖∂L/∂W of the steps beyond k2‖ / ‖∂L/∂W‖, at the start: what truncation leaves out

Source: Bengio, Simard and Frasconi (1994), for the task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vglib import RNN, bptt, truncation
from vglib.base.arrays import random_stream
from vglib.base.orthogonal_maps import haar
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.sentences import answer, draw_sentences

__all__ = ["REPRODUCTION", "run"]

SIZES = {"lag": 16, "hidden": 16, "word_size": 8, "fillers": 10, "batch": 16, "rate": 0.1}
SIZES |= {"updates": 1000, "window": 50}
COUNTRIES = 2


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network; all k2 see the same start and the same sentences."""
    lag, hidden, batch, rate = (settings[name] for name in ("lag", "hidden", "batch", "rate"))
    numbers = COUNTRIES + settings["fillers"]
    draw = random_stream(seed, "truncated_recall")
    words = draw.normal(size=(numbers, settings["word_size"]))
    readout = draw.normal(size=(hidden, COUNTRIES)) / math.sqrt(hidden)
    turned = haar(draw.normal(size=(hidden, hidden)))
    cell = RNN.init(settings["word_size"], hidden, seed=seed).replace(weight_hh=turned)
    right, share, accuracy = 0, None, []
    for update in range(1, settings["updates"] + 1):
        x, country = draw_sentences(draw, words, COUNTRIES, lag, batch)
        trace = bptt.unroll(cell, x)
        _, correct, d_outputs, d_logits = answer(trace, readout, country)
        right += correct
        grads = truncation.backprop(trace, d_outputs, lag, settings["k2"], want="parameters").parameters
        if share is None:
            full = bptt.backprop(trace, d_outputs, want="parameters").parameters["weight_hh"]
            share = float(np.linalg.norm(full - grads["weight_hh"]) / np.linalg.norm(full))
        readout = readout - rate * trace.outputs[-1].T @ d_logits
        cell = cell.replace(**{name: w - rate * grads[name] for name, w in cell.parameters.items()})
        if update % settings["window"] == 0:
            accuracy.append(right / (settings["window"] * batch))
            right = 0
    return {"accuracy": accuracy, "share": share}


REPRODUCTION = Reproduction(
    name="truncated_recall",
    summary="what is learned from gradients that go back 1 to 16 of 16 steps; about 2 minutes",
    run=run,
    settings=tuple({**SIZES, "k2": k2} for k2 in (1, 4, 8, 12, 16)),
    seeds=tuple(range(10)),
)
