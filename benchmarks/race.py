"""Contenders take turns, each in a process of its own; the median of the rounds' ratios counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

__all__ = ["THREADS", "BenchmarkError", "child_environment", "race"]

ROOT = Path(__file__).resolve().parents[1]
THREADS = 2
PAUSE = 0.1
"""Seconds between turns: a thread pool that has just finished keeps its cores busy for a moment."""

AGREEMENT = 1e-5
"""Contenders must agree to this share of the largest number (float32, sums of thousands of terms)."""


class BenchmarkError(Exception):
    """A contender failed or computed something else than the others: its time would mean nothing."""


def child_environment() -> dict[str, str]:
    """Return the environment of every child: the same number of threads for every library."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(THREADS))}


class _Worker:
    """A contender's process."""

    def __init__(self, name: str, backend: str, device: str, file: Path) -> None:
        self.name, self.file = name, file
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, backend, device, str(file)],
            cwd=ROOT,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()  # one after the other, so that no start disturbs another's warm-up

    def _read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.name} stopped with exit code {self.process.wait()}")
        return json.loads(line)

    def evidence(self) -> dict[str, np.ndarray]:
        """Return what the contender computed."""
        with np.load(self.file) as stored:
            return dict(stored)

    def time(self) -> float:
        """Return the milliseconds of a call, from one block."""
        time.sleep(PAUSE)
        self.process.stdin.write("time\n")
        self.process.stdin.flush()
        return self._read()["ms"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10 if kind is None else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def race(
    contenders: Mapping[str, tuple[str, str]], device: str, rounds: int, tick: Callable[[str], None]
) -> dict[str, list[float]]:
    """Time contenders in turns: A B C, then A B C again.

    Parameters
    ----------
    contenders : mapping of label to (function, backend)
        Function as 'module:name' within `benchmarks`.
    device : {'cpu', 'cuda'}
    rounds : int
    tick : callable
        Told a label after each start and each turn.

    Returns
    -------
    dict of label to list of float
        Milliseconds, one entry a round.

    Raises
    ------
    BenchmarkError
        A contender stopped, or two do not agree.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers: dict[str, _Worker] = {}
        for number, (label, (name, backend)) in enumerate(contenders.items()):
            workers[label] = stack.enter_context(_Worker(name, backend, device, folder / f"{number}.npz"))
            tick(label)
        _check_agreement([(label, worker.evidence()) for label, worker in workers.items()])
        times: dict[str, list[float]] = {label: [] for label in workers}
        for _ in range(rounds):
            for label, worker in workers.items():
                times[label].append(worker.time())
                tick(label)
        return times


def _check_agreement(evidence: Sequence[tuple[str, dict[str, np.ndarray]]]) -> None:
    """Raise unless all agree with the first, which must be ours; NaN is where another has no answer."""
    (first, expected), *others = evidence
    for key, value in expected.items():
        if not np.isfinite(value).all():
            raise BenchmarkError(f"{key}: {first} is not finite everywhere")
    for label, got in others:
        if got.keys() != expected.keys():
            raise BenchmarkError(f"{label} computes {sorted(got)}; {first} computes {sorted(expected)}")
        for key, value in expected.items():
            if got[key].shape != value.shape:
                raise BenchmarkError(f"{key}: {label} has shape {got[key].shape}, {first} {value.shape}")
            answered = ~np.isnan(got[key])
            if not answered.any():
                raise BenchmarkError(f"{key}: {label} and {first} have no number in common")
            far = np.max(np.abs(got[key] - value)[answered]) / np.max(np.abs(value[answered]))
            if not far <= AGREEMENT:
                raise BenchmarkError(f"{key}: {label} and {first} differ by {far:.1e} of the largest number")
