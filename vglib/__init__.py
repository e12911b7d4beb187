"""Vanishing and exploding gradients: explicit gradients and Jacobians of recurrent networks.

The explicit mathematics runs on NumPy, PyTorch (CPU and GPU) and any other array library that follows the
Python array API standard. Importing `vglib` loads NumPy and nothing heavier; a topic is loaded when it is
first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base.errors import NonFiniteError
from .base.rnn import RNN
from .version import __version__

if TYPE_CHECKING:
    from . import (
        bptt,
        clipping,
        gru,
        initialization,
        irnn,
        jacobians,
        lstm,
        orthogonality,
        resnets,
        truncation,
    )
    from .gru import GRU
    from .lstm import LSTM

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "NonFiniteError",
    "__version__",
    "bptt",
    "clipping",
    "gru",
    "initialization",
    "irnn",
    "jacobians",
    "lstm",
    "orthogonality",
    "resnets",
    "truncation",
]


if not TYPE_CHECKING:  # which would take any name for one of the package's

    def __getattr__(name: str) -> Any:
        """Load a topic; `import_module` leaves it here, so that this is asked once."""
        if name in ("LSTM", "GRU"):  # a cell that has a topic of its own
            return getattr(import_module(f"{__name__}.{name.lower()}"), name)
        if name in __all__:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name the topics that are not loaded yet, too."""
    return sorted({*globals(), *__all__})
