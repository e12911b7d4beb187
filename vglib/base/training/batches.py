"""Batches: found tensors are moved, whatever holds them is kept."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["convert_leaves", "move"]


def move(batch: Any, device: torch.device) -> Any:
    """Return a batch whose tensors and NumPy arrays are tensors on `device`; dtypes stay.

    Parameters
    ----------
    batch : tensor, array, or tuple, list, mapping, dataclass instance holding such, to any depth
        Anything else in it (numbers, strings, None) is handed on.
    device : torch.device

    Raises
    ------
    TypeError
        A NumPy array of a kind that torch does not have, e.g. of strings.
    """
    # Only CUDA makes sure that a copy that is under way is seen by what comes after it.
    asynchronous = device.type == "cuda"

    def leaf(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            try:
                # A copy: torch takes neither negative strides nor, silently, an array that is read-only.
                value = torch.from_numpy(np.array(value, order="C"))
            except TypeError as error:
                raise TypeError(
                    f"batch_of: a NumPy array of dtype {value.dtype} in the batch: {error}"
                ) from None
        return value.to(device, non_blocking=asynchronous) if _is_tensor(value) else value

    return convert_leaves(batch, leaf)


def convert_leaves(batch: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return `batch` with `leaf` applied to all that is no container."""
    if _is_tensor(batch) or isinstance(batch, np.ndarray):
        return leaf(batch)
    if isinstance(batch, tuple | list):
        items = [convert_leaves(item, leaf) for item in batch]
        # A named tuple wants its fields one by one.
        return type(batch)(*items) if hasattr(batch, "_fields") else type(batch)(items)
    if isinstance(batch, Mapping):
        return {name: convert_leaves(item, leaf) for name, item in batch.items()}
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        # Not `replace`, which would run its checks again, and knows no field that __init__ does not take.
        new = copy.copy(batch)
        for field in dataclasses.fields(batch):
            if hasattr(batch, field.name):
                object.__setattr__(new, field.name, convert_leaves(getattr(batch, field.name), leaf))
        return new
    return leaf(batch)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor | torch.nn.utils.rnn.PackedSequence)
