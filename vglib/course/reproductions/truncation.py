r"""Influence balancing: a problem on which truncated gradients point the wrong way.

The system of `vglib.base.data.influence_balancing`. Its one number θ acts on the loss soon with the sign +
and later, and more strongly, with the sign −: at rest unit 0 is at −6θ, so θ = −1/6 is right and the
derivative is −6, but a gradient that goes back few steps sees a positive one and climbs.

θ is learned online by TBPTT(k1, k2), or with random cuts every `length` steps on average: one update a
window, from the sum of its losses. The carried state comes from the weights of the day, as it does in
practice. The seed draws s_0, and the cuts.

What a run records:

`theta`        θ every `every` steps, at step 0 first
`error`        |θ + 1/6| at the end; None if it diverged
`diverged_at`  the step at which |θ| passed `limit`, where the list ends; None if never
`backward`     steps that all passes went back together
`longest`      steps of the longest pass, which is what had to be held

Source: Tallec and Ollivier (2017), whose problem it is, n = 23 units with 10 positive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vglib import bptt, truncation
from vglib.base.arrays import random_stream
from vglib.base.data import influence_balancing
from vglib.course.reproductions import Reproduction

__all__ = ["REPRODUCTION", "run"]

SIZES = {"units": 23, "positive": 10, "start": 0.5, "rate": 1e-4, "steps": 12_000}
SIZES |= {"every": 100, "limit": 100.0}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Learn θ."""
    system, every = influence_balancing(settings["units"], settings["positive"]), settings["every"]
    theta, held = settings["start"], None
    state = random_stream(seed, "truncation.state").normal(size=(1, system.units))
    result: dict[str, Any] = {"theta": [theta], "error": None, "diverged_at": None}
    result |= {"backward": 0, "longest": 0}
    for window, carry in _passes(settings, seed):
        if held is not None:  # this window starts on the way of the last one, or at its end
            state = held[0].states[window.start - held[1]]
        trace = bptt.unroll(system.cell(theta), system.inputs(window.steps), state)
        held = trace, window.start
        _, d_outputs = system.loss(trace.outputs)
        d_outputs[: window.first - window.start] = 0  # collected by windows before
        grads = truncation.randomized(trace, d_outputs, carry, want="parameters")
        theta -= settings["rate"] * system.gradient(grads.parameters)
        result["backward"] += window.steps
        result["longest"] = max(result["longest"], window.steps)
        result["theta"] += [theta] * (window.stop // every + 1 - len(result["theta"]))
        if abs(theta) > settings["limit"]:
            result["diverged_at"] = window.stop
            return result
    result["error"] = abs(theta - system.optimum)
    return result


def _passes(settings: Mapping[str, Any], seed: int) -> Iterator[tuple[truncation.Window, np.ndarray]]:
    """Yield each backward pass and the factors at its states."""
    steps = settings["steps"]
    if settings["length"] is None:
        for window in truncation.windows(steps, settings["k1"], settings["k2"]):
            yield window, np.ones(window.steps)
        return
    carry = truncation.random_carry(steps, settings["length"], seed)
    ends = [*np.flatnonzero(carry == 0), steps]
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        yield truncation.Window(int(start), int(start), int(stop)), np.append(1.0, carry[start + 1 : stop])


def _settings() -> tuple[dict[str, Any], ...]:
    pairs = [(1, 1), (1, 10), (1, 100), (10, 10), (100, 100), (200, 200)]
    fixed = [{"k1": k1, "k2": k2, "length": None} for k1, k2 in pairs]
    random: list[dict[str, Any]] = [{"k1": None, "k2": None, "length": length} for length in (16, 32)]
    # The noisy one once more with steps so small that the noise averages out.
    random.append({**random[0], "rate": 1e-5, "steps": 60_000, "every": 500})
    return tuple({**SIZES, **one} for one in [*fixed, *random])


REPRODUCTION = Reproduction(
    name="truncation",
    summary="influence balancing: truncation diverges, random cuts do not; about 4 minutes",
    run=run,
    settings=_settings(),
    seeds=tuple(range(5)),
)
