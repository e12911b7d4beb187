"""Truncated backpropagation on PyTorch modules; imported only when asked for, since it loads torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import torch

from .errors import whole_number
from .windows import Window

__all__ = ["TorchUpdate", "run_carried", "run_windows", "source_of"]

Slices = Callable[[int, int], torch.Tensor]
LossFunction = Callable[[torch.Tensor, int, int], torch.Tensor]


@dataclass(frozen=True, eq=False)
class TorchUpdate:
    """One update's gradients are in the parameters' `.grad`; this says which steps they come from.

    Attributes
    ----------
    window : Window
        Steps gone through, and the losses collected.
    loss : tensor, no axes
        Detached; read it with `float(update.loss)`, which on a GPU waits.
    state : tensor, tuple, … or None
        The state after the window's last step, detached, made with the weights before the update.
    """

    window: Window
    loss: torch.Tensor
    state: Any


def source_of(
    model: Any, x: Any, loss_fn: Any, steps: int | None, batch_first: bool
) -> tuple[Slices, int, int]:
    """Return (start, stop) ↦ x of these steps, T, and the axis of time.

    Raises
    ------
    TypeError, ValueError
        No module, no tensor and no callable, a callable without `steps`, or no loss function.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    if not callable(loss_fn):
        raise TypeError(
            f"loss_fn must be a callable (output, start, stop) -> tensor; got {type(loss_fn).__name__}"
        )
    axis = 1 if batch_first else 0
    if isinstance(x, torch.Tensor):
        if x.ndim < 2 or x.shape[axis] == 0:
            raise ValueError(f"x must have at least 2 axes and a step or more; got {tuple(x.shape)}")
        if steps is not None and steps != x.shape[axis]:
            raise ValueError(f"steps is for a callable x; x has T={x.shape[axis]}, steps is {steps!r}")
        return (lambda start, stop: x.narrow(axis, start, stop - start)), x.shape[axis], axis
    if not callable(x):
        raise TypeError(f"x must be a tensor or a callable (start, stop); got {type(x).__name__}")
    if steps is None:
        raise ValueError("steps must be given when x is a callable; got None")
    return x, whole_number("steps", steps, 1), axis


def run_windows(
    model: torch.nn.Module,
    take: Slices,
    axis: int,
    loss_fn: LossFunction,
    made: Iterable[Window],
    state: Any,
) -> Iterator[TorchUpdate]:
    """Yield after the backward pass of each window.

    The graph of a window starts at a stored, detached state and is built anew with the weights of the day:
    a graph kept from the window before would be one of weights that the optimiser has overwritten.
    """
    stored, at = _detached(state), 0
    for window, following in pairwise(chain(made, [None])):
        if at < window.start:  # k2 < k1: steps that no gradient goes through
            with torch.no_grad():
                _, stored = _call(model, take(at, window.start), stored)
            at = window.start
        # The state at which the next window starts is on this one's way, or at its end.
        keep = window.stop if following is None else min(following.start, window.stop)
        outputs, carried = [], stored
        for start, stop in ((window.start, keep), (keep, window.stop)):
            if start < stop:
                output, carried = _call(model, take(start, stop), carried)
                outputs.append(output)
            if stop == keep:
                stored, at = _detached(carried), keep
        joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=axis)
        seen = joined.narrow(axis, window.first - window.start, window.stop - window.first)
        yield _backward(model, loss_fn, seen, window, carried)
        # Nothing of a graph may outlive its window.
        del output, outputs, joined, seen, carried


def run_carried(
    model: torch.nn.Module,
    take: Slices,
    axis: int,
    loss_fn: LossFunction,
    carry: Sequence[float],
    state: Any,
    block: int,
) -> Iterator[TorchUpdate]:
    """Yield after the backward pass of each piece between two cuts (carry 0)."""
    steps, state = len(carry), _detached(state)
    begin, outputs = 0, []
    for start in range(0, steps, block):
        stop = min(start + block, steps)
        output, state = _call(model, take(start, stop), state)
        outputs.append(output)
        if stop < steps and carry[stop]:
            state = _mapped(state, lambda s, factor=float(carry[stop]): _Raise.apply(s, factor))
            continue
        joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=axis)
        outputs, window, carried, state = [], Window(begin, begin, stop), state, _detached(state)
        yield _backward(model, loss_fn, joined, window, carried)
        del joined, carried, output
        begin = stop


def _backward(
    model: torch.nn.Module, loss_fn: LossFunction, output: torch.Tensor, window: Window, carried: Any
) -> TorchUpdate:
    loss = loss_fn(output, window.first, window.stop)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        came = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise TypeError(f"loss_fn(output, start, stop) must return a tensor with one number; got {came}")
    if not loss.requires_grad:
        raise ValueError(
            "loss_fn(output, start, stop) must return what a gradient can flow from; got a tensor that does "
            "not require one (a detached output, frozen weights, or torch.no_grad around the loop)"
        )
    model.zero_grad(set_to_none=True)
    loss.backward()
    # A copy of the state: the next window starts from the original, whatever a caller writes into this one.
    return TorchUpdate(window, loss.detach().reshape(()), _mapped(carried, lambda s: s.detach().clone()))


def _call(model: torch.nn.Module, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
    result = model(x, state)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], torch.Tensor):
        raise TypeError(f"model(x, state) must return (output, state); got {type(result).__name__}")
    return result


class _Raise(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad * ctx.factor, None


def _detached(state: Any) -> Any:
    return _mapped(state, lambda tensor: tensor.detach())


def _mapped(state: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Apply a function to every tensor of a state: a tensor, None, or tuples, lists and dicts of them."""
    if state is None or isinstance(state, torch.Tensor):
        return state if state is None else function(state)
    if isinstance(state, dict):
        return type(state)((key, _mapped(value, function)) for key, value in state.items())
    if isinstance(state, tuple | list):
        parts = [_mapped(value, function) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    raise TypeError(
        f"state must be a tensor, None, or tuples, lists and dicts of them; got {type(state).__name__}"
    )
