"""Losses and gradient norms of each step, kept on the device and fetched once a window.

A number that the host wants to see makes it wait for the GPU. So each step leaves its numbers where they are,
and the host looks at all of a window at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["Recorder", "Window", "check_loss"]

# Norms are of float64, and the same numbers give the same norm; this is for those of float32 on MPS.
NOTICEABLE = 1e-6
UNRELATED = "loss_fn must return a loss that depends on the parameters that are trained; this one does not"


@dataclass(frozen=True, eq=False)
class Window:
    """The steps since the last look: arrays of one entry a step, and what was not finite first.

    `fault` is (offset of the step, what), as it came to the optimiser; `repaired` the same before the clip.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    fault: tuple[int, str] | None
    repaired: tuple[int, str] | None


class Recorder:
    """Takes the numbers of each step without waiting for them.

    Parameters
    ----------
    names, parameters
        Of what is trained, in one order.
    device : torch.device
    """

    def __init__(self, names: list[str], parameters: list[Any], device: torch.device) -> None:
        self.names, self.parameters = names, parameters
        # float32 holds no squares above 3e38, which exploding gradients reach; MPS has nothing wider.
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.complex = any(parameter.is_complex() for parameter in parameters)
        self._clear()

    def _clear(self) -> None:
        self.losses: list[torch.Tensor] = []
        self.before: list[torch.Tensor] = []
        self.after: list[torch.Tensor] = []
        self.indices: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.losses)

    def add(self, loss: torch.Tensor) -> None:
        """Keep the loss of a step, and the norm of each parameter's gradient.

        Raises
        ------
        ValueError
            No parameter has a gradient.
        """
        indices = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        if not indices:
            raise ValueError(UNRELATED)
        # A copy: a captured graph writes the next loss in the place of this one.
        self.losses.append(loss.detach().to(self.dtype, copy=True))
        self.indices.append(indices)
        self.before.append(self._norms(indices))

    def add_clipped(self) -> None:
        """Keep the norms of the same gradients after clipping."""
        self.after.append(self._norms(self.indices[-1]))

    def _norms(self, indices: list[int]) -> torch.Tensor:
        gradients = [self.parameters[i].grad for i in indices]
        if self.complex or any(gradient.is_sparse for gradient in gradients):
            gradients = [_plain(gradient) for gradient in gradients]
        with torch.no_grad():
            return torch.stack(torch._foreach_norm(gradients, 2, dtype=self.dtype))

    def take(self) -> Window:
        """Return what has gathered, and forget it. This waits for the device."""
        count = len(self.losses)
        if not count:
            return Window(np.empty(0), np.empty(0), np.empty(0, dtype=bool), None, None)
        device = self.before[0].device
        parts = [*self.losses, *self.before, *self.after]
        everything = (
            torch.cat([part.reshape(-1).to(device) for part in parts]).cpu().numpy().astype("float64")
        )
        lengths = [len(indices) for indices in self.indices]
        losses, before, after = np.split(everything, [count, count + sum(lengths)])
        clips = len(after) > 0
        after = after if clips else before
        starts = np.cumsum([0, *lengths[:-1]])
        with np.errstate(invalid="ignore", over="ignore"):
            largest = np.maximum.reduceat(before, starts)
            scale = np.where(np.isfinite(largest) & (largest > 0.0), largest, 1.0)
            squares = np.add.reduceat((before / np.repeat(scale, lengths)) ** 2, starts)
            total = np.where(np.isfinite(largest), scale * np.sqrt(squares), largest)
            known = np.where(np.isnan(before), np.inf, before)
            clipped = np.logical_or.reduceat(after < known * (1.0 - NOTICEABLE), starts)
        window = Window(
            losses,
            total,
            clipped,
            self._first(losses, after, starts),
            self._first(None, before, starts) if clips else None,
        )
        self._clear()
        return window

    def _first(
        self, losses: np.ndarray | None, norms: np.ndarray, starts: np.ndarray
    ) -> tuple[int, str] | None:
        """Return the first step with a number that is not finite, and what it is."""
        good = np.logical_and.reduceat(np.isfinite(norms), starts)
        good = good if losses is None else good & np.isfinite(losses)
        if good.all():
            return None
        step = int(np.argmin(good))
        if losses is not None and not np.isfinite(losses[step]):
            return step, "the loss"
        indices = self.indices[step]
        row = norms[starts[step] : starts[step] + len(indices)]
        names = [self.names[i] for i, norm in zip(indices, row, strict=True) if not np.isfinite(norm)]
        more = f" and of {len(names) - 1} more parameters" if len(names) > 1 else ""
        return step, f"the gradient of {names[0]}{more}"


def _plain(gradient: torch.Tensor) -> torch.Tensor:
    """Return a dense real tensor of the same norm."""
    gradient = gradient.detach()
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    return torch.view_as_real(gradient) if gradient.is_complex() else gradient


def check_loss(loss: Any) -> None:
    """Raise TypeError or ValueError unless `loss` is a scalar that can be differentiated."""
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"loss_fn must return a scalar tensor; got {type(loss).__name__}")
    if loss.ndim:
        raise ValueError(f"loss_fn must return a scalar tensor; got shape {tuple(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError(UNRELATED)
