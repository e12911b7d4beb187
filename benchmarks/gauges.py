"""What is measured alone, each in a fresh process: ``python -m benchmarks.gauges GAUGE ARGUMENTS…``.

Peak memory comes from `tracemalloc`, which NumPy reports its arrays to, or from PyTorch's CUDA allocator.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from .race import ROOT, BenchmarkError, child_environment

__all__ = ["import_cost", "measure"]

IMPORT = """
import numpy
from time import perf_counter
start = perf_counter()
import vglib
print((perf_counter() - start) * 1e3)
"""


def measure(gauge: str, *arguments: str) -> dict[str, float]:
    """Run one of this module's gauges in a child and return its numbers.

    Raises
    ------
    BenchmarkError
        It failed.
    """
    return json.loads(_child("-m", "benchmarks.gauges", gauge, *arguments))


def import_cost(repeats: int, tick: Callable[[str], None]) -> list[float]:
    """Return the milliseconds of `import vglib` after `import numpy`, each in a fresh process."""
    _child("-c", IMPORT)  # leaves compiled files behind
    costs = []
    for _ in range(repeats):
        costs.append(float(_child("-c", IMPORT)))
        tick("import vglib")
    return costs


def _child(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[:3])} stopped with exit code {done.returncode}")
    return done.stdout


def peak_bytes(call: Callable[[], Any], device: str) -> int:
    """Return the most memory that a call holds at once beyond what was there before, its result included."""
    if device == "cpu":
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - before
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def log_norms(steps: str, backend: str, device: str) -> dict[str, float]:
    """Time, memory and precision of `jacobians.log_norms`, in float32 and for the same trace in float64.

    `share` is how far the two are apart, as a share of the range of the log-norms.
    """
    from vglib import jacobians
    from vglib.base.arrays import convert, to_numpy

    from .problem import LONG, Problem
    from .worker import time_call

    trace = Problem(dataclasses.replace(LONG, steps=int(steps)), backend, device).trace()

    def double(array: Any) -> Any:
        return convert(array, trace.cell.xp, "float64")

    promoted = dataclasses.replace(
        trace,
        cell=trace.cell.to(dtype="float64"),
        inputs=double(trace.inputs),
        states=double(trace.states),
        saved=tuple(map(double, trace.saved)),
    )
    numbers, values = {}, {}
    for dtype, of in (("float32", trace), ("float64", promoted)):

        def call(of: Any = of, dtype: str = dtype) -> None:
            values[dtype] = jacobians.log_norms(of)

        numbers[f"{dtype} ms"] = time_call(call, device)
        values.pop(dtype)
        numbers[f"{dtype} bytes"] = peak_bytes(call, device)
    single, exact = (to_numpy(values[dtype]).astype("float64") for dtype in ("float32", "float64"))
    numbers["share"] = float(abs(single - exact).max() / (exact.max() - exact.min()))
    return numbers


def product_of_steps(backend: str, device: str) -> dict[str, float]:
    """Peak memory of storing all Jacobians and multiplying them up."""
    from .instead import product_of_steps

    return {"bytes": peak_bytes(product_of_steps(backend, device).call, device)}


class _Chunks:
    """A long sequence whose inputs and loss gradients are made chunk by chunk and never lie there whole."""

    def __init__(self, steps: str, backend: str, device: str) -> None:
        from .problem import LONGEST, Problem

        self.steps = int(steps)
        self.pool = Problem(dataclasses.replace(LONGEST, steps=1024), backend, device)
        self.cell = self.pool.cell

    def _rows(self, pool: Any, start: int, stop: int) -> Any:
        rows, xp = [], self.cell.xp
        while start < stop:
            at = start % len(pool)
            take = min(len(pool) - at, stop - start)
            rows.append(pool[at : at + take, ...])
            start += take
        return rows[0] if len(rows) == 1 else xp.concat(rows)

    def x(self, start: int, stop: int) -> Any:
        return self._rows(self.pool.x, start, stop)

    def d_outputs(self, start: int, stop: int) -> Any:
        return self._rows(self.pool.d_outputs, start, stop)


def checkpointed(steps: str, backend: str, device: str) -> dict[str, float]:
    """Parameter gradients with √T checkpoints against a stored trace: time by turns, memory, agreement.

    Plain memory is counted beyond the inputs; neither way holds all derivatives of the loss.
    """
    from vglib import bptt, truncation

    from .worker import time_call

    chunks = _Chunks(steps, backend, device)
    held: dict[str, Any] = {}

    def ours() -> None:
        got = truncation.checkpointed(chunks.cell, chunks.x, chunks.d_outputs, steps=chunks.steps)
        held["ours"] = got.parameters

    def plain() -> None:
        trace = bptt.unroll(chunks.cell, whole)
        held["plain"] = bptt.backprop(trace, chunks.d_outputs, want="parameters").parameters

    whole = chunks.x(0, chunks.steps)
    ours()
    plain()
    xp = chunks.cell.xp
    apart = max(
        float(xp.max(xp.abs(held["ours"][name] - value)) / xp.max(xp.abs(value)))
        for name, value in held["plain"].items()
    )
    times = [(time_call(ours, device), time_call(plain, device)) for _ in range(5)]
    held.clear()
    numbers = {"bytes": peak_bytes(ours, device), "plain bytes": peak_bytes(plain, device), "apart": apart}
    ours_ms, plain_ms = (sorted(column)[2] for column in zip(*times, strict=True))
    slower = sorted(a / b for a, b in times)[2]
    return {**numbers, "ms": ours_ms, "plain ms": plain_ms, "slower": slower}


def truncated(steps: str, backend: str, device: str) -> dict[str, float]:
    """Peak memory and time of streamed TBPTT(100, 200)."""
    from vglib import truncation

    from .worker import time_call

    chunks = _Chunks(steps, backend, device)

    def call() -> None:
        for _ in truncation.stream(chunks.cell, chunks.x, chunks.d_outputs, 100, 200, steps=chunks.steps):
            pass

    return {"ms": time_call(call, device), "bytes": peak_bytes(call, device)}


def main(gauge: str, *arguments: str) -> None:
    """Run a gauge and print its numbers as JSON."""
    known = (log_norms, product_of_steps, checkpointed, truncated)
    print(json.dumps({call.__name__: call for call in known}[gauge](*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
