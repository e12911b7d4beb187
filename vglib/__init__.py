"""Vanishing and exploding gradients: explicit gradients and Jacobians of recurrent networks.

The explicit mathematics runs on NumPy, PyTorch (CPU and GPU) and any other array library that follows the
Python array API standard. Importing `vglib` loads NumPy and nothing heavier.
"""

from . import bptt, clipping, initialization, irnn, jacobians, orthogonality, truncation
from .base.errors import NonFiniteError
from .base.rnn import RNN
from .version import __version__

__all__ = [
    "RNN",
    "NonFiniteError",
    "__version__",
    "bptt",
    "clipping",
    "initialization",
    "irnn",
    "jacobians",
    "orthogonality",
    "truncation",
]
