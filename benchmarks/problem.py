"""The same numbers for every contender, whichever library it computes with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vglib import RNN, bptt
from vglib.base.arrays import convert, random_stream, resolve_namespace
from vglib.base.recurrence import Recurrence
from vglib.base.trace import Trace

__all__ = ["BLOCKS", "LONG", "LONGEST", "SHORT", "Contender", "Problem", "Sizes", "clipped", "unclipped"]


@dataclass(frozen=True)
class Sizes:
    """T steps, B sequences, D inputs, H units."""

    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return f"T={self.steps}, B={self.batch}, D={self.inputs}, H={self.hidden}"


SHORT = Sizes(steps=100, batch=32, inputs=32, hidden=128)
BLOCKS = Sizes(steps=25, batch=32, inputs=32, hidden=128)
"""For the Jacobians of an LSTM, four times as large as those of an RNN."""

LONG = Sizes(steps=1000, batch=32, inputs=32, hidden=64)
LONGEST = Sizes(steps=65_536, batch=1, inputs=2, hidden=128)


@dataclass(frozen=True)
class Contender:
    """One of those that take turns.

    Attributes
    ----------
    call : callable
        What is timed. On a GPU it only starts the work; the worker waits for the end of it.
    evidence : callable
        Numbers that must agree with every other contender's, by name; computed once and not timed.
    """

    call: Callable[[], Any]
    evidence: Callable[[], dict[str, np.ndarray]]


class Problem:
    """A cell with PyTorch's default weights, normal inputs, and a loss that looks at every output.

    Parameters
    ----------
    sizes : Sizes
    backend : {'numpy', 'torch'}
    device : {'cpu', 'cuda'}
    dtype : str
    kind : type
        Of the cell; a tanh RNN by default.
    """

    def __init__(
        self,
        sizes: Sizes,
        backend: str,
        device: str,
        dtype: str = "float32",
        kind: type[Recurrence] = RNN,
    ) -> None:
        if backend == "torch":
            import torch

            xp, place = resolve_namespace(torch), device
        else:
            xp, place = resolve_namespace(np), None
        draw = random_stream(0, "benchmarks")
        T, B, D, H = sizes.steps, sizes.batch, sizes.inputs, sizes.hidden

        def normal(*shape: int) -> Any:
            return convert(draw.standard_normal(shape), xp, dtype, place)

        self.cell = kind.init(D, H, seed=0, xp=xp, device=place, dtype=dtype)
        self.x = normal(T, B, D)
        self.d_outputs = normal(T, B, H)
        self.probe = normal(self.cell.size)

    def trace(self) -> Trace:
        """Return our forward pass."""
        return bptt.unroll(self.cell, self.x)


MATRICES, SIDE = 50, 256
SHRINK = 0.999
"""Each call clips once more, to this share of the length that the last one left."""

Clip = Callable[[list, float], Any]


def _gradients(device: str) -> tuple[list, float]:
    """Return parameters that have gradients, and the length of all together."""
    import torch

    draw = random_stream(0, "benchmarks.clipping")
    parameters = [torch.nn.Parameter(torch.zeros(SIDE, SIDE, device=device)) for _ in range(MATRICES)]
    for parameter in parameters:
        parameter.grad = convert(
            draw.standard_normal((SIDE, SIDE)), resolve_namespace(torch), "float32", device
        )
    return parameters, float(torch.nn.utils.get_total_norm([p.grad.double() for p in parameters]))


def clipped(clip: Clip, device: str) -> Contender:
    """Gradients that are too long, in every call."""
    parameters, length = _gradients(device)
    state = {"limit": length}

    def call() -> Any:
        state["limit"] *= SHRINK
        return clip(parameters, state["limit"])

    return Contender(call, lambda: _evidence(call(), parameters))


def unclipped(clip: Clip, device: str) -> Contender:
    """Gradients that are short enough."""
    parameters, length = _gradients(device)

    def call() -> Any:
        return clip(parameters, 2 * length)

    return Contender(call, lambda: _evidence(call(), parameters))


def _evidence(norm: Any, parameters: list) -> dict[str, np.ndarray]:
    return {"norm": norm.cpu().numpy(), "gradient": parameters[-1].grad.cpu().numpy()}
