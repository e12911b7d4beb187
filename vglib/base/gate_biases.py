"""Biases of gates: set block by block, in a cell of `vglib` or in a reader's own `torch.nn` layer.

PyTorch adds two bias vectors, so what is set is their sum: `bias_ih` gets it and `bias_hh` becomes 0.

Index legend: H units; a block is the H entries of one gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import convert, device_of, dtype_name, namespace, random_stream, to_numpy
from .errors import kind_of, real_number, whole_number
from .recurrence import Recurrence
from .torch_weights import check_settable, suffixes

__all__ = ["check_kind", "check_lags", "log_lags", "set_in_cell", "set_in_module_"]

Blocks = Mapping[int, Any]
"""Number of a gate in PyTorch's order → its new bias, (H,) or one number for all units."""


def check_kind(cell: Any, kind: type[Recurrence], name: str = "cell") -> None:
    """Raise TypeError unless a cell is of one kind."""
    if not isinstance(cell, kind):
        hint = f"; {kind.__name__}.from_torch copies a module, and what ends in an underscore changes it"
        hint = hint if hasattr(cell, "state_dict") else ""
        raise TypeError(f"{name} must be a vglib {kind.__name__}; got {kind_of(cell)}{hint}")


def log_lags(name: str, suffix: str, hidden: int, longest: int, seed: int) -> np.ndarray:
    """Return log u, u ∼ U(1, longest − 1), for each unit: the bias with which a gate keeps for u steps.

    With c′ = f c and f = σ(log u) = u/(1 + u), what is kept fades like (1 + 1/u)^−t: over about u steps.
    """
    stream = random_stream(seed, f"{name}.chrono{suffix.removesuffix('_l0')}")
    return np.log(stream.uniform(1.0, longest - 1.0, hidden))


def check_lags(longest: Any, seed: Any) -> tuple[int, int]:
    """Return both as whole numbers, `longest` at least 2 and no larger than any float."""
    longest = whole_number("longest", longest, 2)
    real_number("longest", longest, 2)
    return longest, whole_number("seed", seed, 0)


def set_in_cell(cell: Recurrence, blocks: Blocks, clear: bool) -> Any:
    """Return the cell with the total bias of some gates set; that of the others is kept, or 0 if `clear`."""
    old = (cell.bias_ih, cell.bias_hh)
    made = _with_blocks(*old, cell.hidden, blocks, clear)
    where = {"dtype": cell.dtype, "device": device_of(cell.bias_ih)}
    bias_ih, bias_hh = (convert(bias, cell.xp, **where) for bias in made)
    return cell.replace(bias_ih=bias_ih, bias_hh=bias_hh)


def set_in_module_(
    module: Any, kind: str, blocks: Callable[[int, str], Blocks], clear: bool
) -> tuple[str, ...]:
    """Do the same to every layer and direction of a `torch.nn.<kind>` or `<kind>Cell`, in place.

    Parameters
    ----------
    blocks : callable (H, ending of PyTorch's names) -> Blocks
    clear : bool
        Whether the other gates' biases become 0.

    Returns
    -------
    tuple of str
        Names of the parameters that were set.

    Raises
    ------
    TypeError
        Another kind of module.
    ValueError
        No biases, such as cannot be set, or a value that is beyond their dtype; nothing is changed then.
    """
    import torch

    if not isinstance(module, (getattr(torch.nn, kind), getattr(torch.nn, f"{kind}Cell"))):
        raise TypeError(f"module must be a torch.nn.{kind} or torch.nn.{kind}Cell; got {kind_of(module)}")
    if not module.bias:
        raise ValueError(
            f"module has bias=False, so that no gate has a bias to set; make the {kind} with bias=True"
        )
    endings = suffixes(module)
    names = [f"bias_{side}{suffix}" for suffix in endings for side in ("ih", "hh")]
    for name in names:  # all of them before any is changed
        check_settable(module, name)
    if len({id(getattr(module, name)) for name in names}) < len(names):
        raise ValueError(
            "module has one parameter under two names of biases, so that they cannot be set apart"
        )
    with torch.no_grad():
        for suffix in endings:
            pair = [getattr(module, f"bias_{side}{suffix}") for side in ("ih", "hh")]
            made = _with_blocks(*pair, module.hidden_size, blocks(module.hidden_size, suffix), clear)
            for parameter, bias in zip(pair, made, strict=True):
                parameter.copy_(torch.from_numpy(bias))
    return tuple(names)


def _with_blocks(bias_ih: Any, bias_hh: Any, hidden: int, blocks: Blocks, clear: bool) -> tuple[Any, Any]:
    """Return both biases in NumPy's float64, which holds every dtype exactly."""
    ih, hh = (np.array(to_numpy(bias), dtype="float64") for bias in (bias_ih, bias_hh))
    if clear:
        ih[:], hh[:] = 0.0, 0.0
    largest, dtype = float(namespace(bias_ih).finfo(bias_ih.dtype).max), dtype_name(bias_ih.dtype)
    for gate, value in blocks.items():
        if (size := np.max(np.abs(value))) > largest:
            raise ValueError(f"a bias of {size:g} in size is no finite {dtype}; use less, or float64")
        rows = slice(gate * hidden, (gate + 1) * hidden)
        ih[rows], hh[rows] = value, 0.0
    return ih, hh
