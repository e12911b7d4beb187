"""What a user would run instead. Every function makes one contender from a backend and a device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vglib import jacobians
from vglib.base.arrays import device_of, to_numpy

from .problem import LONG, SHORT, Contender, Problem, clipped, unclipped

__all__ = [
    "by_hand",
    "clip_long",
    "clip_short",
    "jacrev",
    "jacrev_by_step",
    "jacrev_chunked",
    "product_of_steps",
]

CHUNK = 32
"""Steps of sequences that `vmap` takes at once, when told to: the fastest of 32 … 1024 on two CPU cores."""


class _Steps:
    """A cell as a plain torch function, and the states it passes through, from PyTorch's own kernel."""

    def __init__(self, device: str) -> None:
        import torch

        problem = Problem(SHORT, "torch", device)
        self.probe = problem.probe
        self.W, U = problem.cell.weight_hh, problem.cell.weight_ih
        bias = problem.cell.bias_ih + problem.cell.bias_hh
        with torch.no_grad():
            outputs, _ = problem.cell.to_torch()(problem.x)
        self.outputs = outputs
        self.states = torch.cat([torch.zeros_like(outputs[:1]), outputs[:-1]])
        self.x = problem.x
        self.function = lambda x, h: torch.tanh(U @ x + bias + self.W @ h)

    def flat(self) -> tuple[Any, Any]:
        """Return x (T·B, D) and h (T·B, H)."""
        return self.x.flatten(0, 1), self.states.flatten(0, 1)

    def contender(self, call: Callable[[], Any]) -> Contender:
        """Wrap a call that returns the Jacobians, with any leading axes."""

        def evidence() -> dict[str, np.ndarray]:
            J = call().reshape(SHORT.steps, SHORT.batch, SHORT.hidden, SHORT.hidden)
            return {"J v": to_numpy(J @ self.probe), "v J": to_numpy(self.probe @ J)}

        return Contender(call, evidence)


def jacrev(backend: str, device: str) -> Contender:
    """`vmap(jacrev(cell))` over all steps and sequences at once."""
    from torch.func import jacrev, vmap

    of = _Steps(device)
    x, h = of.flat()
    mapped = vmap(jacrev(of.function, argnums=1))
    return of.contender(lambda: mapped(x, h))


def jacrev_chunked(backend: str, device: str) -> Contender:
    """`vmap(jacrev(cell), chunk_size=…)`: the same, in pieces that stay in the cache."""
    from torch.func import jacrev, vmap

    of = _Steps(device)
    x, h = of.flat()
    mapped = vmap(jacrev(of.function, argnums=1), chunk_size=CHUNK)
    return of.contender(lambda: mapped(x, h))


def jacrev_by_step(backend: str, device: str) -> Contender:
    """`vmap(jacrev(cell))` of one step after the other, none kept."""
    import torch
    from torch.func import jacrev, vmap

    of = _Steps(device)
    mapped = vmap(jacrev(of.function, argnums=1))

    def call() -> None:
        for t in range(SHORT.steps):
            mapped(of.x[t], of.states[t])

    stored = of.contender(lambda: torch.stack([mapped(of.x[t], of.states[t]) for t in range(SHORT.steps)]))
    return Contender(call, stored.evidence)


def by_hand(backend: str, device: str) -> Contender:
    """Type the formula into torch: (1 − h²) ⊙ W, which loses the derivative once h rounds to 1."""
    of = _Steps(device)
    return of.contender(lambda: (1 - of.outputs**2)[..., None] * of.W)


def product_of_steps(backend: str, device: str) -> Contender:
    """Store all Jacobians and multiply them up: no rescaling, so a long product is rounded to 0."""
    problem = Problem(LONG, backend, device)
    trace, xp = problem.trace(), problem.cell.xp

    def call() -> Any:
        J = jacobians.steps(trace)
        eye = xp.eye(LONG.hidden, dtype=J.dtype, device=device_of(J))
        product = xp.broadcast_to(eye, J.shape[1:])
        norms = [xp.linalg.vector_norm(product, axis=(-2, -1))]
        for t in reversed(range(LONG.steps)):
            product = product @ J[t, ...]
            norms.append(xp.linalg.vector_norm(product, axis=(-2, -1)))
        return xp.stack(norms[::-1])

    def evidence() -> dict[str, np.ndarray]:
        norms = to_numpy(call())
        usable = norms > 1e-14  # below, the squares that a norm adds up leave float32's range
        with np.errstate(divide="ignore"):
            logs = np.log(norms) - math.log(LONG.hidden) / 2
        return {"log-norms": np.where(usable, logs, np.nan)}

    return Contender(call, evidence)


def clip_long(backend: str, device: str) -> Contender:
    """`torch.nn.utils.clip_grad_norm_`, of gradients that are too long."""
    from torch.nn.utils import clip_grad_norm_

    return clipped(clip_grad_norm_, device)


def clip_short(backend: str, device: str) -> Contender:
    """Look at gradients that are short enough, with the same."""
    from torch.nn.utils import clip_grad_norm_

    return unclipped(clip_grad_norm_, device)
