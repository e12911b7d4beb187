r"""Recall: which country did the first word name.

The first of `lag` inputs names one of two countries, random filler words follow, and after the last one a
linear readout says which country it was. A tanh network learns it by explicit gradients. It starts as
PyTorch's would, with each of three optimisers, or from an orthogonal W_hh, with the first of them.

What a run records; window and number of updates are settings:

`accuracy`         share of right answers in each window of updates, before the update that learns from them
`log_stretch`      mean over a fixed batch of log ‖∂h_T/∂h_1‖₂, at update 0 and at the end of each window:
                   by how much a gradient is stretched from the end back to the country; None for log 0
`spectral_radius`  largest |eigenvalue| of W_hh, at the same updates
`diverged_at`      the update at which a number was no longer finite, where the lists then end; None if never

Index legend: T steps (the lag), B sequences, H units.

Sources: Bengio, Simard and Frasconi (1994), for the task; Kingma and Ba (2015), for Adam.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vglib import RNN, NonFiniteError, bptt, jacobians
from vglib.base.arrays import Array, random_stream
from vglib.base.orthogonal_maps import haar
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.sentences import draw_sentences, gradients

__all__ = ["REPRODUCTION", "run"]

Weights = dict[str, Array]
OPTIMISERS = {"SGD, rate 0.1": ("sgd", 0.1), "SGD, rate 1": ("sgd", 1.0), "Adam, rate 0.01": ("adam", 0.01)}
SIZES = {"hidden": 16, "word_size": 8, "fillers": 10, "batch": 16, "updates": 2000, "window": 50}
COUNTRIES = 2


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The words, the batches and the start depend on the seed and the lag alone, so that two optimisers with
    the same seed see the same sentences.
    """
    lag, window = settings["lag"], settings["window"]
    numbers = COUNTRIES + settings["fillers"]
    words = random_stream(seed, "recall.words").normal(size=(numbers, settings["word_size"]))

    def draw(stream: np.random.Generator) -> tuple[Array, Array]:
        return draw_sentences(stream, words, COUNTRIES, lag, settings["batch"])

    probe, _ = draw(random_stream(seed, "recall.probe"))
    batches = random_stream(seed, "recall.batches")
    cell, readout = _start(settings, seed)
    optimiser = _Optimiser(*OPTIMISERS[settings["optimiser"]])
    result = {"accuracy": [], "log_stretch": [], "spectral_radius": [], "diverged_at": None}
    right, update = 0, 0
    try:
        _measure(result, cell, probe)
        for update in range(1, settings["updates"] + 1):
            _, correct, found = gradients(cell, readout, *draw(batches))
            right += correct
            weights = optimiser.step({**cell.parameters, "readout": readout}, found)
            readout = weights.pop("readout")
            cell = cell.replace(**weights)
            if update % window == 0:
                _measure(result, cell, probe)
                result["accuracy"].append(right / (window * settings["batch"]))
                right = 0
    except NonFiniteError:
        result["diverged_at"] = update
    return result


def _start(settings: Mapping[str, Any], seed: int) -> tuple[RNN, Array]:
    """Return the untrained network and its readout (H, 2)."""
    hidden = settings["hidden"]
    cell = RNN.init(settings["word_size"], hidden, seed=seed)
    readout = random_stream(seed, "recall.readout").normal(size=(hidden, COUNTRIES)) / math.sqrt(hidden)
    if settings["start"] == "orthogonal":
        drawn = random_stream(seed, "recall.orthogonal").normal(size=(hidden, hidden))
        cell = cell.replace(weight_hh=haar(drawn))
    return cell, readout


def _measure(result: dict[str, Any], cell: RNN, probe: Array) -> None:
    """Append the stretch and the spectral radius."""
    cell.check_weights()
    log_stretch = float(jacobians.log_norms(bptt.unroll(cell, probe), ord=2)[1].mean())
    result["log_stretch"].append(log_stretch if math.isfinite(log_stretch) else None)
    result["spectral_radius"].append(float(np.abs(np.linalg.eigvals(cell.weight_hh)).max()))


class _Optimiser:
    """Plain gradient descent, or Adam with its bias correction."""

    def __init__(self, kind: str, rate: float) -> None:
        self.kind, self.rate, self.count = kind, rate, 0
        self.mean: dict[str, Any] = {}
        self.square: dict[str, Any] = {}

    def step(self, weights: Weights, gradients: Weights) -> Weights:
        """Return the weights after one update."""
        self.count += 1
        return {name: w - self.rate * self._direction(name, gradients[name]) for name, w in weights.items()}

    def _direction(self, name: str, g: Array) -> Array:
        if self.kind == "sgd":
            return g
        self.mean[name] = 0.9 * self.mean.get(name, 0.0) + 0.1 * g
        self.square[name] = 0.999 * self.square.get(name, 0.0) + 0.001 * g**2
        mean = self.mean[name] / (1 - 0.9**self.count)
        return mean / (np.sqrt(self.square[name] / (1 - 0.999**self.count)) + 1e-8)


def _settings() -> tuple[dict[str, Any], ...]:
    pairs = [*((name, "default") for name in OPTIMISERS), ("SGD, rate 0.1", "orthogonal")]
    return tuple(
        {"lag": lag, "optimiser": optimiser, "start": start, **SIZES}
        for lag in (8, 16, 24)
        for optimiser, start in pairs
    )


REPRODUCTION = Reproduction(
    name="recall",
    summary="how far back three optimisers learn, how gradients are stretched meanwhile; about 5 minutes",
    run=run,
    settings=_settings(),
    seeds=tuple(range(10)),
)
