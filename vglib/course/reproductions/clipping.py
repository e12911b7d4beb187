r"""Threshold bench: fixed clip thresholds against a percentile, on a network that explodes.

The first of `lag` inputs names one of eight countries, random filler words follow, and after the last one a
linear readout says which country it was. A tanh network learns it by plain gradient descent from explicit
gradients. It starts from an orthogonal W_hh times `gain`, where gradients arrive and now and then explode; or
as PyTorch's would, where they vanish, to see whether clipping helps with that.

A rule is 'none', a fixed threshold as text, or 'percentile 10': AutoClip as it is, nothing chosen for the
task. What a run records:

`loss`         mean cross-entropy in each window of updates, before the update that learns from them
`accuracy`     share of right answers in each window
`clipped`      share of all updates whose gradient was shortened
`median_norm`, `max_norm`  of the gradients before clipping
`grad_norm`, `threshold`   at every update, for seed 0 alone: one series is enough to look at; None elsewhere
`diverged_at`  the update at which a number was no longer finite, where the lists then end; None if never

The score of a rule, fixed before the bench was run, is the mean of `loss` over all windows and seeds: it asks
for speed and for safety. The criterion: the percentile's score is at most 1.1 times the best fixed one.

Index legend: T steps (the lag), B sequences, H units, K countries.

Source: Seetharaman, Wichern, Pardo and Le Roux (2020), for AutoClip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vglib import RNN, NonFiniteError, clipping
from vglib.base.arrays import Array, random_stream
from vglib.base.orthogonal_maps import haar
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.sentences import draw_sentences, gradients

__all__ = ["REPRODUCTION", "RULES", "run", "threshold_of"]

RULES = ("none", "100", "10", "1", "0.1", "0.01", "percentile 10")
SIZES = {
    "hidden": 32,
    "word_size": 8,
    "countries": 8,
    "fillers": 10,
    "batch": 32,
    "lag": 20,
    "rate": 0.3,
    "gain": 1.2,
    "updates": 800,
    "window": 20,
}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    Words, batches and start depend on the seed alone, so that all rules see the same.
    """
    countries, window = settings["countries"], settings["window"]
    numbers = countries + settings["fillers"]
    words = random_stream(seed, "clipping.words").normal(size=(numbers, settings["word_size"]))
    batches = random_stream(seed, "clipping.batches")
    cell, readout = _start(settings, seed)
    threshold = threshold_of(settings["rule"])
    losses, rights, norms, thresholds = [], [], [], []
    diverged_at = None
    for update in range(1, settings["updates"] + 1):
        drawn = draw_sentences(batches, words, countries, settings["lag"], settings["batch"])
        try:
            loss, right, found = gradients(cell, readout, *drawn)
            _, norm = clipping.by_norm(found, math.inf)
            limit = float(threshold(norm))
            clipped, _ = clipping.by_norm(found, limit)
        except NonFiniteError:
            diverged_at = update
            break
        weights = {**cell.parameters, "readout": readout}
        weights = {name: w - settings["rate"] * clipped[name] for name, w in weights.items()}
        readout = weights.pop("readout")
        cell = cell.replace(**weights)
        for series, number in zip(
            (losses, rights, norms, thresholds), (loss, right / settings["batch"], norm, limit), strict=True
        ):
            series.append(float(number))
    return {
        "loss": _means(losses, window),
        "accuracy": _means(rights, window),
        "clipped": float(np.mean(np.greater(norms, thresholds))) if norms else None,
        "median_norm": float(np.median(norms)) if norms else None,
        "max_norm": max(norms, default=None),
        "grad_norm": [float(f"{norm:.3g}") for norm in norms] if seed == 0 else None,
        "threshold": [float(f"{t:.3g}") if t < math.inf else None for t in thresholds] if seed == 0 else None,
        "diverged_at": diverged_at,
    }


def threshold_of(rule: str) -> Callable[[Array], Array | float]:
    """Return what gives the threshold of an update from the norm of its gradient.

    Raises
    ------
    ValueError
        No such rule.
    """
    name, _, number = rule.partition(" ")
    if rule == "none":
        return lambda norm: math.inf
    if name == "percentile":
        return clipping.AutoClip(float(number)).update
    return lambda norm: float(rule)


def _start(settings: Mapping[str, Any], seed: int) -> tuple[RNN, Array]:
    """Return the untrained network and its readout (H, K)."""
    hidden, shape = settings["hidden"], (settings["hidden"], settings["countries"])
    cell = RNN.init(settings["word_size"], hidden, seed=seed)
    readout = random_stream(seed, "clipping.readout").normal(size=shape) / math.sqrt(hidden)
    if settings["start"] == "orthogonal":
        drawn = random_stream(seed, "clipping.orthogonal").normal(size=(hidden, hidden))
        cell = cell.replace(weight_hh=settings["gain"] * haar(drawn))
    return cell, readout


def _means(series: list[float], window: int) -> list[float]:
    """Return the mean of each whole window."""
    whole = len(series) // window * window
    return np.reshape(series[:whole], (-1, window)).mean(axis=1).tolist()


REPRODUCTION = Reproduction(
    name="clipping",
    summary="fixed clip thresholds against a percentile of the norms seen; about 10 minutes",
    run=run,
    settings=(
        *({"start": "orthogonal", "rule": rule, **SIZES} for rule in RULES),
        *({"start": "default", "rule": rule, **SIZES} for rule in ("none", "1", "0.01", "percentile 10")),
    ),
    seeds=tuple(range(10)),
)
