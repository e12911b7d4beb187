r"""Digits read one pixel at a time, row after row; the class is asked for after the last.

The digits that come with scikit-learn, interpolated from 8 × 8 to 16 × 16 pixels: 256 steps, four times as
many as there is something new to see. (28 × 28, the length of MNIST, is a change of `side`, thrice the
price.) Where the reader has the files of MNIST (`vglib.base.data.mnist`), plain and permuted MNIST are there.

An identity RNN, two tanh RNNs and an LSTM have the same optimiser, rate, clipping and number of updates, none
of it tuned for one of them. The identity RNN loses its units so; it also starts from input weights a hundred
times as wide (`std`), at a third of the rate.

What a run records:

`accuracy`        share of right answers among the test images, every `every` updates
`alive`           of an identity RNN, the share of units that are on after the last pixel, mean over the same
                  images; at 0 nothing can be learned any more, and training ends
`diverged_at`     the update whose loss or gradient was no longer finite, which ends training; None if never
`before`, `after` at the first update and at the last: log₁₀ of how much of a gradient is left at s_0 … s_T,
                  relative to s_T; see `message`. `after` is empty if it diverged

Index legend: T steps, B sequences, H units.

Source: Le, Jaitly and Hinton (2015), section 4.2, on MNIST.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

from vglib import irnn
from vglib.base.arrays import random_stream
from vglib.base.data import Digits, digits, mnist
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.last_step import Reader, make, message
from vglib.course.reproductions.training import fit_on_cpu

__all__ = ["REPRODUCTION", "run"]

CLASSES, PROBES = 10, 8


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The split into training and test images is always the same; minibatches and weights depend on the seed.
    """
    train, test = (_images(settings, split) for split in ("train", "test"))
    count = train.x.shape[1]
    reader = make(settings["net"], 1, settings["hidden"], CLASSES, seed)
    identity = settings["net"] == "IRNN"
    if identity:
        irnn.initialize_(reader.layer, std=settings["std"], seed=seed)
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
        h = reader.layer(test.x)[0][-1]
        found = {"accuracy": float((reader.readout(h).argmax(dim=1) == test.labels).double().mean())}
        return found | ({"alive": float((h > 0).double().mean())} if identity else {})

    history = fit_on_cpu(
        reader,
        batch_of,
        loss_fn,
        steps=settings["updates"],
        optimizer=functools.partial(torch.optim.Adam, lr=settings["rate"]),
        clip=functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=settings["clip"]),
        evaluate=evaluate,
        stop=lambda found: found.get("alive") == 0,
        every=settings["every"],
        seed=seed,
    )
    diverged = history.nonfinite_at is not None
    return {
        "accuracy": [found["accuracy"] for found in history.evaluations],
        **({"alive": [found["alive"] for found in history.evaluations]} if identity else {}),
        "diverged_at": history.nonfinite_at,
        "before": before,
        "after": [] if diverged else message(reader, probe),
    }


def _images(settings: Mapping[str, Any], split: str) -> Digits:
    kind = {"permutation": settings["permutation"], "xp": torch, "dtype": "float32"}
    if settings["images"] == "digits":
        return digits("pixels", split, side=settings["side"], **kind)
    # As many as are evaluated at once: the states of all 10,000 would take gigabytes.
    return mnist(split=split, limit=1000 if split == "test" else None, **kind)


def _settings() -> tuple[dict[str, Any], ...]:
    nets = [
        {"net": "tanh", "rate": 0.001},
        {"net": "IRNN", "rate": 0.0003, "std": 0.1},
        {"net": "IRNN", "rate": 0.001, "std": 0.001},
        {"net": "orthogonal tanh", "rate": 0.001},
        {"net": "LSTM", "rate": 0.001},
    ]
    common = {"hidden": 64, "batch": 32, "clip": 1.0, "every": 100}
    data = [{"images": "digits", "side": 16, "permutation": None, "updates": 1500}]
    try:
        mnist(split="test", limit=1)
    except FileNotFoundError:
        pass
    else:
        data += [{"images": "mnist", "side": 28, "permutation": p, "updates": 10_000} for p in (None, 0)]
    return tuple(net | which | common for which in data for net in nets)


REPRODUCTION = Reproduction(
    name="pixels",
    summary="digits of 256 pixels, one at a time: identity RNN, tanh, orthogonal tanh, LSTM; about 8 minutes",
    run=run,
    settings=_settings(),
    seeds=(0, 1, 2),
    packages=("numpy", "torch", "scikit-learn"),
)
