"""Evaluation during training: the model as it will be used, then as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["call", "mode"]


def call(evaluate: Callable[[Any], Any], model: torch.nn.Module) -> dict[str, float]:
    """Return what `evaluate` says about the model, as floats of Python.

    Raises
    ------
    TypeError
        No dict, or an entry that is no number.
    ValueError
        An entry called step or loss, which are `fit`'s own, or one without a name.
    """
    with mode(model, training=False), torch.no_grad():
        found = evaluate(model)
    if not isinstance(found, Mapping):
        raise TypeError(f"evaluate must return a dict of floats; got {type(found).__name__}")
    numbers = {}
    for name, value in found.items():
        if name in ("step", "loss") or not isinstance(name, str):
            raise ValueError(f"evaluate must name its entries, and none step or loss; got {name!r}")
        try:
            numbers[name] = float(value.detach() if isinstance(value, torch.Tensor) else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"evaluate must return a dict of floats; {name}: {error}") from None
    return numbers


@contextmanager
def mode(model: torch.nn.Module, training: bool) -> Iterator[None]:
    """Put the model into a mode; afterwards each part is in the one it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, before in modes:
            part.training = before
