r"""The copy memory task: ten symbols, a hundred blanks, the same ten symbols again.

Recurrent networks of 128 units whose recurrent matrix starts orthogonal and is kept so by one of three maps,
or starts at the same matrix and is left alone, or starts as PyTorch's would; beside them an LSTM. All are
trained by RMSprop, and each arm is a setting:

`exponential`, `cayley`, `householder`   modReLU units, W_hh kept orthogonal by `orthogonality.parametrize_`
`free`          modReLU units, the same orthogonal start, W_hh unconstrained
`default`       modReLU units, W_hh and its start as in `torch.nn.RNN`
`tanh`          tanh units, W_hh kept orthogonal by the exponential map
`lstm`          `torch.nn.LSTM` with PyTorch's start

modReLU is φ(a) = sign(a)·max(|a| + b, 0) with a learned b that starts at 0, where it is the identity: the
network starts linear. Settings beside the sizes: `rate` for everything but what W_hh is made of, `recurrent`
for that (an LSTM has one rate), `smoothing` of RMSprop, `scale` of the input weights' normal start (the LSTM
has PyTorch's).

What a run records; window and number of updates are settings:

`loss`         mean cross-entropy of each window over n ln S / (T + 2n): guessing, but at the right time
`defect`       ‖WᵀW − I‖₂ at update 0 and at the end of each window; None for the LSTM
`carried`      log₁₀ of the stretch of a random gradient from the first answer back to the last symbol, root
               mean square over a few, at the same updates; None for log 0. The LSTM's state is [h; c]
`diverged_at`  the update at which a number was no longer finite, where the lists then end; None if never

Index legend: T wait, n symbols a sequence out of S, B sequences, H units.

Sources: Hochreiter and Schmidhuber (1997) and Arjovsky, Shah and Bengio (2016) for task and modReLU;
Helfrich, Willmott and Ye (2018) for a smaller rate for the recurrent matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from vglib import orthogonality
from vglib.base.arrays import random_stream
from vglib.base.data import copying
from vglib.base.training.surroundings import seeded
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.training import fit_on_cpu

__all__ = ["REPRODUCTION", "run"]

SIZES = {"wait": 100, "hidden": 128, "batch": 20, "window": 25}
KEPT = ("exponential", "cayley", "householder")
SYMBOLS, LENGTH, PROBES = 8, 10, 8


class Network(torch.nn.Module):
    """A recurrent layer without bias but modReLU's, and a linear readout of every state."""

    def __init__(self, arm: str, hidden: int, scale: float) -> None:
        super().__init__()
        inputs = SYMBOLS + 2
        if arm == "lstm":
            self.layer = torch.nn.LSTM(inputs, hidden)
        elif arm == "tanh":
            self.layer = torch.nn.RNN(inputs, hidden, bias=False)
        else:
            self.layer = ModReLU(inputs, hidden)
        self.readout = torch.nn.Linear(hidden, SYMBOLS + 1)
        if arm != "lstm":
            with torch.no_grad():
                self.layer.weight_ih_l0.normal_(std=scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (T + 2n, B, S + 1)."""
        return self.readout(self.layer(x)[0])


class ModReLU(torch.nn.Module):
    """A recurrent layer h ↦ φ(W_ih x + W_hh h), called as `torch.nn.RNN` is."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = hidden**-0.5
        self.weight_ih_l0 = torch.nn.Parameter(torch.empty(hidden, inputs))
        self.weight_hh_l0 = torch.nn.Parameter(torch.empty(hidden, hidden).uniform_(-bound, bound))
        self.bias = torch.nn.Parameter(torch.zeros(hidden))

    def forward(
        self, x: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all states (T, B, H), and the last as (1, B, H)."""
        projected, turned = x @ self.weight_ih_l0.T, self.weight_hh_l0.T  # read once: it may be computed
        h = projected.new_zeros(projected.shape[1:]) if state is None else state[0]
        states = []
        for step in projected:
            a = step + h @ turned
            h = torch.sign(a) * torch.relu(a.abs() + self.bias)
            states.append(h)
        return torch.stack(states), h[None]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    Minibatches depend on the seed alone, and so does W_hh's orthogonal start: arms that have it start alike.
    """
    arm, wait = settings["arm"], settings["wait"]
    network = _start(settings, seed)
    probe = _probe(network, settings, seed)
    result = {"loss": [], "defect": [], "carried": [], "diverged_at": None}
    baseline = LENGTH * math.log(SYMBOLS) / (wait + 2 * LENGTH)

    def batch_of(index: int) -> tuple[Any, Any]:
        task = copying(wait, settings["batch"], seed, index, xp=torch, dtype="float32")
        return task.x, task.target

    def loss_of(network: Network, batch: tuple[Any, Any]) -> torch.Tensor:
        x, target = batch
        return torch.nn.functional.cross_entropy(network(x).flatten(0, 1), target.flatten())

    def measure(network: Network) -> dict[str, float]:
        kept = None if arm == "lstm" else orthogonality.defect(network.layer.weight_hh_l0.detach())
        result["defect"].append(None if kept is None or math.isnan(kept) else kept)
        result["carried"].append(probe())
        return {}

    def optimiser(parameters: Any) -> torch.optim.Optimizer:
        slow = {id(p) for name, p in network.named_parameters() if "weight_hh" in name and arm != "lstm"}
        groups = [[p for p in network.parameters() if (id(p) in slow) == which] for which in (False, True)]
        rates = (settings["rate"], settings["recurrent"])
        chosen = [{"params": group, "lr": lr} for group, lr in zip(groups, rates, strict=True) if group]
        return torch.optim.RMSprop(chosen, alpha=settings["smoothing"])

    measure(network)
    history = fit_on_cpu(
        network,
        batch_of,
        loss_of,
        steps=settings["updates"],
        optimizer=optimiser,
        evaluate=measure,
        every=settings["window"],
        seed=seed,
    )
    losses = [evaluation["loss"] / baseline for evaluation in history.evaluations]
    result["loss"] = [loss for loss in losses if math.isfinite(loss)]
    result["diverged_at"] = history.nonfinite_at
    return result


def _start(settings: Mapping[str, Any], seed: int) -> Network:
    """Return the untrained network."""
    arm = settings["arm"]
    start = int(random_stream(seed, "copying.start").integers(2**31))
    with seeded(torch.device("cpu"), start):
        network = Network(arm, settings["hidden"], settings["scale"])
    if arm not in ("lstm", "default"):
        orthogonality.initialize_(network.layer, seed=seed)
    if arm in KEPT or arm == "tanh":
        orthogonality.parametrize_(network.layer, map="exponential" if arm == "tanh" else arm)
    return network


def _probe(network: Network, settings: Mapping[str, Any], seed: int) -> Any:
    """Return a function that measures the stretch of a gradient over the wait, on one fixed sequence."""
    task = copying(settings["wait"], 1, seed + 1, 0, xp=torch, dtype="float32")
    read, waited = task.x[:LENGTH], task.x[LENGTH : LENGTH + settings["wait"]]
    rows = random_stream(seed, "copying.probe").normal(size=(PROBES, settings["hidden"]))
    rows = torch.tensor(rows, dtype=torch.float32)

    def measure() -> float | None:
        with torch.enable_grad():
            _, state = network.layer(read)
            state = state if isinstance(state, tuple) else (state,)
            state = tuple(part.detach().requires_grad_() for part in state)
            outputs, _ = network.layer(waited, state if len(state) > 1 else state[0])
            ratios = []
            for row in rows:
                pulled = torch.autograd.grad(outputs[-1, 0] @ row, state, retain_graph=True)
                ratios.append(
                    sum(float(g.double().square().sum()) for g in pulled) / float(row.double() @ row.double())
                )
        mean = sum(ratios) / len(ratios)
        return math.log10(mean) / 2 if mean > 0 and math.isfinite(mean) else None

    return measure


def _settings() -> tuple[dict[str, Any], ...]:
    same = {"rate": 3e-3, "recurrent": 1e-4, "smoothing": 0.99, "scale": 1.0, "updates": 400}
    arms = dict.fromkeys((*KEPT, "free", "default", "tanh"), same)
    # Weaker inputs, so that tanh starts where it is nearly linear.
    arms["tanh"] = {**same, "scale": 0.03, "updates": 800}
    lstm = {"smoothing": 0.99, "scale": None, "updates": 3000}
    pairs = [*arms.items(), *(("lstm", {"rate": rate, "recurrent": rate, **lstm}) for rate in (3e-3, 1e-3))]
    return tuple({"arm": arm, **chosen, **SIZES} for arm, chosen in pairs)


REPRODUCTION = Reproduction(
    name="copying",
    summary="the copy memory task: orthogonal, unconstrained and LSTM networks; about 45 minutes",
    run=run,
    settings=_settings(),
    seeds=tuple(range(5)),
    packages=("numpy", "torch"),
)
