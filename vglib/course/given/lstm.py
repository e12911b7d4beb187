"""The unit of the task *One bit, a thousand steps*, and the inputs that it meets."""

from __future__ import annotations

import numpy as np

from vglib import LSTM, bptt

__all__ = ["run_latch", "story"]


def run_latch(table: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return h (T, B) of the unit, and ∂h_T/∂v (T, B) for every step."""
    cell = LSTM(weight_ih=table[:, :3], weight_hh=table[:, 3:4], bias_ih=table[:, 4], bias_hh=np.zeros(4))
    trace = bptt.unroll(cell, x)
    last = np.zeros_like(trace.outputs)
    last[-1] = 1.0
    return trace.outputs[..., 0], bptt.backprop(trace, last, want="inputs").inputs[..., 0]


def story(
    rng: np.random.Generator, steps: int, batch: int = 16, **events: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (T, B, 3) and the bits (B,).

    The inputs are noise, with `write`, `again` (a write of the other bit) and `reset` at the given steps.
    """
    x = np.zeros((steps, batch, 3))
    x[..., 0] = rng.normal(size=(steps, batch))
    bits = np.where(np.arange(batch) % 2, 1.0, -1.0)
    for name, sign in (("write", 1), ("again", -1)):
        if name in events:
            x[events[name], :, 0], x[events[name], :, 1] = sign * bits, 1.0
    if "reset" in events:
        x[events["reset"], :, 2] = 1.0
    return x, bits
