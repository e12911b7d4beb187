r"""A stack of residual blocks as one object: its arrays, how they start, and what the loops ask of it.

    h_{l+1} = ψ(s·h_l + β_l F_l(h_l)),   l = 0 … L−1        what F, s and ψ are: `vglib.base.block`

Index legend: L blocks, B samples, S state size, C channels (units, in a dense net); l block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .activations import activation as known_activation
from .arrays import QUIET, Array, check_array, check_finite, convert, resolve_namespace
from .block import KINDS, Block, order
from .chain import Arrays, Chain, Step
from .errors import choice, whole_number
from .layers import Norm, Part, Phi, statistics
from .net_start import branch_scale, draw_blocks

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["NORMS", "Net"]

NORMS = ("none", "batch", "layer")
"""What a block can normalise by."""


@dataclass(frozen=True, eq=False, repr=False)
class Net(Chain):
    """What dense and convolutional nets share; see `vglib.resnets`. Arrays have one more axis, of blocks."""

    weight1: Array
    bias1: Array
    scale: Array
    weight2: Array | None = None
    bias2: Array | None = None
    gain1: Array | None = None
    shift1: Array | None = None
    gain2: Array | None = None
    shift2: Array | None = None
    mean1: Array | None = None
    variance1: Array | None = None
    mean2: Array | None = None
    variance2: Array | None = None
    kind: str = "residual"
    activation: str = "relu"
    norm: str = "none"

    letter: ClassVar[str] = "L"

    def __post_init__(self) -> None:
        choice("kind", self.kind, KINDS)
        choice("norm", self.norm, NORMS)
        known_activation(self.activation)
        shape = self._weight_shape()
        check_array("weight1", self.weight1, shape)
        depth, width = self.weight1.shape[:2]
        # Now the open sizes are known, and the same for all: weights are square.
        shape = [("L", depth), *((letter, width) for letter, _ in shape[1:3]), *shape[3:]]
        channels = [("L", depth), (shape[1][0], width)]
        expected = {"scale": [("L", depth)]}
        for n in range(1, self.layers + 1):
            expected |= {f"weight{n}": shape, f"bias{n}": channels}
            if self.norm != "none":
                expected |= {f"gain{n}": channels, f"shift{n}": channels}
            if self.mean1 is not None:
                expected |= {f"mean{n}": channels, f"variance{n}": channels}
        if self.mean1 is not None and self.norm != "batch":
            raise ValueError(f"mean1: only a net with norm='batch' has fixed statistics; got {self.norm!r}")
        for name in _ARRAYS:
            value = getattr(self, name)
            if name in expected:
                check_array(name, value, expected[name], self.weight1, "the entries of weight1")
            elif value is not None:
                raise ValueError(f"{name}: a net of layers={self.layers}, norm={self.norm!r} has none")

    # -- sizes and kinds ------------------------------------------------------------------------------

    @property
    def like(self) -> Array:
        """The first weights."""
        return self.weight1

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return self.weight1.shape[0]

    @property
    def layers(self) -> int:
        """How many layers of weights a branch has."""
        return 1 if self.weight2 is None else 2

    @property
    def parameters(self) -> dict[str, Array]:
        """Weights, biases, gains and shifts of the norms, and the branch scales, each (L, …)."""
        return {n: w for n, w in self._held.items() if not n.startswith(("mean", "variance"))}

    @property
    def _held(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}

    def __repr__(self) -> str:
        fixed = "" if self.mean1 is None else ", frozen"
        return (
            f"{type(self).__name__}({self._sizes()}, depth={self.depth}, kind={self.kind!r}, "
            f"layers={self.layers}, activation={self.activation!r}, norm={self.norm!r}{fixed}, "
            f"dtype={self.dtype!r})"
        )

    # -- what dense and convolutional nets differ in --------------------------------------------------

    def _weight_shape(self) -> list[tuple[str, int | None]]:
        """Return letter and size of each axis of weight1, None for any."""
        raise NotImplementedError

    def _part(self, weight: Array, bias: Array) -> Part:
        """Return the part that multiplies by weights."""
        raise NotImplementedError

    def _sizes(self) -> str:
        raise NotImplementedError

    def _check_input(self, x: Array) -> None:
        """Raise unless x has the shape, dtype, device and library of this net's input."""
        raise NotImplementedError

    # -- what a chain of steps is asked ---------------------------------------------------------------

    def begin(self, x: Array, initial: Array | None, nonfinite: str) -> tuple[Array, Iterable[Step]]:
        """Return h_0, which is x, and the blocks' steps."""
        if initial is not None:
            raise ValueError("initial must be None through depth, where x itself is the first state")
        self._check_input(x)
        check_finite("x", x, nonfinite, first=None)
        state = self.xp.reshape(x, (x.shape[0], self.size))
        if self._couples and x.shape[0] * self.size == self.bias1.shape[1]:  # one number a channel
            raise ValueError(
                "x must hold at least two samples for norm='batch', whose statistics are those of the batch; "
                "got one. net.frozen(batch) has constant ones, and norm='layer' needs none"
            )
        return state, (block.step for block in self._blocks)

    def at(self, t: int) -> Block:
        """Return block t."""
        return self._blocks[t]

    def factors(self, saved: Arrays) -> Arrays:
        """Return the local derivatives of all blocks at once."""
        return self._block(slice(None)).factors(saved)

    def check_jacobians(self) -> None:
        """Raise ValueError where batch statistics couple the samples."""
        if self._couples:
            raise ValueError(
                "trace: with norm='batch' each sample moves the statistics of all, so none has a Jacobian of "
                "its own; frozen = net.frozen(x) holds them constant: use bptt.unroll(frozen, x)"
            )

    def parameter_gradients(self, trace: Trace, deltas: Sequence[Array]) -> dict[str, Array]:
        """Return ∂L/∂θ of every block, each (L, …)."""
        found = self._block(slice(None)).gradients(trace.saved, deltas)
        return {name: found[name] for name in self.parameters}

    def input_gradients(self, trace: Trace, d_start: Array, deltas: Sequence[Array]) -> Array:
        """Return ∂L/∂x, of the shape of x: a copy, lest it keep all states."""
        return self.xp.reshape(self.xp.asarray(d_start, copy=True), trace.inputs.shape)

    @property
    def _couples(self) -> bool:
        return self.norm == "batch" and self.mean1 is None

    @cached_property
    def _blocks(self) -> tuple[Block, ...]:
        return tuple(self._block(l) for l in range(self.depth))

    def _block(self, l: int | slice) -> Block:
        """Return block l, or for `slice(None)` all with one more axis."""
        own = {name: array[l, ...] for name, array in self._held.items()}
        phi, branch = Phi(self.xp, known_activation(self.activation)), []
        for name in order(self.kind, self.layers):
            number = name[-1]
            if name == "phi":
                branch.append(("", phi))
            elif name.startswith("weights"):
                branch.append((number, self._part(own[f"weight{number}"], own[f"bias{number}"])))
            elif self.norm != "none":
                fixed = None if self.mean1 is None else (own[f"mean{number}"], own[f"variance{number}"])
                gain, shift = own[f"gain{number}"], own[f"shift{number}"]
                branch.append((number, Norm(self.xp, gain, shift, self.norm, fixed)))
        after = phi if self.kind in ("plain", "residual") else None
        return Block(self.xp, branch, own["scale"], self.kind != "plain", after)

    # -- statistics -----------------------------------------------------------------------------------

    @QUIET
    def frozen(self, x: Array) -> Self:
        """Return the net whose batch norms use the statistics of batch `x` as constants.

        On `x` itself its outputs are the same. It is what PyTorch calls evaluation mode, with these running
        statistics: samples are independent, so each has Jacobians of its own. The variances are those that
        `x` was divided by, mean squares; PyTorch's own running ones are n/(n − 1) times as large.

        Raises
        ------
        ValueError, TypeError
            A net without batch norm; x as for `bptt.unroll`.
        NonFiniteError
            x, a state or a variance is not finite.
        """
        if self.norm != "batch":
            raise ValueError(f"norm must be 'batch' for its statistics to be frozen; got {self.norm!r}")
        free = self.replace(mean1=None, variance1=None, mean2=None, variance2=None)
        state, steps = free.begin(x, None, "raise")
        found: dict[str, list[Array]] = {}
        for step, block in zip(steps, free._blocks, strict=True):
            state, kept = step(state)
            for (number, part), z in zip(block.branch, kept, strict=False):
                if isinstance(part, Norm):
                    shared = statistics(self.xp, part.by_channel(z), "batch")
                    for name, value in zip(("mean", "variance"), shared, strict=True):
                        found.setdefault(name + number, []).append(value[0, :, 0])
        check_finite("states", state, "refuse", first=None)
        arrays = {name: self.xp.astype(self.xp.stack(rows), state.dtype) for name, rows in found.items()}
        for name, array in arrays.items():  # in half precision a variance of a finite state can overflow
            check_finite(name, array, "refuse")
        return self.replace(**arrays)

    # -- making ---------------------------------------------------------------------------------------

    @classmethod
    def _start(
        cls,
        shape: tuple[int, ...],
        depth: int,
        options: dict[str, Any],
        xp: ModuleType | None,
        device: Any,
        dtype: Any,
    ) -> dict[str, Any]:
        """Return the arrays and settings of a new net, from the shape of one block's weights."""
        settings = {name: options.pop(name) for name in ("kind", "activation", "norm")}
        depth, layers = whole_number("depth", depth, 1), options.pop("layers")
        choice("layers", layers, (1, 2))
        choice("norm", settings["norm"], NORMS)
        known_activation(settings["activation"])
        scale = branch_scale(options.pop("beta"), depth)
        arrays = draw_blocks(cls.__name__, shape, depth, layers, settings["activation"], **options)
        if settings["norm"] != "none":
            for number in range(1, layers + 1):
                arrays[f"gain{number}"] = np.ones((depth, shape[0]))
                arrays[f"shift{number}"] = np.zeros((depth, shape[0]))
        arrays["scale"] = np.full(depth, scale)
        xp = resolve_namespace(xp)
        return {name: convert(array, xp, dtype, device) for name, array in arrays.items()} | settings

    @classmethod
    def from_torch(cls, module: Any) -> Self:
        """Copy a module that `to_torch` made, e.g. after it was trained.

        One with batch norm in evaluation mode becomes a frozen net with its running statistics. Of what a
        parametrisation computes, a weight norm say, the result is copied.

        Raises
        ------
        TypeError
            Another kind of module, or one of several dtypes or devices.
        ValueError
            Layers that were exchanged for others, or of which some are in training mode and some are not.
        """
        from .torch_nets import from_module

        return from_module(module, cls)

    def to_torch(self, learn_scale: bool = False) -> Any:
        """Return a `torch.nn.Module` of PyTorch's own layers with copies of the arrays; x ↦ h_L.

        Its `blocks[l]` have `layer1` (Linear or Conv2d), `norm1`, and `layer2`, `norm2` where a branch has
        two. Stem and head go around it: `torch.nn.Sequential(Linear(64, width), module, Linear(width, 10))`.
        That of a frozen net is in evaluation mode.

        Parameters
        ----------
        learn_scale : bool
            Whether `blocks[l].scale`, β, is a parameter; otherwise it is a buffer. Needed for 'skip-init',
            where no other weight of a block has a gradient at first.
        """
        from .torch_nets import to_module

        return to_module(self, learn_scale)


_ARRAYS = tuple(name for name, hint in Net.__annotations__.items() if hint.startswith("Array"))
