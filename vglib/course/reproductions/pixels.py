r"""Digits read one pixel at a time: 784 steps, and the class is asked for after the last.

The digits that come with scikit-learn, interpolated from 8 × 8 to 28 × 28 pixels so that the sequence is as long
as that of MNIST; plain, pixel after pixel and row after row. Where the reader has the files of MNIST
(`vglib.base.data.mnist`, `VGLIB_DATA`), its plain and permuted version are settings as well.

An identity RNN, two tanh RNNs and an LSTM have the same number of updates, each at the best of the learning rates
`RATES` that were tried for it beforehand, with one seed that is not among those stored.

What a run records:

`accuracy`        share of right answers among the test images, every `every` updates
`diverged_at`     the update whose loss or gradient was no longer finite, which ends training; None if never
`before`, `after` log₁₀ of how much of a gradient is left at s_0 … s_T, relative to s_T; see `message`

Index legend: T steps, B sequences, H units.

Source: Le, Jaitly and Hinton (2015), section 4.2, on MNIST.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

from vglib.base.arrays import random_stream
from vglib.base.data import Digits, digits
from vglib.base.training import fit
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.last_step import Reader, make, message

__all__ = ["REPRODUCTION", "run"]

CLASSES, PROBES = 10, 8


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The split into training and test images is always the same; minibatches and weights depend on the seed.

    Parameters
    ----------
    settings : mapping
        One of `REPRODUCTION.settings`.
    seed : int

    Returns
    -------
    dict
        The entries that the module describes.
    """
    train, test = (_images(settings, split) for split in ("train", "test"))
    count = train.x.shape[1]
    reader = make(settings["net"], 1, settings["hidden"], CLASSES, seed)
    probe = test.x[:, :PROBES]
    before = message(reader, probe)

    def batch_of(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        stream = random_stream(seed, "pixels.batches", step)
        chosen = torch.from_numpy(stream.integers(count, size=settings["batch"]))
        return train.x[:, chosen], train.labels[chosen]

    def loss_fn(reader: Reader, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, labels = batch
        return torch.nn.functional.cross_entropy(reader(x), labels)

    def evaluate(reader: Reader) -> dict[str, float]:
        return {"accuracy": float((reader(test.x).argmax(dim=1) == test.labels).double().mean())}

    history = fit(
        reader,
        batch_of,
        loss_fn,
        steps=settings["updates"],
        optimizer=functools.partial(torch.optim.Adam, lr=settings["rate"]),
        clip=functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=settings["clip"]),
        evaluate=evaluate,
        every=settings["every"],
        seed=seed,
        device="cpu",
        progress=False,
        nonfinite="stop",
    )
    diverged = history.nonfinite_at is not None
    return {
        "accuracy": [found["accuracy"] for found in history.evaluations],
        "diverged_at": history.nonfinite_at,
        "before": before,
        "after": [] if diverged else message(reader, probe),
    }


def _images(settings: Mapping[str, Any], split: str) -> Digits:
    kind = {"xp": torch, "dtype": "float32"}
    return digits("pixels", split, side=settings["side"], **kind)


RATES = {"IRNN": 0.0001, "tanh": 0.001, "orthogonal tanh": 0.001, "LSTM": 0.001}


def _settings() -> tuple[dict[str, Any], ...]:
    sizes = {"side": 28, "hidden": 64, "batch": 32, "clip": 1.0, "updates": 1500, "every": 100}
    return tuple({"net": net, "rate": rate, **sizes} for net, rate in RATES.items())


REPRODUCTION = Reproduction(
    name="pixels",
    summary="digits of 784 pixels, one at a time: identity RNN, tanh, orthogonal tanh, LSTM; about 20 minutes",
    run=run,
    settings=_settings(),
    seeds=(0, 1, 2),
    packages=("numpy", "torch", "scikit-learn"),
)
