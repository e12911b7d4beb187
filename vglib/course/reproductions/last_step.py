"""PyTorch networks that read a sequence and answer after its last step, and what is measured on them."""

from __future__ import annotations

import copy
import math

import torch

from vglib import NonFiniteError, irnn, lstm
from vglib.base.training.surroundings import seeded

__all__ = ["NETS", "Reader", "input_message", "make", "message"]

NETS = ("IRNN", "tanh", "orthogonal tanh", "LSTM")


class Reader(torch.nn.Module):
    """A recurrent layer and a linear readout of its last output."""

    def __init__(self, layer: torch.nn.Module, outputs: int) -> None:
        super().__init__()
        self.layer, self.readout = layer, torch.nn.Linear(layer.hidden_size, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers (B, outputs) to sequences (T, B, D)."""
        return self.readout(self.layer(x)[0][-1])


def make(net: str, inputs: int, hidden: int, outputs: int, seed: int, scale: float = 1.0) -> Reader:
    """Return an untrained network.

    Parameters
    ----------
    net : {'IRNN', 'tanh', 'orthogonal tanh', 'LSTM'}
        The LSTM has a forget bias of 1 in all: PyTorch adds two, the second is set to 0. What is not
        mentioned is PyTorch's default.
    inputs, hidden, outputs : int
    seed : int
        Of all weights; two nets with the same seed and sizes have the same readout.
    scale : float
        Of the identity, for 'IRNN'.
    """
    with seeded(torch.device("cpu"), seed):
        reader = Reader(torch.nn.RNN(inputs, hidden), outputs)
        layer = reader.layer
        if net == "IRNN":
            reader.layer = irnn.module(inputs, hidden, scale=scale, seed=seed)
        elif net == "LSTM":
            reader.layer = torch.nn.LSTM(inputs, hidden)
            lstm.forget_bias_(reader.layer, 1.0)
        elif net == "orthogonal tanh":
            torch.nn.init.orthogonal_(layer.weight_hh_l0)
        elif net != "tanh":
            raise ValueError(f"net must be one of {NETS}; got {net!r}")
    return reader


def message(reader: Reader, x: torch.Tensor) -> list[float | None]:
    """Return log₁₀ of how much of the first output's gradient is left at each state s_0 … s_T.

    The gradient by the state, [h; c] for an LSTM, is taken along the recursion; its root mean square over the
    sequences of `x` (T, B, D) is divided by that at the end. None where it is exactly 0.
    """
    reader, x = copy.deepcopy(reader).double(), x.double()
    layer, hidden = reader.layer, reader.layer.hidden_size
    pair = isinstance(layer, torch.nn.LSTM)
    state = tuple(torch.zeros(1, x.shape[1], hidden, dtype=x.dtype) for _ in range(1 + pair))
    states = []
    for t in range(len(x) + 1):
        for part in state:  # one step at a time, so that every state is a tensor that autograd knows
            part.requires_grad_() if part.is_leaf else part.retain_grad()
        states.append(state)
        if t < len(x):
            _, after = layer(x[t : t + 1], state if pair else state[0])
            state = after if pair else (after,)
    reader.readout(state[0][0])[:, 0].sum().backward()
    return _relative([[part.grad.flatten() for part in s if part.grad is not None] for s in states])


def input_message(reader: Reader, x: torch.Tensor, target: torch.Tensor) -> list[float | None]:
    """Return log₁₀ of how much of the loss's gradient is left at each input x_1 … x_T, relative to x_T.

    The loss is the mean cross-entropy of the answers with the classes `target` (B,). Norms are over all
    sequences of `x` (T, B, D) together. None where it is exactly 0.
    """
    reader = copy.deepcopy(reader).double()  # what is left may be smaller than any float32
    x = x.double().requires_grad_()
    torch.nn.functional.cross_entropy(reader(x), target).backward()
    return _relative([[step.flatten()] for step in x.grad])


def _relative(gradients: list[list[torch.Tensor]]) -> list[float | None]:
    """Return log₁₀ of each norm over the last; None for 0."""
    logs = [_log_size(parts, step) for step, parts in enumerate(gradients)]
    if logs[-1] is None and any(log is not None for log in logs):
        raise ValueError("nothing can be relative to the last gradient, which is exactly 0")
    return [None if log is None else log - logs[-1] for log in logs]


def _log_size(parts: list[torch.Tensor], step: int) -> float | None:
    """Return log₁₀ of the Euclidean norm of all numbers together, whose squares may be none; None for 0."""
    numbers = torch.cat([torch.zeros(1, dtype=torch.float64), *parts])
    largest = float(numbers.abs().max())
    if not math.isfinite(largest):  # NaN would pass for 0
        raise NonFiniteError("gradient", step)
    return math.log10(largest) + math.log10(float((numbers / largest).norm())) if largest > 0 else None
