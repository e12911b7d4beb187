r"""Initialization: how deep a plain tanh net can be trained, and whether the mean field says so beforehand.

Two kinds of run, both with weights N(0, σ_w²/N) and biases N(0, σ_b²).

`train`  a fully connected net of `depth` tanh layers and a linear readout learns the bundled digits, by plain
         gradient descent with momentum. It records
         `accuracy`     share of right answers on the test images after the last update
         `train_loss`   mean cross-entropy in each window of updates; None where it was not finite
`slope`  nothing is trained: `nets` nets are drawn and a gradient is sent back through each. It records
         `slopes`       of log ‖∂L/∂a_l‖² per layer on the way back, one for each net, averaged over a batch
         `log_chi`      what the mean field predicts

Schoenholz et al. trained on MNIST, with N = 300 and up to 300 layers; what carries over is the shape of the
region that trains, bounded by about 6 ξ_c layers.

Index legend: l layer, N width, B samples.

Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein (2017), figure 5 and section 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vglib.base.arrays import random_stream
from vglib.base.data import digits
from vglib.course.reproductions import Reproduction
from vglib.initialization import draw_layers, mean_field, through_depth

__all__ = ["REPRODUCTION", "run"]

BIAS_VARIANCE = 0.05
DEPTHS = (10, 20, 30, 40, 60, 80, 120)
TRAINED = (1.0, 1.2, 1.4, 1.6, 1.76, 2.0, 2.5, 3.0, 3.5, 4.0)
SLOPES = (1.0, 1.2, 1.4, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0)
TRAINING = {"width": 100, "updates": 300, "window": 50, "batch": 32, "rate": 1e-3, "momentum": 0.9}
WIDTHS = (100, 300)
MEASURING = {"depth": 60, "nets": 10, "batch": 8, "first": 10}
CLASSES = 10


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Do one run."""
    return {"train": _train, "slope": _slope}[settings["kind"]](settings, seed)


def _slope(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Draw nets and measure; the first layers are left out, where the signal settles."""
    w, b, width = settings["weight_variance"], settings["bias_variance"], settings["width"]
    sizes = [width] * (settings["depth"] + 1)
    slopes = []
    for net in range(settings["nets"]):
        x = random_stream(seed, f"initialization.x.{net}").normal(size=(settings["batch"], width))
        weights, biases = draw_layers(sizes, w, b, seed=seed * settings["nets"] + net)
        logs = through_depth(weights, biases, x).log_gradient[settings["first"] :].mean(axis=1)
        slopes.append(-np.polyfit(np.arange(len(logs)), logs, 1)[0])
    return {"slopes": slopes, "log_chi": math.log(mean_field("tanh", w, b).chi)}


def _train(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one net; the order of the batches depends on the seed alone."""
    import torch

    (x, y), (test_x, test_y) = _images()
    sizes = [x.shape[1], *[settings["width"]] * settings["depth"], CLASSES]
    w, b = settings["weight_variance"], settings["bias_variance"]
    weights, biases = draw_layers(sizes, w, b, seed=seed, xp=torch, dtype="float32")
    parameters = [part.requires_grad_() for part in (*weights, *biases)]
    optimiser = torch.optim.SGD(parameters, lr=settings["rate"], momentum=settings["momentum"])

    def logits(h: Any) -> Any:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = torch.tanh(torch.addmm(bias, h, weight.T))
        return torch.addmm(biases[-1], h, weights[-1].T)

    order = random_stream(seed, "initialization.batches")
    losses: list[float] = []
    for _ in range(settings["updates"]):
        chosen = torch.as_tensor(order.integers(len(x), size=settings["batch"]))
        loss = torch.nn.functional.cross_entropy(logits(x[chosen]), y[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        accuracy = float((logits(test_x).argmax(dim=1) == test_y).double().mean())
    windows = np.reshape(losses, (-1, settings["window"])).mean(axis=1)
    finite = [float(loss) if math.isfinite(loss) else None for loss in windows]
    return {"accuracy": accuracy, "train_loss": finite}


def _images() -> list[tuple[Any, Any]]:
    """Return images (B, pixels) and labels for training and testing, centred and scaled by the former."""
    import torch

    parts = [digits("rows", split) for split in ("train", "test")]
    flat = [np.swapaxes(part.x, 0, 1).reshape(part.x.shape[1], -1) for part in parts]
    mean, spread = flat[0].mean(axis=0), flat[0].std()
    return [
        (torch.tensor((images - mean) / spread, dtype=torch.float32), torch.as_tensor(part.labels))
        for images, part in zip(flat, parts, strict=True)
    ]


def _settings() -> tuple[dict[str, Any], ...]:
    shared = {"bias_variance": BIAS_VARIANCE}
    measured = [
        {"kind": "slope", "weight_variance": w, "width": width, **shared, **MEASURING}
        for width in WIDTHS
        for w in SLOPES
    ]
    trained = [
        {"kind": "train", "weight_variance": w, "depth": depth, **shared, **TRAINING}
        for depth in DEPTHS
        for w in TRAINED
    ]
    return (*measured, *trained)


REPRODUCTION = Reproduction(
    name="initialization",
    summary="how deep a tanh net trains, against the mean field's depth scale; about 10 minutes",
    run=run,
    settings=_settings(),
    seeds=(0, 1, 2),
    packages=("numpy", "torch", "scikit-learn"),
)
