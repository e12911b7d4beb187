"""Truncated backpropagation for a practitioner's PyTorch module. Loads torch when called, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .errors import whole_number
from .windows import each_window, random_carry

__all__ = ["randomized_updates", "updates"]


def updates(
    model: Any,
    x: Any,
    loss_fn: Callable[[Any, int, int], Any],
    k1: int,
    k2: int | None = None,
    state: Any = None,
    batch_first: bool = False,
    steps: int | None = None,
) -> Iterator[Any]:
    """Train a PyTorch module by TBPTT(k1, k2): yield whenever its `.grad` hold the gradients of one window.

        for update in truncation.updates(model, x, loss_fn, k1=20):
            optimizer.step()

    The optimiser may step at every yield, also with k1 < k2. The window is run again from a stored, detached
    state with the weights as they are now; the usual recipe, which keeps the graphs of earlier chunks, stops
    with "modified by an inplace operation". Older gradients of the model's parameters are dropped at
    each window, so `zero_grad` is not needed. Those of others, such as a readout that only `loss_fn` knows,
    add up: make it part of the model, or call `optimizer.zero_grad()` after each step. Memory is that of k2
    steps, or of k1 if that is more.

    The carried state was made with the weights before the last updates: it is stale by a little after each.
    With k1 < k2 steps are run more than once, each time with dropout masks of their own.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(x, state)`` returns ``(output, state)``, as torch.nn.LSTM does; a state may be a tensor, or
        tuples, lists and dicts of tensors. No output may depend on later steps.
    x : tensor, shape (T, B, …), with `batch_first` (B, T, …); or callable (start, stop) -> tensor
        A callable gives these steps; where windows overlap it is asked for the same steps again.
    loss_fn : callable (output, start, stop) -> tensor with one number
        The loss of steps start … stop − 1, whose outputs `output` holds. A sum over steps weights a shorter
        last chunk like the others, a mean weights its steps more.
    k1, k2 : int
        As for `windows`.
    state : optional
        Where to start; what the model makes of None when absent. No gradient goes into it.
    batch_first : bool
    steps : int, optional
        T, when x is a callable.

    Yields
    ------
    TorchUpdate
        With `window`, `loss` and `state`, the last two detached; writing into `state` changes nothing.

    Raises
    ------
    ValueError, TypeError
        Arguments that do not fit, or a model or loss that returns something else.
    """
    from .torch_windows import run_windows, source_of

    take, total, axis = source_of(model, x, loss_fn, steps, batch_first)
    return run_windows(model, take, axis, loss_fn, each_window(total, k1, k2), state)


def randomized_updates(
    model: Any,
    x: Any,
    loss_fn: Callable[[Any, int, int], Any],
    length: float,
    seed: int = 0,
    power: float | None = None,
    block: int = 1,
    state: Any = None,
    batch_first: bool = False,
    steps: int | None = None,
) -> Iterator[Any]:
    """Train a PyTorch module by randomly cut, unbiased backpropagation: yield at every cut.

    Wherever the pass could be cut and is not, the carried state goes through an identity whose gradient is
    multiplied by 1/(1 − c). For fixed weights the sum of all gradients is an unbiased estimate of the full
    one.

    Parameters
    ----------
    model, x, state, batch_first, steps
        As for `updates`.
    loss_fn : callable (output, start, stop) -> tensor with one number
        A *sum* over steps. A mean over a random number of steps would weight short pieces more: a bias again.
    length, seed, power, block
        As for `random_carry`. The model is called for `block` steps at a time, so larger blocks are faster.
        A piece has random length, hence memory.

    Yields
    ------
    TorchUpdate

    Raises
    ------
    ValueError, TypeError
        As `updates` and `random_carry`.

    References
    ----------
    C. Tallec and Y. Ollivier, Unbiasing truncated backpropagation through time, arXiv:1705.08209, 2017.
    """
    from .torch_windows import run_carried, source_of

    take, total, axis = source_of(model, x, loss_fn, steps, batch_first)
    carry = random_carry(total, length, seed, power, block)
    return run_carried(model, take, axis, loss_fn, carry, state, whole_number("block", block, 1))
