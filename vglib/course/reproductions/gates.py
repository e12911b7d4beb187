r"""LSTM beside GRU, with equal numbers of parameters and the same three starts; a tanh RNN as the floor.

Two tasks: `adding`, the sum of two marked numbers, said after the last step, and `copying`, two symbols that
have to be said again after a wait. Each net is an arm:

`net`     LSTM, GRU or tanh. The numbers of units are such that the parameters, readout included, agree
          within 1 %
`start`   what the gates' biases start at: `default`, PyTorch's; `one`, a total bias of 1 that keeps the state
          (an LSTM's forget gate, a GRU's update gate as PyTorch means it); `chrono`, b = log U(1, T−1) for
          that gate and −b for the LSTM's input gate, all other biases 0, T the length of the sequence

What a run records, every `every` updates and on one fixed set of test sequences:

`error`         test error, 1 being that of a guess: mean squared error over 1/6 for `adding`, cross-entropy
                over n ln S / (T + 2n) for `copying`
`solved_at`     the update at which it first was below `solved`, where training ends; None if never
`diverged_at`   the update whose loss or gradient was no longer finite, which ends training; None if never
`parameters`    how many numbers are trained
`before`, `after`   at the first update and at the last: log₁₀ of how much of the gradient of the (first)
                answer is left at s_0 … s_T, relative to s_T; `after` is empty if it diverged. For an LSTM
                s is [h; c]
`reread`        a GRU's test error at the end in other hands: `as_is`, by a loop that follows PyTorch,
                `reset_first`, by the same loop with r before the recurrent product; empty for other nets

Index legend: T steps, n symbols a sequence out of S, B sequences, H units.

Sources: Chung, Gulcehre, Cho and Bengio (2014), for cells compared at equal numbers of parameters;
Jozefowicz, Zaremba and Sutskever (2015), for the forget bias; Tallec and Ollivier (2018), for chrono.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from typing import Any

import torch

from vglib.base.arrays import random_stream
from vglib.base.data import adding, copying
from vglib.base.errors import choice
from vglib.base.training import fit
from vglib.base.training.surroundings import seeded
from vglib.course.reproductions import Reproduction
from vglib.course.reproductions.last_step import message

__all__ = ["REPRODUCTION", "run"]

LAYERS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "tanh": torch.nn.RNN}
TEST_SEED, PROBES = 1_000_000, 16
SYMBOLS = 8
# Units that give equal numbers of parameters, and all else that a task asks for.
TASKS: dict[str, dict[str, Any]] = {
    "adding": {
        "steps": 100,
        "length": None,
        "hidden": {"LSTM": 50, "GRU": 58, "tanh": 102},
        "updates": 3000,
    },
    "copying": {
        "steps": 20,
        "length": 2,
        "hidden": {"LSTM": 41, "GRU": 48, "tanh": 85},
        "updates": 2500,
    },
}


class Network(torch.nn.Module):
    """A recurrent layer, and a linear readout of its last output or of all."""

    def __init__(self, layer: torch.nn.Module, outputs: int, last: bool) -> None:
        super().__init__()
        self.layer, self.readout, self.last = layer, torch.nn.Linear(layer.hidden_size, outputs), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers to sequences (T, B, D): (B, outputs), or (T, B, outputs)."""
        outputs = self.layer(x)[0]
        return self.readout(outputs[-1] if self.last else outputs)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one network.

    The minibatches depend on task and seed alone, the test sequences on the task.
    """
    task, batch = settings["task"], settings["batch"]
    choice("task", task, TASKS)
    network = _start(settings, seed)
    x, target, guess = _draw(settings, settings["test"], TEST_SEED)
    # Up to the step that answers first: the last, or the one after "go".
    probe = x[:, :PROBES] if task == "adding" else x[: settings["steps"] + settings["length"] + 1, :PROBES]
    before = message(network, probe)

    def loss_fn(network: Network, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, target = batch
        if task == "adding":
            return torch.nn.functional.mse_loss(network(x)[:, 0], target)
        return torch.nn.functional.cross_entropy(network(x).flatten(0, 1), target.flatten())

    history = fit(
        network,
        lambda step: _draw(settings, batch, seed, step)[:2],
        loss_fn,
        steps=settings["updates"],
        optimizer=functools.partial(torch.optim.Adam, lr=settings["rate"]),
        clip=functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=settings["clip"]),
        evaluate=lambda network: {"error": float(loss_fn(network, (x, target))) / guess},
        stop=lambda found: found["error"] < settings["solved"],
        every=settings["every"],
        seed=seed,
        device="cpu",
        progress=False,
        nonfinite="stop",
    )
    diverged = history.nonfinite_at is not None
    again = settings["net"] == "GRU" and not diverged
    errors = [found["error"] for found in history.evaluations]
    return {
        "error": [error for error in errors if math.isfinite(error)],
        "solved_at": None if diverged else history.stopped_at,
        "diverged_at": history.nonfinite_at,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "before": before,
        "after": [] if diverged else message(network, probe),
        "reread": _reread(network, loss_fn, (x, target), guess) if again else {},
    }


class Loop(torch.nn.Module):
    """A GRU's weights, run step by step; r after the recurrent product, as PyTorch has it, or before."""

    def __init__(self, layer: torch.nn.GRU, reset_first: bool) -> None:
        super().__init__()
        self.layer, self.reset_first = layer, reset_first

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return all states (T, B, H), and None where PyTorch has the last."""
        layer = self.layer
        w_n, b_n = layer.weight_hh_l0.chunk(3)[2], layer.bias_hh_l0.chunk(3)[2]
        h = x.new_zeros(x.shape[1], layer.hidden_size)
        states = []
        for projected in torch.nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0):
            of_input = projected.chunk(3, dim=-1)
            of_state = torch.nn.functional.linear(h, layer.weight_hh_l0, layer.bias_hh_l0).chunk(3, dim=-1)
            r, z = (torch.sigmoid(a + b) for a, b in zip(of_input[:2], of_state[:2], strict=True))
            read = torch.nn.functional.linear(r * h, w_n, b_n) if self.reset_first else r * of_state[2]
            h = (1 - z) * torch.tanh(of_input[2] + read) + z * h
            states.append(h)
        return torch.stack(states), None


@torch.no_grad()
def _reread(
    network: Network, loss_fn: Any, test: tuple[torch.Tensor, torch.Tensor], guess: float
) -> dict[str, float]:
    """Return the test error of a GRU's weights, and what it would be with r in the other place."""
    found = {}
    for name, reset_first in (("as_is", False), ("reset_first", True)):
        other = copy.deepcopy(network)
        other.layer = Loop(network.layer, reset_first)
        found[name] = float(loss_fn(other, test)) / guess
    return found


def _draw(
    settings: Mapping[str, Any], batch: int, seed: int, index: int = 0
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return inputs and targets of a minibatch, and the error of a guess."""
    kind = {"xp": torch, "dtype": "float32"}
    if settings["task"] == "adding":
        sums = adding(settings["steps"], batch, seed, index, **kind)
        return sums.x, sums.target, 1 / 6
    text = copying(settings["steps"], batch, seed, index, **kind, symbols=SYMBOLS, length=settings["length"])
    return text.x, text.target, text.baseline


def _start(settings: Mapping[str, Any], seed: int) -> Network:
    """Return the untrained network."""
    net, start = settings["net"], settings["start"]
    choice("net", net, LAYERS)
    adds, hidden = settings["task"] == "adding", settings["hidden"]
    inputs, outputs = (2, 1) if adds else (SYMBOLS + 2, SYMBOLS + 1)
    with seeded(torch.device("cpu"), int(random_stream(seed, "gates.start").integers(2**31))):
        network = Network(LAYERS[net](inputs, hidden), outputs, last=adds)
    if start == "default":
        return network
    layer, second = network.layer, slice(hidden, 2 * hidden)  # f of i, f, g, o; z of r, z, n
    with torch.no_grad():
        if start == "one":
            layer.bias_ih_l0[second], layer.bias_hh_l0[second] = 1.0, 0.0
        else:
            longest = settings["steps"] + (0 if adds else 2 * settings["length"])
            drawn = random_stream(seed, "gates.chrono").uniform(1, longest - 1, size=hidden)
            layer.bias_ih_l0.zero_()
            layer.bias_hh_l0.zero_()
            layer.bias_ih_l0[second] = torch.tensor(drawn, dtype=torch.float32).log()
            if net == "LSTM":
                layer.bias_ih_l0[:hidden] = -layer.bias_ih_l0[second]
    return network


def _settings() -> tuple[dict[str, Any], ...]:
    arms = [(net, start) for net in ("LSTM", "GRU") for start in ("default", "one", "chrono")]
    same = {"rate": 0.003, "clip": 1.0, "batch": 32, "test": 500, "every": 100, "solved": 0.1}
    return tuple(
        {"task": name, "net": net, "start": start, **task, "hidden": task["hidden"][net], **same}
        for name, task in TASKS.items()
        for net, start in (*arms, ("tanh", "default"))
    )


REPRODUCTION = Reproduction(
    name="gates",
    summary="LSTM beside GRU at equal parameters, three starts each, adding and copying; about 20 minutes",
    run=run,
    settings=_settings(),
    seeds=tuple(range(5)),
    packages=("numpy", "torch"),
)
