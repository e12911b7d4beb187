r"""The adding problem: the sum of two marked numbers among 150, read one at a time, or among 50.

An identity RNN, an LSTM and a tanh RNN, trained alike; among 50 also the identity RNN with one thing changed.

What a run records, every `every` updates and on one fixed set of test sequences where not said otherwise:

`test_error`      mean squared error, the numbers alone; a network that always says 1 has 1/6
`solved_at`       the update at which it first was below `solved`, where training ends; None if never
`diverged_at`     the update whose loss or gradient was no longer finite, which ends training; None if never
`largest_norm`    the largest gradient norm since the last record, before clipping; None if not finite
`before`, `after` at the first update and at the last: `message`, log₁₀ of how much of the answer's gradient
                  is left at s_0 … s_T, relative to s_T; for an RNN `singular` and `radius`, largest singular
                  value and spectral radius of W_hh; `after` is empty if it diverged

Index legend: T steps, B sequences, H units.

Sources: Hochreiter and Schmidhuber (1997), for the task; Le, Jaitly and Hinton (2015), for the identity RNN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vglib.base.data import adding
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.last_step import Reader, make, message
from vglib.course.reproductions.training import fit_on_cpu

__all__ = ["REPRODUCTION", "run"]

OPTIMISERS = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}
TEST_SEED, TEST_SEQUENCES, PROBES = 1_000_000, 1000, 16


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The minibatches depend on the seed alone, the test sequences on nothing.
    """
    draw = functools.partial(adding, settings["steps"], xp=torch, dtype="float32")
    test = draw(TEST_SEQUENCES, seed=TEST_SEED)
    probe = test.x[:, :PROBES]
    reader = make(settings["net"], 2, settings["hidden"], 1, seed, settings["scale"])
    reader.layer.weight_hh_l0.requires_grad_(not settings["frozen"])
    before = {"message": message(reader, probe), **_matrix(reader)}

    def batch_of(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        task = draw(settings["batch"], seed=seed, index=step)
        return task.x, task.target

    def loss_fn(reader: Reader, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, target = batch
        return torch.nn.functional.mse_loss(reader(x)[:, 0], target)

    def evaluate(reader: Reader) -> dict[str, float]:
        return {"test_error": float(loss_fn(reader, (test.x, test.target)))}

    clip = settings["clip"] and functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=settings["clip"])
    history = fit_on_cpu(
        reader,
        batch_of,
        loss_fn,
        steps=settings["updates"],
        optimizer=functools.partial(OPTIMISERS[settings["optimiser"]], lr=settings["rate"]),
        clip=clip,
        evaluate=evaluate,
        stop=lambda found: found["test_error"] < settings["solved"],
        every=settings["every"],
        seed=seed,
    )
    diverged = history.nonfinite_at is not None
    errors = [found["test_error"] for found in history.evaluations]
    starts = range(0, len(history.grad_norm), settings["every"])
    largest = [float(history.grad_norm[start : start + settings["every"]].max()) for start in starts]
    return {
        "test_error": [error for error in errors if math.isfinite(error)],
        "solved_at": None if diverged else history.stopped_at,
        "diverged_at": history.nonfinite_at,
        "largest_norm": [norm if math.isfinite(norm) else None for norm in largest],
        "before": before,
        "after": {} if diverged else {"message": message(reader, probe), **_matrix(reader)},
    }


def _matrix(reader: Reader) -> dict[str, float]:
    """Return the largest singular value and the spectral radius of an RNN's W_hh; nothing for an LSTM."""
    if isinstance(reader.layer, torch.nn.LSTM):
        return {}
    matrix = reader.layer.weight_hh_l0.detach().double().numpy()
    return {
        "singular": float(np.linalg.norm(matrix, 2)),
        "radius": float(np.abs(np.linalg.eigvals(matrix)).max()),
    }


def _settings() -> tuple[dict[str, Any], ...]:
    plain = {
        "net": "IRNN",
        "scale": 1.0,
        "frozen": False,
        "optimiser": "Adam",
        "rate": 0.001,
        "clip": 1.0,
        "hidden": 100,
        "batch": 16,
        "every": 200,
        "solved": 0.02,
    }
    nets: tuple[dict[str, Any], ...] = ({}, {"net": "LSTM"}, {"net": "tanh"})
    changes: tuple[dict[str, Any], ...] = (
        {"clip": None},
        {"scale": 1.1},
        {"scale": 0.9},
        {"rate": 0.01},
        {"optimiser": "SGD", "rate": 0.01},
        {"frozen": True},
    )
    return (
        *(plain | {"steps": 150, "updates": 16_000} | change for change in (*nets, {"rate": 0.01})),
        *(plain | {"steps": 50, "updates": 6_000} | change for change in nets + changes),
    )


REPRODUCTION = Reproduction(
    name="adding",
    summary="the adding problem over 150 and 50 steps: identity RNN, LSTM, tanh; about 30 minutes",
    run=run,
    settings=_settings(),
    seeds=(0, 1, 2),
    packages=("numpy", "torch"),
)
