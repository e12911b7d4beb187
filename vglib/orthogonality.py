r"""Matrices that neither shrink nor stretch: orthogonal starts, and weights that stay orthogonal in training.

    WᵀW = I   ⇔   all singular values of W are 1   ⇔   ‖Wh‖ = ‖h‖ and ‖δW‖ = ‖δ‖ for all h, δ

Eigenvalues of modulus 1 are not enough: (1 1; 0 1) has no others, and its powers grow. For a layer with
gates the *blocks* count: `weight_hh_l0` of an LSTM is four matrices on top of each other, and a stack with
orthonormal columns (which is what `torch.nn.init.orthogonal_` makes of it) has none that is orthogonal.

The maps from free numbers onto orthogonal matrices run on every array library; `initialize_` and
`parametrize_` act on PyTorch modules. How isometric the product of a network's Jacobians is, the singular
values say: `jacobians.log_singular_values`.

Index legend: G gates, H units; r rows and c columns of one gate's block; σ a singular value.

Sources: Saxe, McClelland and Ganguli (2014) for the start; Mezzadri (2007) for the signs of QR;
Lezcano-Casado and Martínez-Rubio (2019), Helfrich, Willmott and Ye (2018) and Mhammedi et al. (2017) for
the three maps.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .base.arrays import Array, convert, random_stream, resolve_namespace
from .base.errors import real_number, whole_number
from .base.orthogonal_inverses import defect, inverse_cayley, logarithm, reflections
from .base.orthogonal_maps import cayley, exponential, haar, householder, skew

__all__ = [
    "cayley",
    "defect",
    "exponential",
    "householder",
    "initialize_",
    "inverse_cayley",
    "logarithm",
    "orthogonal",
    "parametrize_",
    "reflections",
    "skew",
]


def orthogonal(
    shape: tuple[int, int],
    gain: float = 1.0,
    gates: int = 1,
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Array:
    """Draw a matrix whose blocks, one a gate, are orthogonal times `gain`, all such equally likely (Haar).

    A block that is not square has orthonormal columns, or rows if it is wider than high.

    Parameters
    ----------
    shape : (int, int)
        (G·r, c); (G·H, H) for a recurrent weight.
    gain : float
        What every singular value of a block shall be.
    gates : int
        G: 4 for an LSTM, 3 for a GRU.
    seed : int
        Seeds this draw alone. The same seed gives the same numbers under every `xp`.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    Array, shape `shape`

    Raises
    ------
    ValueError, TypeError
        Sizes that are not positive integers, rows that do not split into `gates` blocks, a gain that is not
        a finite number from 0 up.

    Examples
    --------
    >>> W = orthogonal((8, 2), gates=4, seed=0)
    >>> defect(W, gates=4) < 1e-12, round(defect(W / 2), 1)
    (True, 0.0)
    """
    seed, xp = whole_number("seed", seed, 0), resolve_namespace(xp)
    return convert(
        _draw(shape, gain, gates, random_stream(seed, "orthogonality.orthogonal")), xp, dtype, device
    )


def initialize_(module: Any, gates: int | None = None, gain: float = 1.0, seed: int = 0) -> tuple[str, ...]:
    """Make every recurrent weight of a PyTorch module orthogonal, gate by gate, in place.

    Recurrent weights are those whose names begin with weight_hh, in all layers, directions and parts of the
    module. Each is drawn with its own stream; no global random state is read or changed.

    Parameters
    ----------
    module : torch.nn.Module
        `torch.nn.RNN`, `LSTM`, `GRU`, their cells, or anything that contains some.
    gates : int, optional
        G; by default what the kind of layer has, or rows ÷ columns for a layer of your own.
    gain : float
        What every singular value of a block shall be.
    seed : int

    Returns
    -------
    tuple of str
        The names of the weights that were set; one that several parts share has its first name.

    Raises
    ------
    TypeError
        No module, or a weight that is not of real floating-point numbers.
    ValueError
        A module without recurrent weights; one that is parametrised already, has no size yet or lies on the
        device 'meta'; gates that do not fit; a gain below 0. The module is as it was then.
    """
    from .base import orthogonal_torch

    return orthogonal_torch.initialize(module, gates, gain, whole_number("seed", seed, 0), _draw)


def parametrize_(
    module: Any, name: str = "weight_hh_l0", map: str = "exponential", gates: int | None = None
) -> Any:
    """Keep a recurrent weight of a PyTorch module orthogonal, gate by gate, whatever an optimiser does.

    The weight is no parameter any more: it is computed from one, by PyTorch's own machinery, whenever it is
    asked for. So `module.weight_hh_l0` reads and assigns as before, `state_dict` works, and
    `torch.nn.utils.parametrize.remove_parametrizations(module, name)` leaves the orthogonal weight behind.

    Parameters
    ----------
    module : torch.nn.Module
        The layer that holds the weight, e.g. `torch.nn.RNN`, `LSTM`, `GRU`.
    name : str
        Of the weight; for several layers or directions call this once for each.
    map : {'exponential', 'cayley', 'householder'}
        How free numbers become an orthogonal matrix. The first two start from the weight as it is and move by
        rotations; the third is a product of H reflections and fixed signs. None changes the determinant.
    gates : int, optional
        As for `initialize_`.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError
        No module, or a name that is no text.
    ValueError
        Another map, no such weight, blocks that are not square, or a weight that is parametrised already.
    NonFiniteError
        The weight holds inf or NaN.

    Examples
    --------
    >>> import torch
    >>> lstm = torch.nn.LSTM(3, 8, num_layers=2, bidirectional=True)
    >>> for name in initialize_(lstm):
    ...     lstm = parametrize_(lstm, name)
    >>> loss = lstm(torch.ones(5, 1, 3))[0].square().sum()
    >>> loss.backward()
    >>> torch.optim.SGD(lstm.parameters(), lr=0.1).step()
    >>> defect(lstm.weight_hh_l1_reverse.detach(), gates=4) < 1e-5
    True

    Notes
    -----
    An orthogonal start is kept; any other is replaced by the nearest orthogonal matrix, so call `initialize_`
    first. Each reading computes the map, and a fused layer reads twice a step: inside
    `torch.nn.utils.parametrize.cached()` it is computed once.

    What PyTorch's parametrisations do not do: after a forward pass a fused layer holds a computed weight,
    which `copy.deepcopy` refuses, until it has run once under `torch.no_grad()`. Copying the `state_dict`
    always works. And the free numbers take the place of the weight in its parameter: another layer that
    shares the parameter would take them for its weight, so share the layer instead.
    """
    from .base import orthogonal_torch

    orthogonal_torch.parametrize_weight(module, name, map, gates)
    return module


def _draw(shape: Any, gain: float, gates: int, draw: np.random.Generator) -> np.ndarray:
    """Return the blocks on top of each other, from one generator; arguments checked."""
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape must be (rows, columns); got {shape!r}")
    rows, columns = (whole_number("shape", size, 1) for size in shape)
    gates = whole_number("gates", gates, 1)
    if rows % gates:
        raise ValueError(f"gates={gates} does not divide the {rows} rows of shape={tuple(shape)}")
    gain = real_number("gain", gain, 0)
    high, low = max(rows // gates, columns), min(rows // gates, columns)
    q = haar(draw.normal(size=(gates, high, low)))
    blocks = q if rows // gates >= columns else np.swapaxes(q, 1, 2)
    return gain * blocks.reshape(rows, columns)
