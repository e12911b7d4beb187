"""One contender in a process of its own: ``python -m benchmarks.worker MODULE:FUNCTION BACKEND DEVICE FILE``.

Writes its evidence to FILE and says so in one line of JSON; then times one block for each line it reads.
NumPy's and PyTorch's thread pools disturb each other, so no process computes with both.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from .problem import Contender

__all__ = ["main", "time_block", "time_call"]

LEAST_SECONDS, LEAST_CALLS, MOST_SECONDS = 0.2, 5, 3.0
"""How long a block lasts: at least so many seconds and calls, but no further call after the most."""


def time_block(contender: Contender, device: str) -> float:
    """Return the milliseconds of the fastest call of a block: whatever disturbs a call makes it slower."""
    milliseconds: list[float] = []
    start = perf_counter()
    while (seconds := perf_counter() - start) < LEAST_SECONDS or (
        len(milliseconds) < LEAST_CALLS and seconds < MOST_SECONDS
    ):
        milliseconds.append(time_call(contender.call, device))
    return min(milliseconds)


def time_call(call: Callable[[], Any], device: str) -> float:
    """Return the milliseconds of one call; on a GPU, until the work that it starts is done."""
    wait = _waiter(device)
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        call()
        wait()
        return (perf_counter() - start) * 1e3
    finally:
        gc.enable()


def _waiter(device: str) -> Callable[[], None]:
    """Return what waits for the device, whose calls return before their work is done."""
    if device == "cpu":
        return lambda: None
    import torch

    torch.cuda.synchronize()
    return torch.cuda.synchronize


def main(name: str, backend: str, device: str, file: str) -> None:
    """Make the contender, hand in its evidence, and time a block whenever told to."""
    module, function = name.split(":")
    contender = getattr(importlib.import_module(f"benchmarks.{module}"), function)(backend, device)
    np.savez(file, **contender.evidence())
    time_block(contender, device)  # warm-up: caches, thread pools, kernels chosen
    print(json.dumps({"ready": name}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"ms": time_block(contender, device)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
