"""How every reproduction trains what PyTorch differentiates."""

from __future__ import annotations

import functools

from vglib.base.training import fit

__all__ = ["fit_on_cpu"]

fit_on_cpu = functools.partial(fit, device="cpu", progress=False, nonfinite="stop")
"""`fit` without a GPU or a bar; what is no longer finite ends it, and `nonfinite_at` says where."""
