"""One contender in a process of its own: ``python -m benchmarks.worker MODULE:FUNCTION BACKEND DEVICE FILE``.

Writes its evidence to FILE and says so in one line of JSON; then times one block for each line it reads.
NumPy's and PyTorch's thread pools disturb each other, so no process computes with both.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np

from .problem import Contender

__all__ = ["main", "time_block"]

BLOCK_SECONDS = 0.2


def time_block(contender: Contender, device: str) -> float:
    """Return the median milliseconds of a call, over as many calls as fit into a block (at least one)."""
    wait = _waiter(device)
    milliseconds: list[float] = []
    gc.collect()
    gc.disable()
    try:
        end = perf_counter() + BLOCK_SECONDS
        while not milliseconds or perf_counter() < end:
            start = perf_counter()
            contender.call()
            wait()
            milliseconds.append((perf_counter() - start) * 1e3)
    finally:
        gc.enable()
    return statistics.median(milliseconds)


def _waiter(device: str) -> Callable[[], None]:
    """Return what waits until the device has finished: a GPU's calls return before."""
    if device == "cpu":
        return lambda: None
    import torch

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
