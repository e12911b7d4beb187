r"""Depth: which nets of 2 to 128 layers learn the digits, plain and residual, and what their gradient was.

A linear map W_in x, then `depth` layers of 64 units, then a linear readout:

    plain      x_{l+1} = φ(W x_l + b)
    residual   x_{l+1} = x_l + β F(x_l),   F(x) = φ(W x + b)             one layer a branch
                                           F(x) = W₂ φ(W₁ x + b₁) + b₂    two: it ends in a linear map

A branch of two layers counts as two, so a residual net of the same depth has half as many blocks, K; β is 1
or 1/√K. With `norm` every pre-activation of a plain net is batch-normalised, and a branch is
W₂ φ(n(W₁ φ(n(x)))): normalisation first, the path from block to block left clean.

Starts: 'default' is `torch.nn.Linear`'s. 'matched' has no biases and keeps the mean square of what it is
given: Glorot's variance 1/N, He's 2/N beside a ReLU. 'orthogonal' is a random orthogonal matrix.

What a run records:

`accuracy`     share of right answers on the test images at the end; None if training diverged
`loss`         mean training loss of each epoch, to three digits; None where it was not finite
`diverged_at`  the update whose loss or gradient was no longer finite, which ends training; None if never
`before`       before the first update: `message`, log₁₀ of the size of ∂L/∂x_0 relative to ∂L/∂x_K, so what
               arrives at the first block; `weights`, log₁₀ of ∂L/∂W of the first layer relative to the last;
               `alike`, the mean cosine between the x_K of two different images. None where a gradient is 0 or
               not finite
`after`        the same at the end; empty if it diverged
`lesion`       accuracy with one block taken out, its branch set to 0, or a plain layer skipped, for every
               block; recorded at the depths `LESIONED`, empty at others

Index legend: l block, K blocks, N units.

Source: He, Zhang, Ren and Sun (2016a), for degradation; Veit, Wilber and Belongie (2016), for lesions.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch

from vglib.base.arrays import random_stream
from vglib.base.data import digits
from vglib.base.training import fit
from vglib.course.reproductions import Reproduction

__all__ = ["REPRODUCTION", "DeepNet", "run"]

DEPTHS = (2, 8, 16, 32, 64)
DEEPEST = 128
LESIONED = (16, 32)
TRAINING = {"width": 64, "rate": 0.02, "momentum": 0.9, "batch": 32, "epochs": 15}
CLASSES, PROBES = 10, 256


class DeepNet(torch.nn.Module):
    """A plain or residual net, as the module's docstring writes it down; settings as in a run."""

    def __init__(self, settings: Mapping[str, Any], inputs: int = 64, classes: int = CLASSES) -> None:
        super().__init__()
        width, per_block = settings["width"], settings["branch"] or 1
        blocks = settings["depth"] // per_block
        self.residual, self.per_block = settings["branch"] is not None, per_block
        self.beta = blocks**-0.5 if settings["beta"] == "1/√K" else 1.0
        self.phi = {"tanh": torch.tanh, "relu": torch.relu}[settings["activation"]]
        self.stem = torch.nn.Linear(inputs, width)
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(per_block))
            for _ in range(blocks)
        )
        kind = torch.nn.BatchNorm1d if settings["norm"] else torch.nn.Identity
        self.norms = torch.nn.ModuleList(
            torch.nn.ModuleList(kind(width) for _ in range(per_block)) for _ in range(blocks)
        )
        self.normalised = settings["norm"]
        self.readout = torch.nn.Linear(width, classes)
        for block in self.layers:
            for number, layer in enumerate(block):
                before_relu = settings["activation"] == "relu" and (number == 0 or self.normalised)
                _start(layer, settings["start"], 2.0 if before_relu else 1.0)

    def branch(self, l: int, x: torch.Tensor) -> torch.Tensor:
        """Return F(x) of block l; of a plain net, what the layer makes of x."""
        layers, norms = self.layers[l], self.norms[l]
        if self.residual and self.normalised:
            for layer, norm in zip(layers, norms, strict=True):
                x = layer(self.phi(norm(x)))
            return x
        x = self.phi(norms[0](layers[0](x)))
        return layers[1](x) if self.per_block == 2 else x

    def forward(
        self, x: torch.Tensor, without: int | None = None, kept: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return the logits; skip block `without`, append x_0 … x_K to `kept`."""
        x = self.stem(x)
        for l in range(len(self.layers)):
            if kept is not None:
                kept.append(x)
            if l != without:
                y = self.branch(l, x)
                x = x + self.beta * y if self.residual else y
        if kept is not None:
            kept.append(x)
        return self.readout(x)


def _start(layer: torch.nn.Linear, start: str, variance: float) -> None:
    """Draw a layer's weights anew, from torch's global stream."""
    if start == "default":
        return
    with torch.no_grad():
        layer.bias.zero_()
        if start == "orthogonal":
            torch.nn.init.orthogonal_(layer.weight)
        else:
            layer.weight.normal_(0.0, math.sqrt(variance / layer.in_features))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one net; the split is always the same, batches and weights depend on the seed."""
    (x, y), (test_x, test_y) = _images()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(int(random_stream(seed, "depth.weights").integers(2**63)))
        net = DeepNet(settings, x.shape[1])
    batch, count = settings["batch"], len(x)
    updates = count // batch  # in an epoch; the few images that are left over sit this one out
    before = gradients(net, x[:PROBES], y[:PROBES])

    @functools.lru_cache(maxsize=1)
    def order(epoch: int) -> torch.Tensor:
        return torch.from_numpy(random_stream(seed, "depth.batches", epoch).permutation(count))

    def batch_of(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = order(step // updates)[step % updates * batch :][:batch]
        return x[chosen], y[chosen]

    def loss_fn(net: DeepNet, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        images, labels = batch
        return torch.nn.functional.cross_entropy(net(images), labels)

    history = fit(
        net,
        batch_of,
        loss_fn,
        steps=settings["epochs"] * updates,
        optimizer=functools.partial(torch.optim.SGD, lr=settings["rate"], momentum=settings["momentum"]),
        every=updates,
        seed=seed,
        device="cpu",
        progress=False,
        nonfinite="stop",
    )
    diverged = history.nonfinite_at is not None
    losses = [history.loss[start : start + updates].mean() for start in range(0, len(history.loss), updates)]
    after = {} if diverged else gradients(net, x[:PROBES], y[:PROBES])
    net.eval()
    accuracy = functools.partial(_accuracy, net, test_x, test_y)
    lesioned = settings["depth"] in LESIONED and not diverged
    return {
        "accuracy": None if diverged else accuracy(),
        "loss": [float(f"{loss:.3g}") if math.isfinite(loss) else None for loss in losses],
        "diverged_at": history.nonfinite_at,
        "before": before,
        "after": after,
        "lesion": [float(f"{accuracy(without=l):.4g}") for l in range(len(net.layers))] if lesioned else [],
    }


def gradients(net: DeepNet, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    """Return what a run says of a net before or after training; in float64, for its range."""
    net = copy.deepcopy(net).double().train()
    kept: list[torch.Tensor] = []
    loss = torch.nn.functional.cross_entropy(net(x.double(), kept=kept), y)
    first, last = net.layers[0][0].weight, net.layers[-1][-1].weight
    start, end, top, bottom = torch.autograd.grad(loss, [kept[0], kept[-1], last, first])
    return {
        "message": _log_ratio(start, end),
        "weights": _log_ratio(bottom, top),
        "alike": _alike(kept[-1].detach()),
    }


def _log_ratio(part: torch.Tensor, whole: torch.Tensor) -> float | None:
    """Return log₁₀ ‖part‖/‖whole‖, None where there is none."""
    sizes = [float(torch.linalg.vector_norm(tensor)) for tensor in (part, whole)]
    if not all(0 < size < math.inf for size in sizes):
        return None
    return math.log10(sizes[0]) - math.log10(sizes[1])


def _alike(signals: torch.Tensor) -> float | None:
    """Return the mean cosine between two different rows of (B, N), None where there is none."""
    rows = torch.nn.functional.normalize(signals, dim=1)
    if not torch.isfinite(rows).all():
        return None
    return float(((rows @ rows.T).sum() - len(rows)) / (len(rows) * (len(rows) - 1)))


def _accuracy(net: DeepNet, x: torch.Tensor, y: torch.Tensor, without: int | None = None) -> float:
    with torch.no_grad():
        return float((net(x, without=without).argmax(dim=1) == y).double().mean())


@functools.cache
def _images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return images (B, pixels) and labels for training and testing, centred and scaled by the former."""
    parts = [digits("pixels", split, xp=torch, dtype="float32") for split in ("train", "test")]
    flat = [part.x[..., 0].T for part in parts]
    mean, spread = flat[0].mean(dim=0), (flat[0] - flat[0].mean(dim=0)).std()
    return [((x - mean) / spread, part.labels) for x, part in zip(flat, parts, strict=True)]


def _settings() -> tuple[dict[str, Any], ...]:
    plain: dict[str, Any] = {"branch": None, "beta": None, "norm": False}
    nets = [plain | {"activation": a, "start": s} for a in ("tanh", "relu") for s in ("default", "matched")]
    nets += [
        plain | {"activation": "tanh", "start": "orthogonal"},
        plain | {"activation": "relu", "start": "matched", "norm": True},
    ]
    choices = itertools.product(("tanh", "relu"), ("default", "matched"), (1, 2), ("1", "1/√K"))
    nets += [
        {"branch": branch, "beta": beta, "norm": False, "activation": activation, "start": start}
        for activation, start, branch, beta in choices
    ]
    nets.append({"branch": 2, "beta": "1", "norm": True, "activation": "relu", "start": "matched"})
    every = [net | {"depth": depth} for depth in DEPTHS for net in nets]
    # Twice as deep takes twice as long: the nets that the chapter draws, and their nearest kin.
    every += [net | {"depth": DEEPEST} for net in nets if _is_deepest(net)]
    every += [
        net | {"depth": 64, "rate": rate} for rate in (0.002, 0.2) for net in nets if net["branch"] is None
    ]
    return tuple(TRAINING | net for net in every)


def _is_deepest(net: Mapping[str, Any]) -> bool:
    relu, matched = net["activation"] == "relu", net["start"] == "matched"
    if net["branch"] is None:
        return relu == matched and net["start"] != "orthogonal"
    return net["norm"] or (net["beta"] == "1/√K" and (relu or (net["branch"] == 2 and matched)))


REPRODUCTION = Reproduction(
    name="depth",
    summary="plain and residual nets of 2 to 128 layers, a map; about an hour",
    run=run,
    settings=_settings(),
    seeds=(0, 1, 2, 3, 4),
    packages=("numpy", "torch", "scikit-learn"),
)
