"""The weights of a cell under PyTorch's names: made, checked, moved, copied to and from `torch.nn`.

Index legend: D inputs, H units, G gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Self

from . import torch_copy
from .arrays import Array, check_array, convert, random_stream, resolve_namespace
from .errors import whole_number
from .parameters import Parameters

__all__ = ["Weights"]


@dataclass(frozen=True, eq=False)
class Weights(Parameters):
    """Weights of one recurrent layer in one direction.

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
    def like(self) -> Array:
        """The recurrent weights."""
        return self.weight_hh

    @property
    def parameters(self) -> dict[str, Array]:
        """The weights by PyTorch's names (without its `_l0`)."""
        return {name: getattr(self, name) for name in torch_copy.NAMES}

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self._options().items())
        sizes = f"inputs={self.inputs}, hidden={self.hidden}, dtype={self.dtype!r}"
        return f"{type(self).__name__}({sizes}{options})"

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
    def from_torch(cls, module: Any, layer: int | None = None, reverse: bool | None = None) -> Self:
        """Copy one layer and direction of a `torch.nn` module of this kind, or of its one-step cell.

        Parameters
        ----------
        module : e.g. torch.nn.RNN or torch.nn.RNNCell
            Its dtype and device are kept; absent biases become zeros.
        layer : int, optional
            Needed when there are several.
        reverse : bool, optional
            Needed when the module is bidirectional: False for the direction that reads x from its start, True
            for the one that reads it from its end. Pass that one `x` reversed.

        Raises
        ------
        TypeError
            Another kind of module.
        ValueError
            Several layers or two directions and none chosen; no such layer or direction; `batch_first` or
            `proj_size`; a subclass with a `forward` of its own; weights on the device 'meta', or computed by
            a hook (`torch.nn.utils.weight_norm`, pruning).
        """
        weights = torch_copy.copy_from_module(module, cls.torch_name, layer, reverse)
        return cls(**weights, **cls._options_of(module))

    def to_torch(self, one_step: bool = False) -> Any:
        """Return a one-layer `torch.nn` module of this kind with copies of the weights.

        Parameters
        ----------
        one_step : bool
            Return PyTorch's cell, e.g. `torch.nn.LSTMCell`, which takes one step a call.

        Raises
        ------
        ValueError
            A setting that torch's module lacks, e.g. the sigmoid as activation of `torch.nn.RNN`.
        """
        return torch_copy.copy_to_module(self, one_step, **self._torch_options())

    @classmethod
    def _options_of(cls, module: Any) -> dict[str, Any]:
        """Return the settings of a torch module in this class's words."""
        return {}

    def _torch_options(self) -> dict[str, Any]:
        """Return the settings in the words of torch's module."""
        return {}
