r"""What all recurrent cells share: weights under PyTorch's names, conversion, projections.

A cell is one layer in one direction. Its state s_t (B, S) is the blocks it names, side by side: [h] for an
RNN, [h; c] for an LSTM. A subclass writes down four things and owns no loop:

`step`            s_{t+1} from the projected input and s_t, and what must be kept
`factors`         the local derivatives, from what was kept: all steps at once, or one
`backward_step`   ∂L/∂s_t from ∂L/∂s_{t+1} and one step's factors
`jacobian`        ∂s_{t+1}/∂s_t from the same factors (optional: `backward_step` gives it)

and, where b_hh is not added to the projected input (a GRU has it inside r ⊙ …), a `project` of its own.

Index legend: T steps, B sequences, D inputs, H units, S state size, G gates; t time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, Self

from array_api_compat import array_namespace

from . import torch_copy
from .arrays import (
    Array,
    check_array,
    check_finite,
    convert,
    device_of,
    dtype_name,
    random_stream,
    resolve_namespace,
)
from .errors import whole_number

__all__ = ["Arrays", "Recurrence", "check_cell"]

Arrays = tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Recurrence:
    """Weights of one recurrent layer in one direction; the base class of all cells.

    Attributes
    ----------
    weight_ih : Array, shape (G·H, D)
        Input weights, gates stacked in PyTorch's order.
    weight_hh : Array, shape (G·H, H)
        Recurrent weights.
    bias_ih, bias_hh : Array, shape (G·H,)
        The two biases that PyTorch adds.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array

    gates: ClassVar[int] = 1
    blocks: ClassVar[tuple[str, ...]] = ("h",)
    torch_name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_array("weight_hh", self.weight_hh, [("G·H", None), ("H", None)])
        rows, hidden = self.weight_hh.shape
        if rows != self.gates * hidden:
            raise ValueError(
                f"weight_hh must have shape (G·H, H) with G={self.gates} for {type(self).__name__}; "
                f"got {(rows, hidden)}"
            )
        like = {"like": self.weight_hh, "like_name": "the entries of weight_hh"}
        check_array("weight_ih", self.weight_ih, [("G·H", rows), ("D", None)], **like)
        for name in ("bias_ih", "bias_hh"):
            check_array(name, getattr(self, name), [("G·H", rows)], **like)

    # -- sizes and kinds ------------------------------------------------------------------------------

    @property
    def inputs(self) -> int:
        """D, the number of inputs."""
        return self.weight_ih.shape[1]

    @property
    def hidden(self) -> int:
        """H, the number of units."""
        return self.weight_hh.shape[1]

    @property
    def size(self) -> int:
        """S, the size of the state: H for each block."""
        return self.hidden * len(self.blocks)

    @cached_property
    def xp(self) -> ModuleType:
        """The array namespace of the weights."""
        return array_namespace(self.weight_hh)

    @property
    def dtype(self) -> str:
        """Name of the weights' dtype."""
        return dtype_name(self.weight_hh.dtype)

    @property
    def parameters(self) -> dict[str, Array]:
        """The weights by PyTorch's names (without its `_l0`)."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return {name: getattr(self, name) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        # A module cannot be pickled, and `xp` is found again.
        return {name: value for name, value in self.__dict__.items() if name != "xp"}

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self._options().items())
        sizes = f"inputs={self.inputs}, hidden={self.hidden}, dtype={self.dtype!r}"
        return f"{type(self).__name__}({sizes}{options})"

    def _options(self) -> dict[str, Any]:
        """Return the settings beside the weights, which `to` carries along."""
        own = {field.name for field in dataclasses.fields(self)} - set(self.parameters)
        return {name: getattr(self, name) for name in sorted(own)}

    # -- making and moving ----------------------------------------------------------------------------

    @classmethod
    def init(
        cls,
        inputs: int,
        hidden: int,
        seed: int = 0,
        xp: ModuleType | None = None,
        device: Any = None,
        dtype: Any = "float64",
        **options: Any,
    ) -> Self:
        """Draw every weight and bias from U(−1/√H, 1/√H), PyTorch's default for recurrent layers.

        The same seed gives the same numbers under every `xp`.

        Parameters
        ----------
        inputs, hidden : int
            D and H.
        seed : int
            Seeds this draw alone; no global state is read or changed.
        xp : module, optional
            `numpy` (default), `torch` or any other array API namespace.
        device : optional
            Where the arrays shall live, in `xp`'s own words.
        dtype : str or dtype
            'float64' or 'float32'; under torch 'float16' and 'bfloat16' too.
        **options
            The cell's own settings, e.g. `activation='relu'` for `RNN`.

        Raises
        ------
        ValueError, TypeError
            A size that is not a positive integer, an unknown dtype or option.
        """
        inputs, hidden = whole_number("inputs", inputs, 1), whole_number("hidden", hidden, 1)
        seed = whole_number("seed", seed, 0)
        xp, bound, rows = resolve_namespace(xp), hidden**-0.5, cls.gates * hidden
        draw = random_stream(seed, f"{cls.__name__}.init")
        shapes = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, hidden),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        weights = {
            name: convert(draw.uniform(-bound, bound, shape), xp, dtype, device)
            for name, shape in shapes.items()
        }
        return cls(**weights, **options)

    @classmethod
    def from_torch(cls, module: Any, layer: int | None = None, reverse: bool = False) -> Self:
        """Copy one layer and direction of a `torch.nn` module of this kind, or of its one-step cell.

        Parameters
        ----------
        module : e.g. torch.nn.RNN or torch.nn.RNNCell
            Its dtype and device are kept; absent biases become zeros.
        layer : int, optional
            Needed when there are several.
        reverse : bool
            The backward direction of a bidirectional module, which reads x from its end: pass `x` reversed.
            Without it the forward direction is copied.

        Raises
        ------
        TypeError
            Another kind of module.
        ValueError
            Several layers and none chosen, no such layer or direction, `batch_first` or `proj_size`.
        """
        weights = torch_copy.copy_from_module(module, cls.torch_name, layer, reverse)
        return cls(**weights, **cls._options_of(module))

    def to_torch(self) -> Any:
        """Return a one-layer `torch.nn` module of this kind with copies of the weights.

        Raises
        ------
        ValueError
            A setting that torch's module lacks, e.g. the sigmoid as activation of `torch.nn.RNN`.
        """
        return torch_copy.copy_to_module(self, **self._torch_options())

    @classmethod
    def _options_of(cls, module: Any) -> dict[str, Any]:
        """Return the settings of a torch module in this class's words."""
        return {}

    def _torch_options(self) -> dict[str, Any]:
        """Return the settings in the words of torch's module."""
        return {}

    def replace(self, **changes: Any) -> Self:
        """Return a cell with some weights or settings exchanged, checked like new ones."""
        unknown = set(changes) - {field.name for field in dataclasses.fields(self)}
        if unknown:
            known = ", ".join(field.name for field in dataclasses.fields(self))
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}; it has {known}")
        return dataclasses.replace(self, **changes)

    def to(self, xp: ModuleType | None = None, device: Any = None, dtype: Any = None) -> Self:
        """Return a copy under another library, on another device or in another dtype."""
        xp = self.xp if xp is None else resolve_namespace(xp)
        weights = {name: convert(w, xp, dtype, device) for name, w in self.parameters.items()}
        return type(self)(**weights, **self._options())

    # -- what a sequence needs ------------------------------------------------------------------------

    def project(self, x: Array) -> Array:
        """Return W_ih x_t + b_ih + b_hh for all steps in one product: (T, B, D) → (T, B, G·H)."""
        xp, (steps, batch, inputs) = self.xp, x.shape
        flat = xp.matmul(xp.reshape(x, (steps * batch, inputs)), self.weight_ih.T)  # one product, not T
        return xp.reshape(flat + (self.bias_ih + self.bias_hh), (steps, batch, -1))

    def along_rows(self) -> Self:
        """Return the same cell with weight_hh laid out so that h @ weight_hh.T runs along memory.

        For many steps with one matrix that is worth a copy: the product is twice as fast.
        """
        xp, transposed = self.xp, self.weight_hh.T
        flat = xp.reshape(transposed, (-1,))  # copies row by row; a plain copy would keep the old layout
        return self.replace(weight_hh=xp.reshape(flat, transposed.shape).T)

    def initial(self, batch: int) -> Array:
        """Return the zero state (B, S)."""
        like = self.weight_hh
        return self.xp.zeros((batch, self.size), dtype=like.dtype, device=device_of(like))

    def check_input(self, x: Array, nonfinite: str = "raise") -> None:
        """Raise unless `x` is (T, B, D), finite and of the weights' kind."""
        check_array("x", x, [("T", None), ("B", None), ("D", self.inputs)], like=self.weight_hh)
        check_finite("x", x, nonfinite)

    def check_initial(self, initial: Array | None, batch: int, nonfinite: str = "raise") -> Array:
        """Return the initial state, zeros for None; raise unless it is (B, S), finite and of their kind."""
        if initial is None:
            return self.initial(batch)
        check_array("initial", initial, [("B", batch), ("S", self.size)], like=self.weight_hh)
        check_finite("initial", initial[None, ...], nonfinite)
        return initial

    def check_weights(self, nonfinite: str = "refuse") -> None:
        """Raise `NonFiniteError` with the weight's name if one is not finite."""
        for name, weight in self.parameters.items():
            check_finite(name, weight, nonfinite, first=None)

    def split(self, state: Array) -> dict[str, Array]:
        """Return the blocks of a state (…, S) by name: {'h': …}, for an LSTM {'h': …, 'c': …}."""
        h = self.hidden
        return {name: state[..., i * h : (i + 1) * h] for i, name in enumerate(self.blocks)}

    def output(self, state: Array) -> Array:
        """Return what the layer above sees of a state (…, S): its block h, (…, H)."""
        return state[..., : self.hidden]

    def weight_gradients(self, d_input: Array, d_recurrent: Array, x: Array, h: Array) -> dict[str, Array]:
        """Return the gradients of all weights, summed over the last axis but one, N.

        Parameters
        ----------
        d_input, d_recurrent : Array, shape (…, N, G·H)
            What `backward_step` returns for the input and for the recurrent side.
        x, h : Array, shape (…, N, D) and (…, N, H)
            Input and output h_t of the same steps.

        Returns
        -------
        dict of str to Array, shape (…, *shape of the weight)
        """
        xp = self.xp
        return {
            "weight_ih": xp.matmul(xp.matrix_transpose(d_input), x),
            "weight_hh": xp.matmul(xp.matrix_transpose(d_recurrent), h),
            # Equal where both sides are one, yet never one array: a clipped one must not change the other.
            "bias_ih": xp.sum(d_input, axis=-2),
            "bias_hh": xp.sum(d_recurrent, axis=-2),
        }

    # -- the four things a cell writes down -----------------------------------------------------------

    def step(self, projected: Array, state: Array) -> tuple[Array, tuple[Array, ...]]:
        """Return s_{t+1} (B, S), and a tuple of arrays (B, …) for `factors`, from (B, G·H) and s_t (B, S)."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def factors(self, saved: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the local derivatives, each with one axis of units, from what `step` kept.

        The leading axes of `saved` are (T, B) for all steps at once or (B,) for one, and stay.
        """
        raise NotImplementedError(f"{type(self).__name__}.factors")

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return the gradients of s_t, of the input side and of the recurrent side, from that of s_{t+1}.

        Parameters
        ----------
        factors : tuple of Array
            Of one step, leading axis (B,).
        d_state : Array, shape (B, S), or (n, B, S) or (n, 1, S)
            ∂L/∂s_{t+1}: of one loss, or of n losses side by side. It must broadcast with the factors.

        Returns
        -------
        d_previous : Array, shape (…, B, S)
        d_input, d_recurrent : Array, shape (…, B, G·H)
            Gradients of W_ih x_t + … and of W_hh h_t + …; one and the same array where they are equal.
        """
        raise NotImplementedError(f"{type(self).__name__}.backward_step")

    def jacobian(self, factors: tuple[Array, ...]) -> Array:
        """Return ∂s_{t+1}/∂s_t, (…, S, S) with rows for the output, for factors with any leading axes.

        This generic form sends the rows of the identity through `backward_step`: a row of the Jacobian *is*
        the gradient of one output. Cells override it with a shorter formula and are tested against it.
        """
        xp, size = self.xp, self.size
        lead = factors[0].ndim - 1
        rows = xp.eye(size, dtype=factors[0].dtype, device=device_of(factors[0]))
        rows = xp.reshape(rows, (size, *([1] * lead), size))
        return xp.moveaxis(self.backward_step(factors, rows)[0], 0, -2)


def check_cell(cell: Any) -> None:
    """Raise TypeError unless `cell` is a `Recurrence`."""
    if not isinstance(cell, Recurrence):
        raise TypeError(f"cell must be a vglib cell such as RNN; got {type(cell).__name__}")
