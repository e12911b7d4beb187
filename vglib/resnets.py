r"""Plain, residual and pre-activation nets, whose layers play the part that moments play through time.

    h_{l+1} = ψ(s·h_l + β_l F_l(h_l)),        l = 0 … L−1
    J_l     = ∂h_{l+1}/∂h_l = diag ψ′ (s I + β_l ∂F_l/∂h_l)
    ∂h_L/∂h_l = J_{L−1} ⋯ J_l

With a shortcut, s = 1, the product keeps an identity: for ψ = 1 it is Π(I + β ∂F/∂h), at most
(1 + β‖∂F/∂h‖)^L. At β = 1 that is no comfort in a deep net: 1.1^152 is 2·10⁶. It stays bounded for β = 1/L,
and in the mean square for β = 1/√L where the branches are independent of each other with mean zero. Without a
shortcut, s = 0, it is the product of the branches' Jacobians alone.

The same calls as through time run on these nets: `bptt.unroll(net, x)`, `bptt.backprop(trace, d_final=…)`,
`jacobians.steps`, `stream`, `log_norms`, `log_singular_values`. Their steps are the L blocks, their state is
what goes into a block, flattened to (B, S).

Batch normalisation in training couples the samples of a batch. Gradients are exact, statistics included; but
a sample has no Jacobian of its own, so `jacobians` refuses such a trace. `net.frozen(x)` holds the statistics
constant.

| kind | s | branch F of one layer | of two layers | ψ |
|---|---|---|---|---|
| 'plain' | 0 | weights, norm | weights, norm, φ, weights, norm | φ |
| 'residual' | 1 | weights, norm | weights, norm, φ, weights, norm | φ |
| 'activated' | 1 | weights, norm, φ | weights, norm, φ, weights, norm, φ | 1 |
| 'pre-activation' | 1 | norm, φ, weights | norm, φ, weights, norm, φ, weights | 1 |

Index legend: L blocks, B samples, S state size (the width of a dense net, C·H·W of a convolutional one), C
channels of H × W positions; l block; φ activation, β branch scale.

Sources: He, Zhang, Ren and Sun (2016a) for 'residual', (2016b) for 'pre-activation' and 'activated'; De and
Smith (2020) for the start at β = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from .base.arrays import Array, check_array, namespace
from .base.block import KINDS
from .base.errors import whole_number
from .base.layers import Convolution, Linear, Part
from .base.net_start import RULES, STARTS, branch_scale
from .base.nets import NORMS, Net

__all__ = ["KINDS", "NORMS", "RULES", "STARTS", "Conv", "Dense", "branch_scale"]


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Net):
    """A net of fully connected blocks of one width. Make it with `init` or `from_torch`.

    Every array has the blocks as its first axis. What a net does not have is None: a second layer of its
    branches, norms, and fixed statistics unless it is frozen.

    Attributes
    ----------
    weight1, weight2 : Array, shape (L, S, S)
    bias1, bias2 : Array, shape (L, S)
    scale : Array, shape (L,)
        β of each block.
    gain1, shift1, gain2, shift2 : Array, shape (L, S)
        Of the norms: norm 1 stands next to weight 1.
    mean1, variance1, mean2, variance2 : Array, shape (L, S)
        Constants instead of the batch's statistics; see `frozen`.
    kind, activation, norm : str

    Raises
    ------
    ValueError, TypeError
        Arrays that do not fit one another, or an unknown setting.

    Examples
    --------
    >>> import numpy as np
    >>> from vglib import bptt, jacobians
    >>> net = Dense.init(width=8, depth=100, beta="1/L")
    >>> trace = bptt.unroll(net, np.ones((2, 8)))
    >>> trace.states.shape, jacobians.steps(trace).shape
    ((101, 2, 8), (100, 2, 8, 8))
    >>> bptt.backprop(trace, d_final=np.ones((2, 8))).parameters["weight1"].shape
    (100, 8, 8)
    """

    @classmethod
    def init(
        cls,
        width: int,
        depth: int,
        kind: str = "residual",
        layers: int = 2,
        activation: str = "relu",
        norm: str = "none",
        beta: float | str = 1.0,
        start: str = "he",
        gain: float = 1.0,
        seed: int = 0,
        xp: ModuleType | None = None,
        device: Any = None,
        dtype: Any = "float64",
    ) -> Self:
        """Draw a net; biases and shifts are 0 (but for start='torch'), gains 1.

        Block l has the same weights whatever the depth is, and under every `xp`.

        Parameters
        ----------
        width : int
            S.
        depth : int
            L, the number of blocks.
        kind : {'plain', 'residual', 'activated', 'pre-activation'}
        layers : {1, 2}
            Of weights, in one branch.
        activation : str
            φ: 'relu', 'tanh', 'sigmoid' or 'linear'.
        norm : {'none', 'batch', 'layer'}
        beta : float or {'1', '1/sqrt(L)', '1/L', 'skip-init'}
            The scale of every branch; see `branch_scale`. For scales of their own: `net.replace(scale=…)`.
        start : {'he', 'glorot', 'orthogonal', 'torch'}
            He and Glorot draw from normal distributions, He with the activation's gain: √2 for ReLU, 1 for
            tanh, above 10 for the sigmoid. 'torch' is the default of `torch.nn.Linear` and `torch.nn.Conv2d`,
            biases included.
        gain : float
            Multiplies the weights.
        seed : int
        xp, device, dtype
            As for `RNN.init`.

        Raises
        ------
        ValueError, TypeError
            A size that is no positive integer, an unknown setting or dtype.
        """
        width = whole_number("width", width, 1)
        options = {"kind": kind, "layers": layers, "activation": activation, "norm": norm, "beta": beta}
        options |= {"start": start, "gain": gain, "seed": seed}
        return cls(**cls._start((width, width), depth, options, xp, device, dtype))

    @property
    def hidden(self) -> int:
        """S, the width."""
        return self.weight1.shape[1]

    def _weight_shape(self) -> list[tuple[str, int | None]]:
        return [("L", None), ("S", None), ("S", None)]

    def _part(self, weight: Array, bias: Array) -> Part:
        return Linear(self.xp, weight, bias)

    def _sizes(self) -> str:
        return f"width={self.size}"

    def _check_input(self, x: Array) -> None:
        check_array("x", x, [("B", None), ("S", self.size)], self.like, "the net's weights")


@dataclass(frozen=True, eq=False, repr=False)
class Conv(Net):
    """A net of convolutional blocks, 3 × 3, which keep the number of channels and the size of the image.

    Around the image are zeros. The attributes are those of `Dense` but for their shapes, and `image`.

    Attributes
    ----------
    weight1, weight2 : Array, shape (L, C, C, 3, 3)
    bias1, bias2 : Array, shape (L, C)
    scale : Array, shape (L,)
    gain1, shift1, gain2, shift2, mean1, variance1, mean2, variance2 : Array, shape (L, C)
    kind, activation, norm : str
        Layer norm takes its statistics over channels and positions, as `torch.nn.GroupNorm(1, C)`.
    image : (int, int)
        H and W.

    Raises
    ------
    ValueError, TypeError
        As for `Dense`.

    Examples
    --------
    >>> import numpy as np
    >>> from vglib import bptt
    >>> net = Conv.init((4, 6, 5), depth=3, norm="layer")
    >>> trace = bptt.unroll(net, np.ones((2, 4, 6, 5)))
    >>> trace.states.shape, net.images(trace.states).shape
    ((4, 2, 120), (4, 2, 4, 6, 5))
    """

    image: tuple[int, int] = (1, 1)

    @classmethod
    def init(
        cls,
        shape: Sequence[int],
        depth: int,
        kind: str = "residual",
        layers: int = 2,
        activation: str = "relu",
        norm: str = "none",
        beta: float | str = 1.0,
        start: str = "he",
        gain: float = 1.0,
        seed: int = 0,
        xp: ModuleType | None = None,
        device: Any = None,
        dtype: Any = "float64",
    ) -> Self:
        """Draw a net.

        Parameters
        ----------
        shape : (int, int, int)
            C, H and W.
        depth, kind, layers, activation, norm, beta, start, gain, seed, xp, device, dtype
            As for `Dense.init`. An orthogonal start gives the C kernels of a layer unit length, at right
            angles.

        Raises
        ------
        ValueError, TypeError
            As `Dense.init`.
        """
        if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 3:
            raise ValueError(f"shape must be (channels, height, width); got {shape!r}")
        channels, *image = (whole_number("shape", size, 1) for size in shape)
        options = {"kind": kind, "layers": layers, "activation": activation, "norm": norm, "beta": beta}
        options |= {"start": start, "gain": gain, "seed": seed}
        made = cls._start((channels, channels, 3, 3), depth, options, xp, device, dtype)
        return cls(**made, image=tuple(image))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.image, tuple) or len(self.image) != 2:
            raise ValueError(f"image must be (height, width); got {self.image!r}")
        for size in self.image:
            whole_number("image", size, 1)

    @property
    def hidden(self) -> int:
        """S = C·H·W."""
        return self.weight1.shape[1] * self.image[0] * self.image[1]

    def images(self, states: Array) -> Array:
        """Return states (…, S) as images (…, C, H, W).

        Raises
        ------
        ValueError, TypeError
            Another size, or no array.
        """
        xp, lead = namespace(states, "states"), states.ndim - 1
        check_array("states", states, [*[("…", None)] * lead, ("S", self.size)])
        return xp.reshape(states, (*states.shape[:-1], self.weight1.shape[1], *self.image))

    def _weight_shape(self) -> list[tuple[str, int | None]]:
        return [("L", None), ("C", None), ("C", None), ("3", 3), ("3", 3)]

    def _part(self, weight: Array, bias: Array) -> Part:
        return Convolution(self.xp, weight, bias, self.image)

    def _sizes(self) -> str:
        return f"shape={(self.weight1.shape[1], *self.image)}"

    def _check_input(self, x: Array) -> None:
        axes = [("B", None), ("C", self.weight1.shape[1]), ("H", self.image[0]), ("W", self.image[1])]
        check_array("x", x, axes, self.like, "the net's weights")
