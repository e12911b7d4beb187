r"""Recall of the first symbol: what the biases of an LSTM's forget gates decide before training begins.

One of eight symbols, 99 random fillers, and then the question which symbol it was. An LSTM with a linear
readout of its last output learns it by Adam, nothing clipped. Each start of the gates' biases is a setting;
all other weights start as PyTorch's do, and for one seed they are the same in all starts:

`chrono`       b_f = ln U(1, T − 1), b_i = −b_f, the others 0
`chrono, b_i = 0`  the same without the closed input gates: which half of the recipe is it?
`bias 0`, `bias 1`  forget bias 0 or 1 in total
`bias 2`       what comes out where 1 is written into both of PyTorch's biases
`PyTorch`      its default: both biases of all gates from U(−1/√H, 1/√H)

What a run records, every `every` updates where not said otherwise:

`accuracy`     share of right answers among `tested` sequences that are never trained on
`loss`         mean cross-entropy since the last record; ln S = 2.079 is guessing
`solved_at`    the update at which `accuracy` was first at least `solved`; None if never. Training goes on
`diverged_at`  the update whose loss or gradient was no longer finite, which ends training; None if never
`before`, `after`  before the first update and after the last: log₁₀ ‖∂L/∂x_t‖ at steps 1 … T, relative to
               that at step T, so that the first number is that of the symbol; norms are over `probed`
               sequences together, and None stands for log 0. `after` is empty if it diverged

Expected before it was run: `chrono` at 99 % by 1,000 updates, `bias 0` and `bias 1` not by 2,500.

Index legend: T steps, B sequences, H units, S symbols; gates i and f.

Sources: Hochreiter and Schmidhuber (1997), for the task; Gers, Schmidhuber and Cummins (2000), for the forget
gate; Jozefowicz, Zaremba and Sutskever (2015), for its bias; Tallec and Ollivier (2018), for chrono.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch

from vglib import lstm
from vglib.base.data import FirstSymbol, first_symbol
from vglib.base.training.surroundings import seeded
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.last_step import Reader, input_message
from vglib.course.reproductions.training import fit_on_cpu

__all__ = ["REPRODUCTION", "run"]

TEST_SEED = 1_000_000
BIASES = {"bias 0": 0.0, "bias 1": 1.0, "bias 2": 2.0}
STARTS = ("chrono", "chrono, b_i = 0", *BIASES, "PyTorch")
SIZES = {"steps": 100, "hidden": 64, "symbols": 8, "fillers": 8, "batch": 32, "rate": 0.001}
SIZES |= {"updates": 2500, "every": 50, "solved": 0.99, "tested": 500, "probed": 16}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The minibatches depend on the seed alone, the test sequences on nothing.
    """
    kind = {name: settings[name] for name in ("symbols", "fillers")}
    draw = functools.partial(first_symbol, settings["steps"], xp=torch, dtype="float32", **kind)
    test = draw(settings["tested"], seed=TEST_SEED)
    reader = _start(settings, seed)

    def loss_fn(reader: Reader, task: FirstSymbol) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(reader(task.x), task.target)

    def evaluate(reader: Reader) -> dict[str, float]:
        return {"accuracy": float((reader(test.x).argmax(dim=1) == test.target).double().mean())}

    def message() -> list[float | None]:
        probed = slice(settings["probed"])
        return input_message(reader, test.x[:, probed], test.target[probed])

    before = message()
    history = fit_on_cpu(
        reader,
        lambda step: draw(settings["batch"], seed=seed, index=step),
        loss_fn,
        steps=settings["updates"],
        optimizer=functools.partial(torch.optim.Adam, lr=settings["rate"]),
        evaluate=evaluate,
        every=settings["every"],
        seed=seed,
    )
    losses = [found["loss"] for found in history.evaluations]
    solved = (found["step"] for found in history.evaluations if found["accuracy"] >= settings["solved"])
    return {
        "accuracy": [found["accuracy"] for found in history.evaluations],
        "loss": [loss if math.isfinite(loss) else None for loss in losses],
        "solved_at": next(solved, None),
        "diverged_at": history.nonfinite_at,
        "before": before,
        "after": [] if history.nonfinite_at is not None else message(),
    }


def _start(settings: Mapping[str, Any], seed: int) -> Reader:
    """Return the untrained network."""
    start, symbols = settings["start"], settings["symbols"]
    with seeded(torch.device("cpu"), seed):
        layer = torch.nn.LSTM(symbols + settings["fillers"], settings["hidden"])
        reader = Reader(layer, symbols)
    if start.startswith("chrono"):
        lstm.chrono_(layer, settings["steps"], seed=seed)
    elif start in BIASES:
        lstm.forget_bias_(layer, BIASES[start])
    elif start != "PyTorch":
        raise ValueError(f"start must be one of {STARTS}; got {start!r}")
    if start == "chrono, b_i = 0":
        with torch.no_grad():
            for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
                bias[: settings["hidden"]] = 0.0
    return reader


REPRODUCTION = Reproduction(
    name="first_symbol",
    summary="recalling the first of 100 symbols: an LSTM's forget bias, and chrono; about 40 minutes",
    run=run,
    settings=tuple({"start": start, **SIZES} for start in STARTS),
    seeds=tuple(range(5)),
    packages=("numpy", "torch"),
)
